"""Rewards one after the other: which of them judges depends on the round of an online loop."""

from __future__ import annotations

from bisect import bisect_right

from torch import Tensor

from prefalign.interfaces import Batch, PrefalignError, Reward, RewardOutput


class Staged(Reward):
    """One reward in the first rounds, another one later.

    A loop of sampling, judging and tuning asks `at(round)` for the judge of each round; a config says `round` itself.
    MusicRL (arXiv 2402.04229) tunes for similarity and quality first and then for what users prefer, and found that
    better than their sum.

    Only the member that judges has its weights loaded, and it alone is a part of this module, so that rounds that share
    a judge name the same one in a builder's manifest.

    Args:
        rewards: the members, in order. They may read records in different ways and have other criteria.
        starts: the round in which each begins, counted from 0; the first is 0.
        round: the one that is judged now.

    Raises:
        PrefalignError: unless there is one start for each member, rising from 0; and for a round below 0.
    """

    def __init__(self, rewards: list[Reward], starts: list[int], round: int = 0) -> None:
        super().__init__()
        if not rewards or len(rewards) != len(starts) or starts[0] != 0 or sorted(set(starts)) != list(starts):
            raise PrefalignError(
                f"expected a start for each of the {len(rewards)} rewards, the first 0 and each above the one before; "
                f"got {list(starts)}"
            )
        if round < 0:
            raise PrefalignError(f"expected a round of at least 0, got {round}")
        # A plain list, whose members are no parts of the module.
        self.rewards, self.starts, self.round = list(rewards), list(starts), round
        self.current = self.rewards[bisect_right(self.starts, round) - 1]
        self.codec, self.criteria = self.current.codec, tuple(self.current.criteria)
        self.differentiable = self.current.differentiable

    def at(self, round: int) -> Staged:
        """The same rewards in another round; weights that are loaded stay loaded and are shared.

        Raises:
            PrefalignError: for a round below 0.
        """
        return Staged(self.rewards, self.starts, round)

    def configure_model(self) -> None:
        """Load or build the weights of the member that judges."""
        self.current.configure_model()

    def forward(self, batch: Batch) -> RewardOutput:
        """What the member of this round says."""
        return self.current(batch)

    def compare(self, batch: Batch) -> Tensor:
        """(B,) what the member of this round says of each pair."""
        return self.current.compare(batch)
