"""Stages that builders of any domain share: draw candidates, have them judged, and relate them.

    Sample → Score (once per judge) → BestWorst, GroupRewards or AllLabelPairs

What a stage makes of a record depends on its settings, the seed and the record alone. Every candidate that is left out
is counted with the reason.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch

from prefalign.data.build import derive_seed
from prefalign.interfaces import (
    Group,
    Pair,
    Policy,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    Ranking,
    Response,
    Reward,
    Stage,
    StageReport,
    Unary,
    unknown_name,
)
from prefalign.models.judging import (
    Judge,
    column_of,
    configure,
    identity,
    inference,
    is_blank,
    judgements,
    with_scores,
)
from prefalign.models.sampler import Sampler


class Sample(Stage):
    """Put freshly drawn candidates in the place of a record's responses; none of them is preferred yet.

    Args:
        policy: draws them, by `policy.sample(prompts, n, generator=…, **options)`; a sampler, such as best-of-N, in its
            place draws up to `n`.
        n: candidates per prompt and per combination of `sweep`.
        sweep: options that take several values in turn, such as `{"steps": [5, 25, 50, 100]}`; of several options every
            combination. Which one made a candidate is noted in its `source`.
        options: further options of `policy.sample`, the same for all.

    Raises:
        PrefalignError: for an `n` below 1, a sweep without values, or an option that is also swept.
    """

    def __init__(
        self,
        policy: Policy | Sampler,
        n: int = 1,
        sweep: Mapping[str, Sequence[Any]] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.policy, self.n = policy, n
        self.sweep = {name: list(values) for name, values in (sweep or {}).items()}
        self.options = dict(options or {})
        if n < 1:
            raise PrefalignError(f"expected n of at least 1, got {n}")
        if empty := [name for name, values in self.sweep.items() if not values]:
            raise PrefalignError(f"the sweep over {empty[0]!r} has no values")
        if both := sorted(self.sweep.keys() & self.options.keys()):
            raise PrefalignError(f"{both[0]!r} is swept and fixed; name it once")

    def contexts(self, record: PreferenceRecord) -> Sequence[Prompt | None]:
        """The prompts that are answered; None for the record's own, which its responses need not repeat."""
        return (None,)

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The records with their candidates. Each call of the policy has a generator of its own."""
        configure(self.policy)
        for record in records:
            report.seen += 1
            drawn = list(self._drawn(record, seed))
            found = [response for response in drawn if not is_blank(response)]
            if not found:
                report.drop("every candidate is empty" if drawn else "no candidate was found worth an answer")
                continue
            report.made += 1
            undecided = Ranking((0,) * len(found))
            yield dataclasses.replace(record, responses=tuple(found), verdict=undecided, criteria={})

    def _drawn(self, record: PreferenceRecord, seed: int) -> Iterator[Response]:
        swept = [dict(zip(self.sweep, values, strict=True)) for values in itertools.product(*self.sweep.values())]
        for number, (context, setting) in enumerate(itertools.product(self.contexts(record), swept)):
            generator = torch.Generator().manual_seed(derive_seed(seed, record.id, number))
            prompt = record.prompt if context is None else context
            with inference(self.policy):
                (drawn,) = self.policy.sample([prompt], self.n, generator=generator, **self.options, **setting)
            note = " ".join(f"{name}={value}" for name, value in setting.items())
            for response in drawn:
                source = " ".join(part for part in (response.source, note) if part) or None
                yield dataclasses.replace(response, context=context, source=source)

    def settings(self) -> dict[str, Any]:
        """What decides the output, the policy's weights included, which are loaded for it."""
        return {"policy": identity(self.policy), "n": self.n, "sweep": self.sweep, "options": self.options}


class Score(Stage):
    """Note a judge's numbers in the responses' `scores`; a response that cannot be judged gets none.

    Args:
        judge: a reward, or a program that gives one number per response.
        name: under which the numbers are noted.
        criterion: which of the reward's criteria; its first by default.
        against: judge each response against its own `context`, or all against the record's `prompt`.

    Raises:
        PrefalignError: for an unknown criterion or `against`.
    """

    def __init__(
        self,
        judge: Reward | Judge,
        name: str,
        criterion: str | None = None,
        against: Literal["context", "prompt"] = "context",
    ) -> None:
        if against not in ("context", "prompt"):
            raise unknown_name("against", against, ("context", "prompt"))
        self.judge, self.name, self.criterion, self.against = judge, name, criterion, against
        self._column = column_of(judge, criterion)

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The records with their scores.

        Raises:
            RecordError: for a judge that gives another number of scores than there are responses, or infinite ones.
        """
        configure(self.judge)
        for record in records:
            report.seen += 1
            report.made += 1
            yield self._scored(record)

    def _scored(self, record: PreferenceRecord) -> PreferenceRecord:
        shown = record
        if self.against == "prompt":
            bare = tuple(dataclasses.replace(response, context=None) for response in record.responses)
            # What is identical but for its context is no pair of its own: the judge is not asked for a verdict.
            shown = dataclasses.replace(record, responses=bare, verdict=Ranking((0,) * len(bare)), criteria={})
        (numbers,) = judgements(self.judge, [shown], self._column, name=self.name)
        return with_scores(record, numbers, self.name)

    def settings(self) -> dict[str, Any]:
        """What decides the output, the judge's weights included, which are loaded for it."""
        named = {"name": self.name, "criterion": self.criterion, "against": self.against}
        return {"judge": identity(self.judge), **named}


