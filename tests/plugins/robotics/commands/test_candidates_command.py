"""`prefalign robotics candidates` makes what the preset tunes."""

import json

import pytest
import torch

from prefalign.cli.main import main
from prefalign.data.sources import open_records

SMALL = ["--demonstrations", "2", "--steps", "12", "--imitation-steps", "3", "--horizon", "4", "--candidates", "3"]
CALL = ["robotics", "candidates", *SMALL, "--episodes", "1", "--execute", "4", "--out"]


def test_what_it_writes_is_tuned_by_the_preset(tmp_path, monkeypatch, capsys):
    pytest.importorskip("metaworld")
    from prefalign_robotics.policies.diffusion.denoiser import ActionDenoiser
    from prefalign_robotics.policies.diffusion.selection import ImplicitReward

    monkeypatch.chdir(tmp_path)
    assert main([*CALL, "runs/deformpam"]) == 0
    said = capsys.readouterr().out
    assert "compared 3 candidates at 3 states" in said
    folder = tmp_path / "runs" / "deformpam"
    assert json.loads((folder / "plan.json").read_text())["task"] == "window-open"
    source = open_records(str(folder / "candidates.parquet"))
    assert len(source) == 3
    # The same plan again changes nothing; another one does.
    before = (folder / "candidates.parquet").stat().st_mtime_ns
    assert main([*CALL, "runs/deformpam"]) == 0
    assert "prepared already" in capsys.readouterr().out
    assert (folder / "candidates.parquet").stat().st_mtime_ns == before
    assert main([*CALL, "runs/again", "--policy", "runs/deformpam/base", "--seed", "1"]) == 0
    again = tmp_path / "runs" / "again"
    weights = [path / "base" / "diffusion_pytorch_model.safetensors" for path in (folder, again)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert not (again / "episodes").exists()
    assert open_records(str(again / "candidates.parquet"))[0] != source[0]

    run = ["--trainer.max_steps=2", "--trainer.default_root_dir=run", "--trainer.enable_progress_bar=false"]
    assert main(["fit", "--config", "robotics/deformpam-tiny", *run, "--data.batch_size=3"]) == 0
    base, tuned = (ActionDenoiser(str(path)) for path in (folder / "base", tmp_path / "run" / "export"))
    record = source[0]
    actions = torch.stack([torch.tensor(response.arrays["actions"]) for response in record.responses])[None]
    rewards = ImplicitReward(tuned, base)(record.responses[0].arrays["condition/observation"][None], actions)
    assert rewards.shape == (1, 3)
    assert rewards.abs().max() > 0


def test_bad_input_is_one_line(tmp_path, capsys):
    pytest.importorskip("metaworld")
    assert main([*CALL, str(tmp_path / "a"), "--task", "window-opne"]) == 2
    assert "unknown Meta-World task 'window-opne'; did you mean 'window-open'" in capsys.readouterr().err
    assert main([*CALL, str(tmp_path / "b"), "--policy", str(tmp_path)]) == 2
    assert "expected the folder of a diffusion policy" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
