"""The command killed with SIGKILL in mid-epoch and resumed: the same weights as the run that was left alone."""

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file

from prefalign.testing.tiny import LLAMA, save_tokenizer, word_pairs

KILLER = """
import os, signal
from lightning.pytorch import Callback

class KillAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer, *arguments):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def experiment(tmp_path):
    """A config of 48 steps in 3 epochs that saves every 5 steps, in a folder of its own."""
    save_tokenizer(tmp_path / "tokenizer")
    for name, count, seed in (("train", 64, 0), ("val", 8, 1)):
        rows = [
            {"id": r.id, "prompt": r.prompt.text, "chosen": r.responses[0].text, "rejected": r.responses[1].text}
            for r in word_pairs(count, seed)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    policy = {"class_path": "core/token", "init_args": {"model": LLAMA, "tokenizer": "tokenizer"}}
    saving = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint"}
    saving["init_args"] = {"every_n_train_steps": 5, "save_last": True}
    config = {
        "model": {
            "class_path": "core/preference_tuning",
            "init_args": {
                "policy": policy,
                "objective": {"class_path": "core/dpo", "init_args": {"beta": 0.1}},
                "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.003}},
                "schedule": "cosine",
                "warmup": 0.1,
            },
        },
        "data": {"class_path": "core/preferences", "init_args": {"train": "train.jsonl", "val": "val.jsonl"}},
        "trainer": {
            "accelerator": "cpu",
            "max_epochs": 3,
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "callbacks": [saving, {"class_path": "core/export"}],
        },
    }
    config["data"]["init_args"]["batch_size"] = 4
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "killer.py").write_text(KILLER)
    return tmp_path


def fit(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "prefalign.cli.main", "fit", "--config", "tiny.yaml", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def exported(folder):
    (file,) = folder.rglob("export/model.safetensors")
    return load_file(file)


def test_killed_and_resumed_ends_with_the_same_bits(experiment):
    whole = fit(experiment, "--trainer.default_root_dir=whole")
    assert whole.returncode == 0, whole.stderr[-2000:]
    broken = "--trainer.default_root_dir=broken"
    killed = fit(experiment, broken, "--trainer.callbacks+=killer.KillAt", "--trainer.callbacks.step=23")
    assert killed.returncode == -9, killed.stderr[-2000:]
    assert not list((experiment / "broken").rglob("export"))
    resumed = fit(experiment, broken, "--ckpt_path=last")
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    first, second = exported(experiment / "whole"), exported(experiment / "broken")
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(second[name], tensor), name
