"""Best-of-N: draw N whole answers, have them judged, and give the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from prefalign.inference.guided import RewardGuided, needs_generator
from prefalign.interfaces import Policy, PrefalignError, Prompt, Response, Reward
from prefalign.models.judging import Judge, inference
from prefalign.models.sampler import Sampler


class BestOfN(RewardGuided):
    """The best of `n` answers by a reward.

    It serves every policy, those that make an answer as a whole as well. In the place of a builder's policy (see
    `prefalign.data.stages.Sample`) it gives the answers to distil.

    Args:
        policy: draws, by `policy.sample(prompts, n, generator=…, **options)`.
        reward: judges each answer under its prompt.
        n: answers drawn per prompt; a prompt costs as many judgements.
        criterion: which of the reward's criteria; its first by default.
        name: under which the numbers are noted in the responses' `scores`.

    Raises:
        PrefalignError: for an `n` below 1 or an unknown criterion.
    """

    def __init__(
        self,
        policy: Policy | Sampler,
        reward: Reward | Judge,
        n: int,
        criterion: str | None = None,
        name: str = "reward",
    ) -> None:
        super().__init__(policy, reward, criterion, name)
        if n < 1:
            raise PrefalignError(f"expected n of at least 1, got {n}")
        self.n = n

    def sample(
        self, prompts: Sequence[Prompt], k: int = 1, /, *, generator: torch.Generator | None = None, **options: Any
    ) -> list[list[Response]]:
        """The `k` best answers to each prompt, the best first, with their scores.

        What the reward calls invalid never wins: a prompt gets fewer than `k` answers where fewer are valid, and an
        empty list where none is. Of equal scores the answer drawn first counts, so that a reward that is the same for
        all leaves the policy as it is.

        Args:
            prompts: what is answered, all in one call of the policy.
            k: answers per prompt, at most `n`.
            generator: samples with its seed.
            options: as for the policy's `sample`.

        Raises:
            PrefalignError: for a `k` that is not in [1, n], or no generator where `n` is above 1.
        """
        if not 1 <= k <= self.n:
            raise PrefalignError(f"expected k from 1 to the {self.n} answers that are drawn, got {k}")
        return [self.ranked(group)[:k] for group in self.candidates(prompts, generator=generator, **options)]

    def candidates(
        self, prompts: Sequence[Prompt], *, generator: torch.Generator | None = None, **options: Any
    ) -> list[list[Response]]:
        """All `n` answers to each prompt in the order in which they were drawn; invalid ones have no score.

        Args:
            prompts, generator, options: as for `sample`.
        """
        needs_generator(generator, self.n)
        self.configure_model()
        with inference(self.policy):
            drawn = self.policy.sample(prompts, self.n, generator=generator, **options)
        return self.judged(prompts, drawn)

    def settings(self) -> dict[str, Any]:
        """What else decides the answers."""
        return {"n": self.n}


def best_of_n_kl(n: int) -> float:
    """log n − (n − 1) / n: how far best-of-N is from its policy at most, KL(best-of-N ‖ policy) in nats.

    An upper bound for the one best answer, not the divergence itself, which earlier work took it for
    (arXiv 2401.01879). It is reached in the limit where every answer is improbable and no two are judged alike.
    Where the policy has favourites, or the reward gives many answers the same number, the divergence is smaller: it
    never exceeds −log of the policy's probability of the best answers, while the bound grows without end.

    Args:
        n: answers drawn, at least 1.

    Raises:
        PrefalignError: for an `n` below 1.
    """
    if n < 1:
        raise PrefalignError(f"expected n of at least 1, got {n}")
    return math.log(n) - (n - 1) / n
