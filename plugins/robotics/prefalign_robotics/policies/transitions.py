"""Episodes as single steps, with whichever rewards they were given, for learning by dynamic programming."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.episodes import Episodes


class Transitions(NamedTuple):
    """N steps, or a batch of them.

    Attributes:
        observations: (N, O) float32, before the action.
        actions: (N, A) float32.
        rewards: (N,) float32, for that action.
        next_observations: (N, O) float32, after it; of no meaning where nothing continues.
        continues: (N,) bool, False where the task ended with that action, so that nothing can be earned any more.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    continues: Tensor


def transitions(episodes: Episodes, rewards: np.ndarray, ends: np.ndarray | None = None) -> Transitions:
    """Every step of which the outcome is known, episode after episode.

    The last step of an episode that was cut off by the clock is left out: its episode would have gone on, but what was
    seen next has not been kept. To hold it for an end would teach that nothing can be earned after it.

    Args:
        episodes: E of them, as the simulator left them (not `settled`).
        rewards: (E, T) of each step, true or learned.
        ends: (E, T) bool, True at a step with which the task itself ended; later steps are left out. Meta-World's
            tasks go on after success and reward every step of it, so they have no end, and that is the default.

    Raises:
        SegmentError: for arrays of other shapes, numbers that are not finite, or episodes without such a step.
    """
    shape = len(episodes), episodes.steps
    ended = np.zeros(shape, bool) if ends is None else ends
    for name, values in {"rewards": rewards, "ends": ended}.items():
        if values.shape != shape:
            raise SegmentError(f"{episodes.task}: expected {name} {shape}, one for each step, got {values.shape}")
    for name, values in {
        "observations": episodes.observations,
        "actions": episodes.actions,
        "rewards": rewards,
    }.items():
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            raise SegmentError(
                f"{episodes.task}: {name} at step {wrong[0][1]} of episode {wrong[0][0]} are not finite "
                f"({len(wrong)} such numbers in all)"
            )
    known = np.cumsum(ended, 1) - ended == 0
    known[:, -1] &= ended[:, -1]
    if not known.any():
        raise SegmentError(f"{episodes.task}: no step of {shape[0]} episodes of {shape[1]} steps has a known outcome")
    following = np.concatenate([episodes.observations[:, 1:], episodes.observations[:, -1:]], 1)
    seen, done, earned, after = (
        torch.from_numpy(values[known].astype(np.float32))
        for values in (episodes.observations, episodes.actions, rewards, following)
    )
    return Transitions(seen, done, earned, after, torch.from_numpy(~ended[known]))


def reward_factor(rewards: np.ndarray, task: str = "episodes") -> float:
    """What to multiply (E, T) rewards with, so that the best episode's return exceeds the worst one's by T steps.

    Learned rewards have no unit, and the temperature of advantage-weighted learning is per unit of reward. This is the
    scale of IQL's published locomotion runs (arXiv 2110.06169, of 1000 steps), which Preference Transformer took over
    for learned rewards: a step's reward then differs by about 1 between good and bad behaviour.

    Raises:
        SegmentError: if all returns are the same, so that there is nothing to prefer.
    """
    returns = rewards.sum(1, dtype=np.float64)
    span = float(np.ptp(returns)) if len(returns) else 0.0
    if not span > 1e-9 * float(np.abs(returns).max(initial=0.0)):
        raise SegmentError(
            f"{task}: expected episodes that earn differently, got {len(returns)} of the same return; rewards that "
            "tell no episode from another teach nothing"
        )
    return rewards.shape[1] / span


@dataclass
class TransitionBatches:
    """Batches drawn with replacement, each from its own number and the seed, so that a run goes on where it stopped.

    Lightning stores `state_dict` in its checkpoints and calls `load_state_dict` before it resumes.

    Attributes:
        data: what is drawn from.
        steps: number of batches.
        batch_size: transitions in each.
        seed: of the draws.
        position: number of the next batch.
    """

    data: Transitions
    steps: int
    batch_size: int = 256
    seed: int = 0
    position: int = 0

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Transitions]:
        while self.position < self.steps:
            generator = np.random.default_rng((self.seed, self.position))
            rows = torch.from_numpy(generator.integers(len(self.data.rewards), size=self.batch_size))
            self.position += 1
            yield Transitions(*(values.index_select(0, rows) for values in self.data))
        self.position = 0

    def state_dict(self) -> dict[str, int]:
        """Where the run stands."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there."""
        self.position = state["position"] % self.steps
