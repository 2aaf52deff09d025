"""Pairs of an answer and its correction, with the weights of dense DPO (RLHF-V, arXiv 2312.00849 section 3.2)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from prefalign.interfaces import (
    Media,
    Message,
    Pair,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    Response,
    Segment,
    Slot,
    Stage,
    StageReport,
    Unary,
    unknown_name,
)
from prefalign_vision_llm.corrections.alignment import Change, Span, Units, changes, placed, settled, tokens, words

Scheme = Literal["none", "released", "spans", "decision"]

#: Under these names a record's provenance keeps the places that an annotator marked, as `[start, stop)` in characters.
CHOSEN_SPANS, REJECTED_SPANS = "chosen_spans", "rejected_spans"


def segments(
    chosen: str,
    rejected: str,
    gamma: float,
    scheme: Scheme = "decision",
    tokenizer: Any = None,
    annotated: tuple[Sequence[Span], Sequence[Span]] | None = None,
) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """The weighted segments of both answers, in characters.

    Schemes:
        none: no segment, which is plain DPO.
        spans: what differs.
        decision: also the unit that follows a deletion, in the chosen answer, and an insertion, in the rejected one:
            the place where the model goes on differently. Behind the last unit that is the end of the answer.
        released: as in the code that RLHF-V's authors published: tokens between equal runs of three or more, and only
            where both answers have some; the end token takes part.

    Args:
        chosen: the corrected answer.
        rejected: the original.
        gamma: weight of the marked places; 1 outside them.
        scheme: which places are marked.
        tokenizer: compare its tokens instead of words; `released` needs one.
        annotated: the annotator's spans of (chosen, rejected), which take the place of a comparison; see `placed`.

    Raises:
        PrefalignError: for an unknown scheme, a gamma that is not finite, or spans that do not fit the answers.
    """
    _check(gamma, scheme, tokenizer)
    if scheme == "none":
        return (), ()
    after, before = (words(text) if tokenizer is None else tokens(text, tokenizer) for text in (chosen, rejected))
    if scheme == "released":
        return _released(after, before, gamma)
    if annotated is None:
        found = changes(before.keys, after.keys)
    else:
        found = placed(before, after, annotated[1], annotated[0])
    found = settled(found, before.keys, after.keys)
    return (
        _weighted(after, [_marked(change.chosen, change.deletion, scheme) for change in found], gamma),
        _weighted(before, [_marked(change.rejected, change.insertion, scheme) for change in found], gamma),
    )


def _check(gamma: float, scheme: str, tokenizer: Any) -> None:
    if scheme not in get_args(Scheme):
        raise unknown_name("scheme", scheme, get_args(Scheme))
    if not math.isfinite(gamma):
        raise PrefalignError(f"expected a finite gamma, got {gamma}")
    if scheme == "released" and tokenizer is None:
        raise PrefalignError("the scheme 'released' compares tokens: give it the policy's tokenizer")


def _marked(span: Span, empty: bool, scheme: Scheme) -> Span:
    return (span[0], span[0] + 1) if empty and scheme == "decision" else span


def _released(after: Units, before: Units, gamma: float) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    end = object()
    found: list[Change] = changes([*before.keys, end], [*after.keys, end], shortest=3)
    both = [change for change in found if not (change.deletion or change.insertion)]
    return _weighted(after, [c.chosen for c in both], gamma), _weighted(before, [c.rejected for c in both], gamma)


def _weighted(units: Units, spans: Sequence[Span], gamma: float) -> tuple[Segment, ...]:
    places = (units.characters(start, stop) for start, stop in spans if start < stop)
    # A tokenizer may have tokens without characters, such as the mark of a text's beginning.
    return tuple(Segment(start, stop, gamma) for start, stop in places if start < stop)


class MarkCorrections(Stage):
    """Weigh the places in which the two answers of a pair differ. Segments that a pair already has are replaced.

    Records other than pairs of texts pass unchanged. Where a record's provenance holds `chosen_spans` and
    `rejected_spans`, these are taken for what changed.

    Args:
        gamma: weight of the marked places.
        scheme: which places; see `segments`.
        tokenizer: id or folder of a tokenizer whose tokens are compared instead of words.
    """

    def __init__(self, gamma: float = 5.0, scheme: Scheme = "decision", tokenizer: str | None = None) -> None:
        _check(gamma, scheme, tokenizer)
        self.gamma, self.scheme, self.source = gamma, scheme, tokenizer
        self._tokenizer: Any = None

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The records with their segments; nothing is random."""
        if self.source is not None and self._tokenizer is None:
            from transformers import AutoTokenizer

            self._tokenizer = AutoTokenizer.from_pretrained(self.source)
        for record in records:
            report.seen += 1
            report.made += 1
            yield marked(record, self.gamma, self.scheme, self._tokenizer)

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {"gamma": self.gamma, "scheme": self.scheme, "tokenizer": self.source}


