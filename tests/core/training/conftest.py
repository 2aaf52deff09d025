"""Runs of seconds: a tiny Llama on pairs that it can learn."""

import json

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from prefalign.data.module import PreferenceDataModule
from prefalign.objectives.dpo import DPO
from prefalign.policies.token import TokenPolicy
from prefalign.testing.tiny import LLAMA, save_tokenizer, word_pairs
from prefalign.training.tuning import PreferenceTuning


class Losses(Callback):
    """Keeps every training loss, to the bit."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(outputs["loss"].item())


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def write_pairs(path, count, seed=0):
    """Pairs as hand-written JSONL."""
    rows = [
        {"id": r.id, "prompt": r.prompt.text, "chosen": r.responses[0].text, "rejected": r.responses[1].text}
        for r in word_pairs(count, seed)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def pairs(tmp_path):
    """24 training and 8 validation pairs."""
    return write_pairs(tmp_path / "train.jsonl", 24), write_pairs(tmp_path / "val.jsonl", 8, seed=1)


@pytest.fixture
def tuning(tokenizer):
    """A function that makes a module; its arguments replace the defaults."""

    def make(objective=None, reference=None, lr=3e-3, policy=None, **fields):
        torch.manual_seed(0)
        return PreferenceTuning(
            policy or TokenPolicy(dict(LLAMA), tokenizer),
            objective or DPO(beta=0.1),
            reference,
            optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=lr),
            **fields,
        )

    return make


@pytest.fixture
def trainer(tmp_path):
    """A function that makes a quiet CPU trainer."""

    def make(**options):
        quiet = {
            "accelerator": "cpu",
            "devices": 1,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "default_root_dir": tmp_path,
            "max_epochs": 2,
        }
        return Trainer(**{**quiet, **options})

    return make


@pytest.fixture
def data(pairs):
    """A function that makes a data module over the pairs."""

    def make(**options):
        return PreferenceDataModule(**{"train": pairs[0], "val": pairs[1], "batch_size": 4, **options})

    return make
