"""What all samplers that ask a reward share.

Axes: P prompts, with a group of responses each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from prefalign.interfaces import Policy, PrefalignError, PreferenceRecord, Prompt, Ranking, Response, Reward
from prefalign.models.judging import Judge, column_of, configure, identity, is_blank, judgements, with_scores
from prefalign.models.sampler import Sampler


class RewardGuided(Sampler):
    """A policy whose answers a reward chooses from.

    Args:
        policy: draws; its weights are not touched.
        reward: judges; a reward, or a program that gives one number per response of a record.
        criterion: which of the reward's criteria; its first by default.
        name: under which the numbers are noted in the responses' `scores`.

    Raises:
        PrefalignError: for an unknown criterion.
    """

    def __init__(
        self, policy: Policy | Sampler, reward: Reward | Judge, criterion: str | None = None, name: str = "reward"
    ) -> None:
        self.policy, self.reward, self.criterion, self.name = policy, reward, criterion, name
        self._column = column_of(reward, criterion)

    def configure_model(self) -> None:
        """Load or build the weights of policy and reward."""
        configure(self.policy)
        configure(self.reward)

    def identity(self) -> dict[str, Any]:
        """Policy, reward and settings, for a manifest."""
        return {
            "class": f"{type(self).__module__}.{type(self).__qualname__}",
            "policy": identity(self.policy),
            "reward": identity(self.reward),
            "criterion": self.criterion,
            "name": self.name,
            **self.settings(),
        }

    def settings(self) -> dict[str, Any]:
        """What else decides the answers, as plain JSON values."""
        return {}

    def judged(self, prompts: Sequence[Prompt], groups: Sequence[Sequence[Response]]) -> list[list[Response]]:
        """The groups with the reward's number in every response that is valid; all are judged in one batch.

        The reward is shown the text of what has one, without its token ids: those are of the policy's vocabulary, which
        a reward of another one would read as other words. Blank answers are not shown to it, and get no number.

        Args:
            prompts: P prompts.
            groups: P groups of responses that are judged as answers to them.

        Raises:
            RecordError: for numbers that are not finite, or not one per response; and what the reward cannot read.
        """
        plain = [[self._unscored(response) for response in group] for group in groups]
        places = [
            (i, [j for j, response in enumerate(group) if not is_blank(response)]) for i, group in enumerate(plain)
        ]
        places = [(i, kept) for i, kept in places if kept]
        records = [_record(f"prompt-{i}", prompts[i], [plain[i][j] for j in kept]) for i, kept in places]
        shown = [dataclasses.replace(r, responses=tuple(map(_readable, r.responses))) for r in records]
        found = judgements(self.reward, shown, self._column, name=self.name)
        for (i, kept), record, numbers in zip(places, records, found, strict=True):
            for j, response in zip(kept, with_scores(record, numbers, self.name).responses, strict=True):
                plain[i][j] = response
        return plain

    def _unscored(self, response: Response) -> Response:
        if self.name not in response.scores:
            return response
        return dataclasses.replace(response, scores={k: v for k, v in response.scores.items() if k != self.name})

    def ranked(self, group: Sequence[Response]) -> list[Response]:
        """The valid responses of a group, the best first; of equal scores the first counts."""
        return sorted((r for r in group if self.name in r.scores), key=lambda r: -r.scores[self.name])


def needs_generator(generator: torch.Generator | None, count: int) -> torch.Generator | None:
    """The generator.

    Raises:
        PrefalignError: if there is none, and more than one answer is to be drawn.
    """
    if generator is None and count > 1:
        raise PrefalignError(
            f"without a generator all {count} candidates would be the same greedy answer; give "
            "generator=torch.Generator().manual_seed(…)"
        )
    return generator


def _record(name: str, prompt: Prompt, responses: Sequence[Response]) -> PreferenceRecord:
    return PreferenceRecord(id=name, prompt=prompt, responses=tuple(responses), verdict=Ranking((0,) * len(responses)))


def _readable(response: Response) -> Response:
    return response if response.text is None else dataclasses.replace(response, token_ids=None)
