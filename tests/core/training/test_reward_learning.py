"""Reward learning end to end on a tiny model."""

import math

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from prefalign.interfaces import CapabilityError, PrefalignError
from prefalign.models.pretrained import LoraSettings
from prefalign.objectives.reward_modelling import BradleyTerry, Gaussian, Pointwise
from prefalign.rewards.combine import Ensemble
from prefalign.rewards.token import TokenReward
from prefalign.testing.tiny import LLAMA, word_pairs
from prefalign.training.callbacks.export import Export
from prefalign.training.reward_learning import RewardLearning


class Losses(Callback):
    """Keeps every training loss, to the bit."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(outputs["loss"].item())


@pytest.fixture
def learning(tokenizer):
    """A function that makes a module; its arguments replace the defaults."""

    def make(reward=None, objective=None, lr=1e-2, gaussian=False, **fields):
        torch.manual_seed(0)
        return RewardLearning(
            reward or TokenReward(dict(LLAMA), tokenizer, gaussian=gaussian),
            objective or BradleyTerry(),
            optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=lr),
            **fields,
        )

    return make


def unseen(module, count=200):
    """Share of new pairs that the trained reward ranks as judged."""
    reward = module.reward.eval()
    batch = reward.codec.collate([reward.codec.encode(record) for record in word_pairs(count, seed=77)])
    with torch.no_grad():
        return (reward.compare(batch) > 0.5).float().mean().item()