class BestWorst(Stage):
    """Pairs of the best candidate with the worst, or with every other one. Of equal scores the first counts.

    CRPO (arXiv 2412.21037) sets no limits; HeartMuLa (arXiv 2601.10547) keeps pairs of MuQ similarity with a gap above
    0.12 and a winner above 0.3.

    Args:
        score: by which name of `Response.scores` they are compared.
        min_gap: the winner must score higher by more than this (at least 0).
        min_winner: the winner must score more than this.
        losers: `worst` makes one pair of the record, with its id; `all` one with every other candidate.

    Raises:
        PrefalignError: for a negative gap or unknown losers.
    """

    def __init__(
        self,
        score: str,
        min_gap: float = 0.0,
        min_winner: float | None = None,
        losers: Literal["worst", "all"] = "worst",
    ) -> None:
        if not min_gap >= 0:
            raise PrefalignError(f"expected a min_gap of at least 0, got {min_gap}")
        if losers not in ("worst", "all"):
            raise unknown_name("losers", losers, ("worst", "all"))
        self.score, self.min_gap, self.min_winner, self.losers = score, min_gap, min_winner, losers

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs; nothing is random. Candidates without the score are passed over."""
        for record in records:
            report.seen += 1
            found = [(r.scores[self.score], i) for i, r in enumerate(record.responses) if self.score in r.scores]
            if len(found) < 2:
                report.drop(f"fewer than two candidates have a score {self.score!r}")
                continue
            best, winner = max(found, key=lambda item: item[0])
            if self.min_winner is not None and not best > self.min_winner:
                report.drop(f"no candidate scores more than {self.min_winner}")
                continue
            others = [item for item in found if item[1] != winner]
            for score, loser in others if self.losers == "all" else [min(others, key=lambda item: item[0])]:
                if not best - score > self.min_gap:
                    report.drop(f"the winner is not ahead by more than {self.min_gap}")
                elif record.responses[winner].same_payload(record.responses[loser]):
                    report.drop("winner and loser are identical")
                else:
                    report.made += 1
                    yield paired(record, winner, loser, f"/{loser}" if self.losers == "all" else "")

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {name: getattr(self, name) for name in ("score", "min_gap", "min_winner", "losers")}


class AllLabelPairs(Stage):
    """A pair of every desirable response with every undesirable one of the same record.

    Args:
        threshold: for records with numbers in the place of labels: desirable is what has more. Without one these
            records are left out.
    """

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = threshold

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs, named `<id>/<winner>-<loser>`; nothing is random."""
        for record in records:
            report.seen += 1
            labels = desirable(record, self.threshold)
            if labels is None:
                report.drop("the responses have no labels")
            elif len(set(labels)) < 2:
                report.drop("all labels agree")
            else:
                for winner, loser in itertools.product(range(len(labels)), repeat=2):
                    if not (labels[winner] and not labels[loser]):
                        continue
                    if record.responses[winner].same_payload(record.responses[loser]):
                        report.drop("winner and loser are identical")
                        continue
                    report.made += 1
                    yield paired(record, winner, loser, f"/{winner}-{loser}")

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {"threshold": self.threshold}


def desirable(record: PreferenceRecord, threshold: float | None = None) -> tuple[bool, ...] | None:
    """Which responses are desirable: by their labels, or by numbers above the threshold; None if neither is known."""
    if isinstance(record.verdict, Unary):
        return record.verdict.labels
    if isinstance(record.verdict, Group) and threshold is not None:
        return tuple(reward > threshold for reward in record.verdict.rewards)
    return None


class GroupRewards(Stage):
    """Make a score the record's verdict: one number per candidate, for weighted and listwise objectives.

    Args:
        score: name of the score. Candidates without it are left out, and records that have none.
    """

    def __init__(self, score: str) -> None:
        self.score = score

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The groups; nothing is random."""
        for record in records:
            report.seen += 1
            judged = tuple(response for response in record.responses if self.score in response.scores)
            if not judged:
                report.drop(f"no candidate has a score {self.score!r}")
                continue
            report.made += 1
            verdict = Group(tuple(response.scores[self.score] for response in judged))
            yield dataclasses.replace(record, responses=judged, verdict=verdict, criteria={})

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {"score": self.score}


def paired(record: PreferenceRecord, winner: int, loser: int, suffix: str = "") -> PreferenceRecord:
    """The pair of two responses of a record, the winner first; verdicts over all responses fit it no more.

    Args:
        record: whose prompt, weight and provenance it keeps.
        winner, loser: indices of the responses.
        suffix: added to the record's id.
    """
    responses = (record.responses[winner], record.responses[loser])
    return dataclasses.replace(record, id=record.id + suffix, responses=responses, verdict=Pair(), criteria={})
