"""What a set of records looks like: relations, lengths, ties, media, duplicates, and whether longer answers win."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prefalign.data.canonical import record_to_dict
from prefalign.data.media import media_of
from prefalign.interfaces.record import PreferenceRecord, Prompt, Response
from prefalign.interfaces.verdict import Pair, Unary, pairs

_MOST_COMMON = 10


def response_length(response: Response) -> tuple[str, int] | None:
    """Unit and length of a response: characters of text, tokens, or steps of its actions (else of its first array)."""
    if response.text is not None:
        return "char", len(response.text)
    if response.messages:
        return "char", sum(len(message.text) for message in response.messages)
    if response.token_ids is not None:
        return "token", len(response.token_ids)
    shaped = [a for name, a in sorted(response.arrays.items(), key=lambda item: item[0] != "actions") if a.ndim]
    return ("step", len(shaped[0])) if shaped else None


def prompt_length(prompt: Prompt) -> int:
    """Characters of a prompt's text."""
    return len(prompt.text or "") + sum(len(message.text) for message in prompt.messages)


@dataclass
class _Tally:
    """Counts of one pass. Lengths are kept as machine words, and content as 16-byte digests."""

    relations: Counter[str] = field(default_factory=Counter)
    responses: Counter[int] = field(default_factory=Counter)
    media: Counter[str] = field(default_factory=Counter)
    criteria: Counter[str] = field(default_factory=Counter)
    annotators: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    facts: Counter[str] = field(default_factory=Counter)
    lengths: dict[str, array[int]] = field(default_factory=dict)
    differences: dict[str, array[int]] = field(default_factory=dict)
    prompts: set[bytes] = field(default_factory=set)
    contents: set[bytes] = field(default_factory=set)

    def add(self, record: PreferenceRecord) -> None:
        self.facts["records"] += 1
        self.relations[type(record.verdict).__name__.lower()] += 1
        self.responses[len(record.responses)] += 1
        self.criteria.update(record.criteria.keys())
        self.annotators.update([record.annotator] if record.annotator is not None else [])
        self.sources.update([record.source] if record.source is not None else [])
        self.media.update(
            f"{path.partition('.')[0].partition('[')[0]} {medium.kind}" for path, medium in media_of(record)
        )
        self.facts["with segments"] += any(response.segments for response in record.responses)
        self.facts["with margin"] += record.margin is not None
        self.facts["with weight other than 1"] += record.weight != 1.0
        self._add_content(record)
        self._note(self.lengths, "prompt (char)", prompt_length(record.prompt))
        for response in record.responses:
            if (length := response_length(response)) is not None:
                self._note(self.lengths, f"response ({length[0]})", length[1])
        if isinstance(record.verdict, Unary):
            self.facts["desirable"] += sum(record.verdict.labels)
            self.facts["undesirable"] += len(record.verdict.labels) - sum(record.verdict.labels)
        for pair in pairs(record.verdict):
            self._add_pair(record, pair)

    def _add_pair(self, record: PreferenceRecord, pair: Pair) -> None:
        self.facts["pairs"] += 1
        self.facts["ties"] += pair.tie
        self.facts["soft pairs"] += not pair.tie and pair.probability not in (0.0, 1.0)
        if pair.tie or pair.probability == 0.5:
            return
        sides = (pair.chosen, pair.rejected) if pair.probability > 0.5 else (pair.rejected, pair.chosen)
        better, worse = (response_length(record.responses[i]) for i in sides)
        if better is not None and worse is not None and better[0] == worse[0]:
            self._note(self.lengths, f"chosen ({better[0]})", better[1])
            self._note(self.lengths, f"rejected ({better[0]})", worse[1])
            self._note(self.differences, better[0], better[1] - worse[1])

    def _add_content(self, record: PreferenceRecord) -> None:
        form = record_to_dict(record)
        prompt, content = _digest(form["prompt"]), _digest([form["prompt"], form["responses"]])
        self.facts["records whose prompt stood before"] += prompt in self.prompts
        self.facts["records whose prompt and responses stood before"] += content in self.contents
        self.prompts.add(prompt)
        self.contents.add(content)

    def _note(self, where: dict[str, array[int]], name: str, value: int) -> None:
        where.setdefault(name, array("q")).append(value)


def describe(records: Iterable[PreferenceRecord]) -> dict[str, Any]:
    """Statistics of a set, in one pass that holds a few words a record.

    Returns:
        Plain JSON values: `records`, `relations`, `responses` (how many records have how many), `pairs` (implied by the
        verdicts) with `ties` and `soft`, `labels`, `lengths` (mean, median, 95th percentile and greatest, by role and
        unit), `length_bias`, `media`, `duplicates`, `annotators`, `sources`, `criteria` and `with`.

        `length_bias` says, over pairs with a better side and two lengths in one unit, how often the better one is the
        longer and the shorter, and the mean difference. Without bias, longer and shorter are about as frequent.
    """
    tally = _Tally()
    for record in records:
        tally.add(record)
    facts = tally.facts
    return {
        "records": facts["records"],
        "relations": dict(tally.relations),
        "responses": {str(count): n for count, n in sorted(tally.responses.items())},
        "pairs": {"count": facts["pairs"], "ties": facts["ties"], "soft": facts["soft pairs"]},
        "labels": {"desirable": facts["desirable"], "undesirable": facts["undesirable"]},
        "lengths": {name: _summary(values) for name, values in sorted(tally.lengths.items())},
        "length_bias": {unit: _bias(values) for unit, values in sorted(tally.differences.items())},
        "media": dict(sorted(tally.media.items())),
        "duplicates": {
            "prompts": facts["records whose prompt stood before"],
            "records": facts["records whose prompt and responses stood before"],
        },
        "annotators": {"distinct": len(tally.annotators), "most": dict(tally.annotators.most_common(_MOST_COMMON))},
        "sources": {"distinct": len(tally.sources), "most": dict(tally.sources.most_common(_MOST_COMMON))},
        "criteria": dict(sorted(tally.criteria.items())),
        "with": {n: facts[f"with {n}"] for n in ("segments", "margin", "weight other than 1")},
    }


def _summary(values: array[int]) -> dict[str, float]:
    lengths = np.frombuffer(values, np.int64)
    median, high = np.percentile(lengths, [50, 95])
    return {"mean": float(lengths.mean()), "median": float(median), "p95": float(high), "max": float(lengths.max())}


def _bias(values: array[int]) -> dict[str, float]:
    differences = np.frombuffer(values, np.int64)
    return {
        "pairs": len(differences),
        "chosen_longer": float((differences > 0).mean()),
        "chosen_shorter": float((differences < 0).mean()),
        "mean_difference": float(differences.mean()),
    }


def _digest(form: Any) -> bytes:
    return hashlib.blake2b(json.dumps(form, sort_keys=True).encode(), digest_size=16).digest()
