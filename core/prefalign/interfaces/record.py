"""The preference record: one judgement about one or more responses, as immutable plain data.

A record holds no tensors and knows no tokenizer. Only the policy (through its codec) turns it into model inputs, so the
same record serves a language model, an audio diffusion model or a robot's reward.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.verdict import Group, Pair, Ranking, Unary, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A picture, sound, video or mesh, either by path or by content.

    Attributes:
        kind: `image`, `audio`, `video`, `mesh` or a plugin's own word.
        path: path relative to the dataset's folder. The reader refuses paths that leave it.
        data: the encoded file's bytes (PNG, WAV, …).

    Raises:
        RecordError: unless exactly one of `path` and `data` is given.
    """

    kind: str
    path: str | None = None
    data: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.path is None) == (self.data is None):
            raise RecordError("a medium needs exactly one of path and data", field="media")


@dataclass(frozen=True, slots=True)
class Slot:
    """The place inside a message where the next medium of this kind stands."""

    kind: str


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn; `content` mixes text and media slots in reading order."""

    role: str
    content: tuple[str | Slot, ...]

    @property
    def text(self) -> str:
        """The turn's text without its media slots."""
        return "".join(part for part in self.content if isinstance(part, str))


@dataclass(frozen=True, slots=True)
class Segment:
    """A half-open span `[start, stop)` of a response, with the weight of every unit inside it.

    Attributes:
        start, stop: positions on `axis`, 0 <= start < stop. A deletion is marked by the unit that follows it.
        weight: any finite number, negative for segments to be unlearned.
        axis: what is counted: `char` of the response's text, `token`, `frame`, `step`, `face`.

    Raises:
        RecordError: for an empty or negative span, or a weight that is not finite.
    """

    start: int
    stop: int
    weight: float
    axis: str = "char"

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise RecordError(f"expected 0 <= start < stop, got [{self.start}, {self.stop})", field="segments")
        if not math.isfinite(self.weight):
            raise RecordError(f"expected a finite weight, got {self.weight}", field="segments")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a response answers: plain text or chat turns, media, and further conditions.

    Attributes:
        text: standard (not conversational) prompt.
        messages: conversational prompt; exclusive with `text`.
        media: the media in the order of their slots. A prompt without slots takes its media before its text.
        conditions: whatever else conditions the response, as plain JSON values (lyrics, tags, a goal).

    Raises:
        RecordError: for both text and messages, or slots that do not match the media in number and kind.
    """

    text: str | None = None
    messages: tuple[Message, ...] = ()
    media: tuple[Media, ...] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.text is not None and self.messages:
            raise RecordError("a prompt is text or messages, not both", field="prompt")
        slots = [part.kind for message in self.messages for part in message.content if isinstance(part, Slot)]
        kinds = [medium.kind for medium in self.media]
        if slots and slots != kinds:
            raise RecordError(f"media placeholders {slots} do not match the media {kinds}", field="prompt.media")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Response:
    """One candidate. At least one payload is given; which ones a policy reads is the policy's affair.

    Attributes:
        text: the answer as text.
        messages: the answer as chat turns (several where a tool is called in between); exclusive with `text`.
        token_ids: the answer in the policy's own vocabulary.
        media: generated media, such as the picture or the sound that was judged.
        arrays: named numeric payloads: `observations (T, O)`, `actions (T, A)`, token streams `(K, T)`.
        segments: spans with weights; what they do not cover has weight 1.
        context: the prompt of this response alone, where responses are compared across prompts or media.
        scores: this response's score per named criterion.
        ref_logp: log-probability under the reference in nats, where the data brings it along.
        source: the model or person that wrote it.

    Raises:
        RecordError: without payload, with two text forms, or with scores that are not finite.
    """

    text: str | None = None
    messages: tuple[Message, ...] = ()
    token_ids: tuple[int, ...] | None = None
    media: tuple[Media, ...] = ()
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()
    context: Prompt | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    ref_logp: float | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        if self.text is not None and self.messages:
            raise RecordError("a response is text or messages, not both", field="text")
        if self.text is None and not (self.messages or self.token_ids is not None or self.media or self.arrays):
            raise RecordError("a response needs text, messages, token_ids, media or arrays", field="text")
        for name, value in {**self.scores, "ref_logp": self.ref_logp}.items():
            if value is not None and not math.isfinite(value):
                raise RecordError(f"expected a finite number, got {value}", field=f"scores.{name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Response):
            return NotImplemented
        plain = all(getattr(self, n) == getattr(other, n) for n in Response.__slots__ if n != "arrays")
        return plain and same_arrays(self.arrays, other.arrays)

    __hash__ = None  # type: ignore[assignment]  # holds mappings and arrays

    def same_payload(self, other: Response) -> bool:
        """Whether both say the same thing in the same context, whatever their scores and origin."""
        names = ("text", "messages", "token_ids", "media", "context")
        return all(getattr(self, n) == getattr(other, n) for n in names) and same_arrays(self.arrays, other.arrays)


def same_arrays(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> bool:
    """Whether two mappings hold the same arrays: names, dtypes, shapes and values (NaN equals NaN)."""
    return first.keys() == second.keys() and all(
        first[n].dtype == second[n].dtype
        and np.array_equal(first[n], second[n], equal_nan=np.issubdtype(first[n].dtype, np.inexact))
        for n in first
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceRecord:
    """One judgement.

    Attributes:
        id: unique within its set; keys caches and error messages.
        prompt: shared by all responses that bring no context of their own.
        responses: K >= 1 candidates.
        verdict: pair, ranking, unary labels, or a group with one number each.
        criteria: further verdicts by name (helpful, harmless; lyrics, musicality), over the same responses.
        margin: how much better the chosen one is, in units of reward (at least 0).
        weight: factor on this record's loss (at least 0).
        annotator: who judged.
        source: the set it comes from.
        reference_answer: a trusted answer, where rewards need one.
        goal: target reward vector for goal-conditioned methods.
        provenance: builder, seed, parents, model ids, as plain JSON values.

    Raises:
        RecordError: for empty responses, verdicts that do not fit, identical paired responses, or bad numbers.
    """

    id: str
    prompt: Prompt
    responses: tuple[Response, ...]
    verdict: Verdict
    criteria: Mapping[str, Verdict] = field(default_factory=dict)
    margin: float | None = None
    weight: float = 1.0
    annotator: str | None = None
    source: str | None = None
    reference_answer: Response | None = None
    goal: tuple[float, ...] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            raise RecordError("expected a non-empty id", field="id")
        if not self.responses:
            raise self.error("expected at least one response", "responses")
        for index, response in enumerate(self.responses):
            if response.text is not None and not response.text.strip():
                raise self.error("the response is empty", f"responses[{index}].text")
        named = {f"criteria.{name}": verdict for name, verdict in self.criteria.items()}
        for name, verdict in {"verdict": self.verdict, **named}.items():
            if problem := verdict.misfit(len(self.responses)):
                raise self.error(problem, name)
        for name, number in {"margin": self.margin, "weight": self.weight}.items():
            if number is not None and not (math.isfinite(number) and number >= 0):
                raise self.error(f"expected a finite number of at least 0, got {number}", name)
        if isinstance(self.verdict, Pair) and self.verdict.probability != 0.5 and not self.verdict.tie:
            first, second = self.responses[self.verdict.chosen], self.responses[self.verdict.rejected]
            if first.same_payload(second):
                raise self.error("chosen and rejected are identical, so there is nothing to prefer", "responses")

    def error(self, problem: str, field_name: str) -> RecordError:
        """An error about this record, naming its id."""
        return RecordError(problem, field=field_name, record_id=self.id)

    def context(self, index: int) -> Prompt:
        """The prompt that response `index` answers."""
        return self.responses[index].context or self.prompt


__all__ = [
    "Group",
    "Media",
    "Message",
    "Pair",
    "PreferenceRecord",
    "Prompt",
    "Ranking",
    "Response",
    "Segment",
    "Slot",
    "Unary",
    "Verdict",
    "same_arrays",
]
