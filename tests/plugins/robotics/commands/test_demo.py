"""The demonstration's command: bad input is one line, and a tiny run in the simulator goes on where it was stopped."""

import json

import numpy as np
import pytest

from prefalign.cli.main import main as prefalign
from prefalign_robotics.commands.demo import main
from prefalign_robotics.demo import plan

pytest.importorskip("metaworld")

PAIR = ["--pairs", "button-press:handle-press"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pairs", "button-pres:handle-press"], "unknown Meta-World task 'button-pres'; did you mean 'button-press'"),
        (["--pairs", "button-press"], "expected source:target"),
        (["--seeds", "0,two"], "--seeds: expected whole numbers from 0 up, such as 0,1,2; got 'two'"),
        (["--arms", "scoerd"], "unknown arm 'scoerd'; did you mean 'scored'"),
        (["--label-noise", "0.7"], "--label-noise: expected shares"),
        (["--episodes", "2"], "expected episodes of at least 8, got 2"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_made(tmp_path, capsys, arguments, message):
    assert main([*arguments, "--out", str(tmp_path / "runs")]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_other_settings_is_refused(tmp_path, capsys):
    plan.claim(tmp_path, plan.QUICK)
    assert prefalign(["robotics", "demo", "--out", str(tmp_path)]) == 2
    assert "other settings (episodes 80, " in capsys.readouterr().err


def test_damaged_episodes_are_named(tmp_path, capsys, monkeypatch):
    from prefalign_robotics.simulator.world import simulator_version

    tiny = plan.Plan(episodes=8, steps=30, length=10, block=4, blocks=1, pairs=6)
    monkeypatch.setattr(plan, "QUICK", tiny)
    kept = tmp_path / "episodes" / f"handle-press-8x30-seed0-{simulator_version()}.npz"
    kept.parent.mkdir()
    kept.write_bytes(b"half")
    assert main(["--quick", *PAIR, "--prepare-only", "--out", str(tmp_path)]) == 2
    assert f"{kept}: damaged" in capsys.readouterr().err


@pytest.mark.timeout(600)
def test_from_simulation_to_policies_and_once_more(tmp_path, capsys, monkeypatch):
    """Few of everything; the reward is trained by the command, in a process of its own."""
    tiny = plan.Plan(16, 60, 20, 12, 2, 60, reward_steps=30, cloning_steps=20, iql_steps=10, rollouts=2)
    monkeypatch.setattr(plan, "QUICK", tiny)
    call = ["--quick", *PAIR, "--out", str(tmp_path)]
    assert main([*call, "--prepare-only"]) == 0
    folder = tmp_path / "button-press--handle-press" / "seed0"
    assert sorted(file.name for file in folder.iterdir()) == ["pairs.parquet", "transfer.json", "transfer.npz"]
    capsys.readouterr()
    assert main([*call, "--arms", "scored,iql_true", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["results"]
    assert json.loads((tmp_path / "results.json").read_text()) == {"results": [found]}
    assert json.loads((folder / "results.json").read_text()) == found
    assert (found["source"], found["target"], found["seed"]) == ("button-press", "handle-press", 0)
    assert 0.5 < found["transfer"]["accuracy"] <= 1
    for name, learned_from in (("scored", 4), ("iql_true", 16)):
        row = found["policies"][name]
        assert row["learned_from"] == learned_from
        assert 0 <= row["success"]["low"] <= row["success"]["estimate"] <= row["success"]["high"] <= 1
        assert (folder / "rollouts" / row["rollouts"]).exists()
    with np.load(folder / "rewards.npz", allow_pickle=False) as kept:
        assert kept["mean"].shape == kept["deviation"].shape == kept["rewards"].shape == (16, 60)
    made = {file: file.stat().st_mtime_ns for file in (*folder.rglob("*.npz"), *(folder / "reward").rglob("*"))}
    del made[folder / "rewards.npz"]  # what the page shows, written anew from the reward
    assert main([*call, "--arms", "scored"]) == 0
    text = capsys.readouterr().out
    assert "| cloning, best quarter by the learned reward |" in text
    assert "| IQL on the true reward |" in text
    assert {file: file.stat().st_mtime_ns for file in made} == made
    assert json.loads((folder / "results.json").read_text()) == found
    # What is lost is made again, and is the same.
    (folder / "rollouts" / found["policies"]["scored"]["rollouts"]).unlink()
    assert main([*call, "--arms", "scored"]) == 0
    assert json.loads((folder / "results.json").read_text()) == found