def marked(
    record: PreferenceRecord, gamma: float, scheme: Scheme = "decision", tokenizer: Any = None
) -> PreferenceRecord:
    """A pair with the segments of its answers; any other record as it is.

    Raises:
        RecordError: for annotated spans that do not fit the answers.
    """
    verdict = record.verdict
    if not isinstance(verdict, Pair):
        return record
    chosen, rejected = record.responses[verdict.chosen], record.responses[verdict.rejected]
    texts = [_text(response) for response in (chosen, rejected)]
    if not all(texts):
        return record
    try:
        found = segments(texts[0], texts[1], gamma, scheme, tokenizer, _annotated(record.provenance))
    except PrefalignError as error:
        raise record.error(str(error), "provenance") from error
    responses = list(record.responses)
    for index, new in zip((verdict.chosen, verdict.rejected), found, strict=True):
        responses[index] = dataclasses.replace(responses[index], segments=new)
    return dataclasses.replace(record, responses=tuple(responses))


def _text(response: Response) -> str:
    return response.text or "".join(message.text for message in response.messages)


def _annotated(provenance: Mapping[str, Any]) -> tuple[Sequence[Span], Sequence[Span]] | None:
    if CHOSEN_SPANS not in provenance and REJECTED_SPANS not in provenance:
        return None
    sides = [provenance.get(name) for name in (CHOSEN_SPANS, REJECTED_SPANS)]
    for spans in sides:
        whole = isinstance(spans, list | tuple) and all(
            isinstance(span, list | tuple) and len(span) == 2 and all(type(end) is int for end in span)
            for span in spans
        )
        if not whole:
            raise PrefalignError(
                f"expected {CHOSEN_SPANS} and {REJECTED_SPANS}, both lists of [start, stop]; got {spans!r}"
            )
    chosen, rejected = ([(span[0], span[1]) for span in spans or ()] for spans in sides)
    return chosen, rejected


def correction(
    id: str,
    image: Media,
    prompt: str,
    chosen: str,
    rejected: str,
    gamma: float = 5.0,
    scheme: Scheme = "decision",
    annotated: tuple[Sequence[Span], Sequence[Span]] | None = None,
    **fields: Any,
) -> PreferenceRecord:
    """A corrected answer to a question about an image, as a pair.

    Args:
        id: of the record.
        image: what is asked about.
        prompt: the question.
        chosen: the corrected answer.
        rejected: the original.
        gamma: weight of the marked places.
        scheme: which places; see `segments`.
        annotated: the annotator's spans of (chosen, rejected); they are kept, so that the pair can be marked anew.
        fields: further fields of the record.
    """
    provenance = dict(fields.pop("provenance", {}))
    if annotated is not None:
        provenance |= {CHOSEN_SPANS: [list(s) for s in annotated[0]], REJECTED_SPANS: [list(s) for s in annotated[1]]}
    record = PreferenceRecord(
        id=id,
        prompt=question(image, prompt),
        responses=(Response(text=chosen), Response(text=rejected)),
        verdict=Pair(),
        provenance=provenance,
        **fields,
    )
    return marked(record, gamma, scheme)


def verified(id: str, image: Media, prompt: str, answer: str, **fields: Any) -> PreferenceRecord:
    """An answer in which an annotator found nothing to correct: desirable, without a counterpart."""
    return PreferenceRecord(
        id=id, prompt=question(image, prompt), responses=(Response(text=answer),), verdict=Unary((True,)), **fields
    )


def question(image: Media, text: str) -> Prompt:
    """A user's turn with an image before its text."""
    return Prompt(messages=(Message("user", (Slot("image"), text)),), media=(image,))
