"""Progressive search: judge answers while they are written, and write the best ones on.

The schedule is that of Text2midi-InferAlign (arXiv 2505.12669 and its code), which calls it reward-guided beam
replacement with instruction mutation. Differences: what cannot be judged is not worth 0 but never wins; mutated copies
are made of all survivors and not of the best alone; answers that have ended are neither extended nor judged again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from prefalign.inference.guided import RewardGuided, needs_generator
from prefalign.interfaces import CapabilityError, Policy, PrefalignError, Prompt, Response, Reward
from prefalign.models.judging import Judge, identity, inference

Mutate = Callable[[Prompt, torch.Generator], Prompt]
"""Another wording of a prompt, which the policy may answer better."""


@dataclass(frozen=True)
class Beam:
    """One answer that is being written.

    Attributes:
        prompt: under which it is written on: the original one or a mutated one.
        response: what stands, with its score, unless the reward cannot judge it. None before the first round.
        ended: nothing can follow.
        parent: slot of the beam of the round before that it continues; None in the first round.
    """

    prompt: Prompt
    response: Response | None = None
    ended: bool = False
    parent: int | None = None


Trace = list[tuple[Beam, ...]]
"""The beams of one prompt after each round, slot by slot."""


class ProgressiveSearch(RewardGuided):
    """Several answers are written at once; after every few tokens the best ones take the places of the others.

    In a round every answer that has not ended is extended by `units` and judged as an answer to the original prompt.
    The `keep` best stay in their slots; the other slots are filled, in turn, with copies of those among them that have
    not ended. The search is over when all survivors have ended, or the answers have `budget` units. With `keep` equal
    to `beams` nothing is ever replaced, which is best-of-N.

    A prompt costs `beams` × ceil(budget / units) judgements and `beams` × `budget` units; less where answers end.

    Args:
        policy: can `extend` what it has begun.
        reward: judges unfinished answers too, and should mean the same there.
        beams: answers written at once; 3 to 5 in the paper's code.
        keep: survivors of a round; 2 there.
        units: added in a round: tokens, or frames of a model of several streams; 500 or 100 tokens there.
        budget: most units of an answer.
        mutate: another wording of a prompt. In the beginning slot 0 answers the original prompt and the others mutated
            ones; of the copies made after a round the first goes on under the original prompt, the others under a
            mutation of the prompt of the answer that they copy. None leaves all at the original prompt.
        criterion: which of the reward's criteria; its first by default.
        name: under which the numbers are noted in the responses' `scores`.

    Raises:
        CapabilityError: for a policy that makes its answers as a whole.
        PrefalignError: for numbers below 1, more to keep than there are beams, or an unknown criterion.
    """

    policy: Policy

    def __init__(
        self,
        policy: Policy,
        reward: Reward | Judge,
        beams: int = 4,
        keep: int = 2,
        units: int = 64,
        budget: int = 256,
        mutate: Mutate | None = None,
        criterion: str | None = None,
        name: str = "reward",
    ) -> None:
        super().__init__(policy, reward, criterion, name)
        if getattr(type(policy), "extend", Policy.extend) is Policy.extend:
            raise CapabilityError(
                f"{type(policy).__name__} cannot extend what it has begun, so it cannot be searched step by step; take "
                "BestOfN"
            )
        if not 1 <= keep <= beams or units < 1 or budget < 1:
            raise PrefalignError(
                f"expected 1 <= keep <= beams, and units and budget of at least 1; got keep={keep}, beams={beams}, "
                f"units={units}, budget={budget}"
            )
        self.beams, self.keep, self.units, self.budget, self.mutate = beams, keep, units, budget, mutate

    def sample(
        self, prompts: Sequence[Prompt], k: int = 1, /, *, generator: torch.Generator | None = None, **options: Any
    ) -> list[list[Response]]:
        """The `k` best answers to each prompt among those of its last round, the best first, with their scores.

        What the reward calls invalid never wins: a prompt gets fewer than `k` answers where fewer are valid, and an
        empty list where none is. Of equal scores the lowest slot counts, so that a reward that is the same for all
        leaves the policy as it is (without `mutate`).

        Args:
            prompts: what is answered; the beams of all are extended together.
            k: answers per prompt, at most `beams`. They may share their beginning.
            generator: samples and mutates with its seed. What a prompt is answered depends on the others beside it.
            options: as for the policy's `extend`.

        Raises:
            PrefalignError: for a `k` that is not in [1, beams], or no generator where `beams` is above 1.
        """
        if not 1 <= k <= self.beams:
            raise PrefalignError(f"expected k from 1 to the {self.beams} answers that are written, got {k}")
        traces = self.search(prompts, generator=generator, **options)
        return [self.ranked([beam.response for beam in trace[-1] if beam.response])[:k] for trace in traces]

    def search(
        self, prompts: Sequence[Prompt], *, generator: torch.Generator | None = None, **options: Any
    ) -> list[Trace]:
        """What the search went through: for each prompt the beams after every round.

        Args:
            prompts, generator, options: as for `sample`.
        """
        needs_generator(generator, self.beams)
        self.configure_model()
        pools = [self._started(prompt, generator) for prompt in prompts]
        traces: list[Trace] = [[] for _ in prompts]
        searched = list(range(len(prompts)))
        spent = 0
        while searched and spent < self.budget:
            units = min(self.units, self.budget - spent)
            spent += units
            found = self._round([prompts[i] for i in searched], [pools[i] for i in searched], units, generator, options)
            for i, pool in zip(searched, found, strict=True):
                traces[i].append(tuple(pool))
                pools[i] = self._refilled(prompts[i], pool, generator) if spent < self.budget else pool
            searched = [i for i in searched if not all(beam.ended for beam in pools[i])]
        return traces

    def settings(self) -> dict[str, Any]:
        """What else decides the answers."""
        numbers = {name: getattr(self, name) for name in ("beams", "keep", "units", "budget")}
        return numbers | {"mutate": None if self.mutate is None else identity(self.mutate)}

    def _started(self, prompt: Prompt, generator: torch.Generator | None) -> list[Beam]:
        return [Beam(prompt), *(Beam(self._mutated(prompt, generator)) for _ in range(self.beams - 1))]

    def _mutated(self, prompt: Prompt, generator: torch.Generator | None) -> Prompt:
        if self.mutate is None:
            return prompt
        assert generator is not None  # asked for where there is more than one beam, and else nothing is mutated
        return self.mutate(prompt, generator)

    def _round(
        self,
        prompts: Sequence[Prompt],
        pools: Sequence[list[Beam]],
        units: int,
        generator: torch.Generator | None,
        options: dict[str, Any],
    ) -> list[list[Beam]]:
        """The pools with all beams that go on extended and judged: one call of the policy and one of the reward."""
        going = [(i, j) for i, pool in enumerate(pools) for j, beam in enumerate(pool) if not beam.ended]
        written = [pools[i][j] for i, j in going]
        begun = [beam.response for beam in written]
        with inference(self.policy):
            extensions = self.policy.extend(
                [beam.prompt for beam in written], begun, units, generator=generator, **options
            )
        groups: list[list[Response]] = [[] for _ in pools]
        for (i, _), extension in zip(going, extensions, strict=True):
            groups[i].append(extension.response)
        judged = [response for group in self.judged(prompts, groups) for response in group]
        grown = [list(pool) for pool in pools]
        for (i, j), extension, response in zip(going, extensions, judged, strict=True):
            grown[i][j] = replace(pools[i][j], response=response, ended=extension.ended)
        return grown

    def _refilled(self, prompt: Prompt, pool: Sequence[Beam], generator: torch.Generator | None) -> list[Beam]:
        """The beams of the next round; where all survivors have ended, them alone."""
        order = sorted(range(len(pool)), key=lambda slot: self._rank(pool[slot]))  # stable: ties go to the lowest slot
        survivors = order[: self.keep]
        copied = [slot for slot in survivors if not pool[slot].ended]
        if not copied:
            return [pool[slot] for slot in survivors]
        filled = [replace(beam, parent=slot) for slot, beam in enumerate(pool)]
        for number, slot in enumerate(sorted(order[self.keep :])):
            parent = copied[number % len(copied)]
            asked = prompt if number == 0 else self._mutated(pool[parent].prompt, generator)
            filled[slot] = replace(pool[parent], prompt=asked, parent=parent)
        return filled

    def _rank(self, beam: Beam) -> tuple[int, float]:
        """What sorts before what: by score, then what may yet become valid, then what never will."""
        assert beam.response is not None
        score = beam.response.scores.get(self.name)
        return (1 + beam.ended, 0.0) if score is None else (0, -score)
