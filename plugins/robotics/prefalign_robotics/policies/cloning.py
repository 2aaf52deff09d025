"""Behaviour cloning, on all episodes or on those that a reward likes best.

Filtered cloning is the shortest way from preferences to a policy: label, learn a reward, keep the best quarter of the
episodes, imitate those. What it reaches beside cloning all, or a random quarter, says what the preferences were worth.
"""

from __future__ import annotations

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from prefalign_robotics.policies.actor import Actor
from prefalign_robotics.policies.quiet_trainer import quiet_trainer
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.episodes import Episodes


class CloningPolicy(LightningModule):
    """A deterministic policy that imitates: standardised observations, two hidden layers, actions by tanh.

    Batches are (observations (B, O), actions (B, A)) in float32; the loss is the mean squared error.

    Args:
        observation: O numbers.
        action: A numbers, each in [−1, 1].
        width: of the hidden layers.
        learning_rate: of Adam.
    """

    def __init__(self, observation: int, action: int, width: int = 256, learning_rate: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.learning_rate = learning_rate
        self.actor = Actor(observation, action, (width, width))

    def forward(self, observations: Tensor) -> Tensor:
        """(B, A) actions in [−1, 1] for (B, O) observations."""
        actions: Tensor = self.actor(observations)
        return actions

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Mean squared error of the imitated actions."""
        observations, actions = batch
        loss = nn.functional.mse_loss(self(observations), actions)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(B, A) actions for (B, O) observations, as `simulator.rollouts` asks for them."""
        return self.actor.act(observations)


def clone(
    episodes: Episodes,
    steps: int = 2000,
    *,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    width: int = 256,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> CloningPolicy:
    """Imitate every step of the given episodes.

    Args:
        episodes: to imitate, as the simulator left them (not `settled`).
        steps: of the optimiser.
        batch_size: steps of behaviour in each, drawn with replacement.
        learning_rate: of Adam.
        width: of the hidden layers.
        seed: of weights and batches.
        trainer: Lightning's, with an end of its own; on the CPU for `steps`, without logger or progress bar, if None.

    Raises:
        SegmentError: without episodes or steps.
    """
    if not len(episodes) or steps < 1 or batch_size < 1:
        raise SegmentError(
            f"{episodes.task}: expected episodes, steps and a batch to clone with, got {len(episodes)} episodes, "
            f"{steps} steps of {batch_size}"
        )
    observations, actions = (
        torch.from_numpy(values).flatten(0, 1) for values in (episodes.observations, episodes.actions)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = CloningPolicy(observations.shape[1], actions.shape[1], width, learning_rate)
    policy.actor.measure(observations)
    data, generator = TensorDataset(observations, actions), torch.Generator().manual_seed(seed)
    drawn = RandomSampler(data, replacement=True, num_samples=steps * batch_size, generator=generator)
    # One indexing for a whole batch: batches are small and many.
    batches = DataLoader(
        data, sampler=BatchSampler(drawn, batch_size, drop_last=False), batch_size=None, generator=generator
    )
    (trainer or quiet_trainer(steps)).fit(policy, batches)
    return policy.eval()


def best_share(episodes: Episodes, scores: np.ndarray, share: float = 0.25) -> Episodes:
    """The episodes of the largest scores, best first; of equal ones the earlier.

    Args:
        episodes: E of them.
        scores: (E,), by a learned reward, the true return, or at random.
        share: of the episodes, in (0, 1], rounded to at least one.

    Raises:
        SegmentError: for other shapes or shares, or scores that are not numbers.
    """
    if scores.shape != (len(episodes),) or np.isnan(scores).any():
        raise SegmentError(f"{episodes.task}: expected a number for each of {len(episodes)} episodes: {scores.shape}")
    if not 0 < share <= 1:
        raise SegmentError(f"{episodes.task}: expected a share of the episodes in (0, 1], got {share}")
    return episodes.select(np.argsort(-scores, kind="stable")[: max(1, round(share * len(episodes)))])
