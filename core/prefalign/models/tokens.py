"""Records to token rows: the codec of text models.

A row is one prompt followed by one completion. The prompt is never shortened; only a completion may be cut at
`max_length`. Where the completion starts is read off the tokenised prompt, never found by searching the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefalign.interfaces import Batch, Message, PreferenceRecord, Prompt, RecordError, Relations, Response, Slot


@dataclass
class TokenRow:
    """One response under one prompt.

    Attributes:
        prompt: token ids of the prompt.
        completion: token ids of the response, its end token included.
        weights: one weight per completion token.
        side: further tensors of the prompt (pixels, grids); shared by the rows of one context.
        key: hash of all that the model sees in this row.
    """

    prompt: list[int]
    completion: list[int]
    weights: list[float]
    side: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""

    def keyed(self) -> TokenRow:
        """The row with its content key, which token weights do not enter: the model never sees them."""
        digest = hashlib.sha256()
        digest.update(
            torch.tensor([len(self.prompt), *self.prompt, *self.completion], dtype=torch.int64).numpy().tobytes()
        )
        for name in sorted(self.side):
            value = self.side[name]
            digest.update(name.encode())
            if isinstance(value, Tensor):
                digest.update(str((tuple(value.shape), value.dtype)).encode())
                digest.update(value.contiguous().view(torch.uint8).numpy().tobytes())
            else:
                digest.update(repr(value).encode())
        self.key = digest.hexdigest()
        return self


@dataclass
class TokenExample:
    """One encoded record: a row per response."""

    record: PreferenceRecord
    rows: list[TokenRow]


def spans_to_weights(response: Response, spans: np.ndarray, record_id: str) -> list[float]:
    """The weight of every token that meets a segment; 1 elsewhere.

    Args:
        response: its segments are read, on the axes `char` (of its text) and `token` (of its completion).
        spans: (T, 2) half-open span of each completion token in characters of the response's text; tokens outside the
            text have an empty span, but the one behind its end has [length, length + 1).
        record_id: for messages.

    Raises:
        RecordError: for a segment on another axis or past the end.
    """
    weights = np.ones(len(spans))
    inside: np.ndarray | slice
    for segment in response.segments:
        if segment.axis == "char":
            limit, inside = spans.max(initial=0), (spans[:, 0] < segment.stop) & (spans[:, 1] > segment.start)
            inside &= spans[:, 0] < spans[:, 1]
        elif segment.axis == "token":
            # A slice: long responses come with thousands of segments.
            limit, inside = len(spans), slice(segment.start, segment.stop)
        else:
            problem = f"a token model reads segments on the axes 'char' and 'token', not {segment.axis!r}"
            raise RecordError(problem, field="segments", record_id=record_id)
        if segment.start >= limit:
            problem = f"segment [{segment.start}, {segment.stop}) starts past the end of the response ({limit})"
            raise RecordError(problem, field="segments", record_id=record_id)
        weights[inside] = segment.weight
    return weights.tolist()


@dataclass(frozen=True)
class Rendered:
    """A prompt with one response as token ids.

    Attributes:
        prompt_text: the prompt as the model reads it.
        prompt: its ids.
        ids: ids of prompt and response.
        spans: (T, 2) span of each of `ids` in the response's text, empty outside it.
    """

    prompt_text: str
    prompt: list[int]
    ids: list[int]
    spans: np.ndarray


class TextCodec:
    """Text records to token rows, through the tokenizer and its chat template.

    Args:
        tokenizer: a Transformers tokenizer; a fast one where records bring character segments.
        max_length: most tokens of a row; longer completions are cut, and a prompt that leaves no room is refused.
    """

    def __init__(self, tokenizer: Any, max_length: int | None = None) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        # A pad id of 0 is a real id: only None means that there is none.
        pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
        self.pad_id: int = pad if pad is not None else end if end is not None else 0

    def fingerprint(self) -> str:
        """Hash of the vocabulary, the template and the limits."""
        parts = (
            sorted(self.tokenizer.get_vocab().items()),
            getattr(self.tokenizer, "chat_template", None),
            self.max_length,
            type(self).__name__,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def encode(self, record: PreferenceRecord) -> TokenExample:
        """One record as token rows.

        Raises:
            RecordError: for media or payloads that a text model cannot read, or a prompt that leaves no room.
        """
        rendered = [self.render(record, index) for index in range(len(record.responses))]
        # All responses to one prompt start at the same token: the earliest at which any of them leaves the prompt,
        # which is before its end where tokens merge across the border.
        starts: dict[str, int] = {}
        for item in rendered:
            shared = next(
                (i for i, (a, b) in enumerate(zip(item.prompt, item.ids, strict=False)) if a != b), len(item.prompt)
            )
            starts[item.prompt_text] = min(starts.get(item.prompt_text, shared), shared)
        rows = []
        for item, response in zip(rendered, record.responses, strict=True):
            start = starts[item.prompt_text]
            weights = spans_to_weights(response, item.spans[start:], record.id)
            rows.append(self._fit(TokenRow(item.ids[:start], item.ids[start:], weights), record).keyed())
        return TokenExample(record, rows)

    def _fit(self, row: TokenRow, record: PreferenceRecord) -> TokenRow:
        if self.max_length is not None and len(row.prompt) >= self.max_length:
            raise record.error(
                f"the prompt fills max_length ({len(row.prompt)} tokens of {self.max_length}) and is never cut: "
                "raise max_length or drop the record",
                "prompt",
            )
        if self.max_length is not None:
            room = self.max_length - len(row.prompt)
            row.completion, row.weights = row.completion[:room], row.weights[:room]
        if not row.completion:
            raise record.error("the response has no tokens", "responses")
        return row

    def render(self, record: PreferenceRecord, index: int) -> Rendered:
        """Prompt and response `index` of a record as token ids."""
        prompt, response = record.context(index), record.responses[index]
        if prompt.media or response.media:
            raise record.error("this model reads text only, and the record has media", f"responses[{index}]")
        prompt_text, special = self.prompt_text(prompt)
        prompt_ids = list(self.tokenizer(prompt_text, add_special_tokens=special)["input_ids"])
        if response.token_ids is not None:
            ids = [*prompt_ids, *response.token_ids]
            return Rendered(prompt_text, prompt_ids, ids, np.zeros((len(ids), 2), dtype=np.int64))
        text = response.text or "".join(message.text for message in response.messages)
        if not text:
            raise record.error("expected text, messages or token_ids", f"responses[{index}]")
        full_text = self.full_text(prompt, response, prompt_text)
        segmented = bool(response.segments)
        found = self.tokenizer(full_text, add_special_tokens=special, return_offsets_mapping=segmented)
        ids, end = list(found["input_ids"]), self.tokenizer.eos_token_id
        # A plain prompt has no template that ends the turn, so the end token is ours to add.
        added = [end] if special and end is not None and ids[-1:] != [end] else []
        spans = np.zeros((len(ids) + len(added), 2), dtype=np.int64)
        if segmented:
            # The template may wrap the response but not rewrite it; the search starts where prompt and row part.
            shared = next((i for i, (a, b) in enumerate(zip(prompt_text, full_text, strict=False)) if a != b), None)
            begin = full_text.find(text, len(prompt_text) if shared is None else shared)
            if begin < 0:
                raise record.error(
                    "the chat template rewrites the response, so its segments cannot be placed; give them on the "
                    "token axis",
                    f"responses[{index}].segments",
                )
            spans[: len(ids)] = np.clip(np.array(found["offset_mapping"]) - begin, 0, len(text))
            # The token behind the text decides that it ends; a segment names it as the place behind the last character.
            behind = 1 + max(np.flatnonzero(spans[:, 0] < spans[:, 1]), default=len(spans))
            spans[behind : behind + 1] = (len(text), len(text) + 1)
        return Rendered(prompt_text, prompt_ids, ids + added, spans)

    def prompt_text(self, prompt: Prompt) -> tuple[str, bool]:
        """The prompt as the model reads it, and whether the tokenizer still adds its special tokens."""
        if prompt.messages:
            return self._template(prompt.messages, add_generation_prompt=True), False
        return prompt.text or "", True

    def full_text(self, prompt: Prompt, response: Response, prompt_text: str) -> str:
        """Prompt and response as the model reads them."""
        if prompt.messages:
            answer = response.messages or (Message("assistant", (response.text or "",)),)
            return self._template((*prompt.messages, *answer), add_generation_prompt=False)
        return prompt_text + (response.text or "".join(message.text for message in response.messages))

    def _template(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        chat = [{"role": m.role, "content": self.message_content(m)} for m in messages]
        text = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=add_generation_prompt)
        return str(text)

    def message_content(self, message: Message) -> Any:
        """A turn's content in the form that the chat template reads."""
        if any(isinstance(part, Slot) for part in message.content):
            raise RecordError("this model reads text only, and the message has a media slot", field="prompt.messages")
        return message.text

    def collate(self, examples: Sequence[TokenExample], needs: frozenset[str] = frozenset()) -> Batch:
        """Right-padded rows, in the order of the records and their responses.

        Inputs of the batch: `input_ids`, `attention_mask`, `completion_mask`, `token_weights`, all (N, T); with
        `mismatched` in `needs`, one row per record is appended that pairs its first prompt with the first response of
        the next record.
        """
        rows = [row for example in examples for row in example.rows]
        extra = []
        if "mismatched" in needs:
            extra = [
                TokenRow(
                    mine.rows[0].prompt, other.rows[0].completion, other.rows[0].weights, mine.rows[0].side
                ).keyed()
                for mine, other in zip(examples, [*examples[1:], examples[0]], strict=True)
            ]
        rows += extra
        inputs = pad_rows(rows, self.pad_id)
        relations = Relations.from_records([example.record for example in examples], mismatched=len(extra))
        return Batch(inputs, relations, [row.key for row in rows])


def pad_rows(rows: Sequence[TokenRow], pad_id: int) -> dict[str, Any]:
    """Rows of unequal length as right-padded tensors.

    Returns:
        `input_ids` (N, T) long, `attention_mask` (N, T) long, `completion_mask` (N, T) bool, `token_weights` (N, T)
        float32 that is 0 outside the completion.
    """
    width = max(len(row.prompt) + len(row.completion) for row in rows)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    attention = torch.zeros((len(rows), width), dtype=torch.long)
    completion = torch.zeros((len(rows), width), dtype=torch.bool)
    weights = torch.zeros((len(rows), width), dtype=torch.float32)
    for index, row in enumerate(rows):
        start, stop = len(row.prompt), len(row.prompt) + len(row.completion)
        ids[index, :stop] = torch.tensor([*row.prompt, *row.completion])
        attention[index, :stop] = 1
        completion[index, start:stop] = True
        weights[index, start:stop] = torch.tensor(row.weights)
    return {"input_ids": ids, "attention_mask": attention, "completion_mask": completion, "token_weights": weights}
