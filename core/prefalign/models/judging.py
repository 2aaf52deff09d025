"""Judging responses and naming who judged, alike in the stages of a builder and in the search for an answer."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from prefalign.functional.fingerprint import fingerprint
from prefalign.interfaces import (
    Policy,
    PrefalignError,
    PreferenceRecord,
    Response,
    Reward,
    unknown_name,
)
from prefalign.models.sampler import Sampler

Judge = Callable[[PreferenceRecord], Sequence[float | None]]
"""A program that gives one number per response of a record, None for what it cannot judge."""


def column_of(judge: Reward | Judge, criterion: str | None) -> int:
    """Place of a criterion among those of the judge; its first for None.

    Raises:
        PrefalignError: for an unknown criterion. Programs have none.
    """
    known = judge.criteria if isinstance(judge, Reward) else ()
    if criterion is None:
        return 0
    if criterion not in known:
        raise unknown_name("criterion", criterion, known)
    return known.index(criterion)


def judgements(
    judge: Reward | Judge, records: Sequence[PreferenceRecord], column: int = 0, *, name: str
) -> list[list[float | None]]:
    """One number per response of each record, None for what the judge cannot judge.

    Args:
        judge: a reward, which sees all records in one batch, or a program, which is asked record by record.
        records: what is judged.
        column: which of the reward's criteria.
        name: of the judge, for messages.

    Raises:
        RecordError: for a judge that gives another number of scores than there are responses.
    """
    if not records:
        return []
    if isinstance(judge, Reward):
        flat = _rewards(judge, records, column)
        starts = [0, *itertools.accumulate(len(record.responses) for record in records[:-1])]
        # The last record takes all that is left, so that a number too many is seen as well.
        found = [flat[start:stop] for start, stop in zip(starts, [*starts[1:], None], strict=True)]
    else:
        found = [list(judge(record)) for record in records]
    for record, numbers in zip(records, found, strict=True):
        if len(numbers) != len(record.responses):
            problem = f"the judge {name!r} gave {len(numbers)} scores for {len(record.responses)} responses"
            raise record.error(problem, "responses")
    return found


def _rewards(reward: Reward, records: Sequence[PreferenceRecord], column: int) -> list[float | None]:
    batch = reward.codec.collate([reward.codec.encode(record) for record in records])
    first = next(reward.parameters(), None)
    with inference(reward):
        output = reward(batch if first is None else batch.to(first.device)).totals()
    values, valid = output.mean[:, column].tolist(), output.valid.tolist()
    return [value if good else None for value, good in zip(values, valid, strict=True)]


def with_scores(record: PreferenceRecord, numbers: Sequence[float | None], name: str) -> PreferenceRecord:
    """The record with a number noted in each response's `scores`; a response whose number is None gets none.

    Raises:
        RecordError: for numbers that are not finite.
    """
    try:
        scored = tuple(
            response
            if number is None
            else dataclasses.replace(response, scores={**response.scores, name: float(number)})
            for response, number in zip(record.responses, numbers, strict=True)
        )
    except PrefalignError as error:
        raise record.error(f"the judge {name!r}: {error}", "responses") from error
    return dataclasses.replace(record, responses=scored)


def is_blank(response: Response) -> bool:
    """Whether a response says nothing, so that no record takes it."""
    return response.text is not None and not response.text.strip()


def identity(model: Any) -> dict[str, Any]:
    """What tells one policy or judge from another in a manifest: its class, and hashes of its encoding and weights."""
    if isinstance(model, Sampler):
        return model.identity()
    named = model if hasattr(model, "__qualname__") else type(model)
    found: dict[str, Any] = {"class": f"{named.__module__}.{named.__qualname__}"}
    if isinstance(model, nn.Module):
        configure(model)
        found["weights"] = fingerprint(model)
        if (codec := getattr(model, "codec", None)) is not None:
            found["encoding"] = codec.fingerprint()
    return found


def configure(model: Any) -> None:
    """Load the weights of what has some; it may be built long before it is used."""
    if isinstance(model, Policy | Reward | Sampler):
        model.configure_model()


@contextlib.contextmanager
def inference(model: Any) -> Iterator[None]:
    """Without gradients and in evaluation mode; afterwards each part is in the mode in which it was."""
    training = [module for module in model.modules() if module.training] if isinstance(model, nn.Module) else []
    for module in training:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
