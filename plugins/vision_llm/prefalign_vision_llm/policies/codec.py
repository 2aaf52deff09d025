"""Records with images to token rows: one code path over the processors of all families.

The prompt goes through the processor once per context, with its images; the responses go through the tokenizer alone
and are appended. Nothing that the processor returns is named here: what is aligned with the tokens (`*token_type_ids`)
is continued over the response, and all the rest belongs to the images and is passed through.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from prefalign.data.media import MAX_PIXELS, load_image
from prefalign.interfaces import Batch, Message, PrefalignError, PreferenceRecord, Prompt, RecordError, Slot
from prefalign.models.tokens import TextCodec, TokenExample, TokenRow, spans_to_weights
from prefalign_vision_llm.policies.images import collate_images
from prefalign_vision_llm.policies.types import ALIGNED, collate_types


@dataclass(frozen=True)
class Context:
    """A prompt with its images, as the model reads it.

    Attributes:
        text: the prompt with one placeholder per image, as the processor takes it.
        special: whether the tokenizer adds its special tokens to it.
        plain: ids of `text` by the tokenizer alone, one per placeholder; empty where the processor rewrites the end of
            the prompt, so that a response cannot be tokenised together with it.
        ids: ids by the processor, with as many per image as the model has features.
        side: further tensors of the processor.
    """

    text: str
    special: bool
    plain: list[int]
    ids: list[int]
    side: dict[str, Tensor]


@dataclass(frozen=True)
class Completion:
    """A response as ids that continue `Context.plain[:start]`, with the span of each in the response's text."""

    start: int
    ids: list[int]
    spans: np.ndarray


class VisionCodec(TextCodec):
    """Records of prompts with images, and text responses.

    Args:
        processor: a Transformers processor.
        image_token_id: the id that stands for one image feature in the model's input.
        max_length: most tokens of a row, image tokens included; only responses are cut.
        max_pixels: refuse larger images before they are decoded.
        frame: what the family writes before and after the placeholder of an image, where no template does.
    """

    def __init__(
        self,
        processor: Any,
        image_token_id: int,
        max_length: int | None = None,
        max_pixels: int = MAX_PIXELS,
        frame: tuple[str, str] = ("", ""),
    ) -> None:
        if getattr(processor, "image_token", None) is None:
            raise PrefalignError(
                f"{type(processor).__name__} names no image token, so the places of images in a prompt cannot be told"
            )
        super().__init__(processor.tokenizer, max_length)
        self.processor, self.image_token_id, self.max_pixels, self.frame = processor, image_token_id, max_pixels, frame
        self.placeholder: str = processor.image_token
        self.placeholder_id: int = self.tokenizer.convert_tokens_to_ids(self.placeholder)

    def fingerprint(self) -> str:
        """Hash of the vocabulary, the template, the limits and the image processing."""
        # Not the tokenizer's own template: reloading a processor copies the template to its tokenizer.
        parts = (
            sorted(self.tokenizer.get_vocab().items()),
            self.processor.chat_template,
            json.dumps(self.processor.to_dict(), sort_keys=True, default=str),
            (self.image_token_id, self.max_length, self.frame),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def encode(self, record: PreferenceRecord) -> TokenExample:
        """One record as token rows; rows of the same context share its image tensors.

        Raises:
            RecordError: for images that cannot be read or do not match their placeholders, media in a response, or a
                prompt that leaves no room for one.
        """
        prompts: list[Prompt] = []
        which = []
        for index in range(len(record.responses)):
            prompt = record.context(index)
            if prompt not in prompts:
                prompts.append(prompt)
            which.append(prompts.index(prompt))
        contexts = [self.context(prompt, record) for prompt in prompts]
        found = [self.completion(record, index, contexts[at]) for index, at in enumerate(which)]
        rows = []
        for index, (at, item) in enumerate(zip(which, found, strict=True)):
            context = contexts[at]
            # As in text: all responses to one prompt start at the same token.
            start = min(other.start for place, other in zip(which, found, strict=True) if place == at)
            ids = [*context.plain[start : item.start], *item.ids]
            spans = np.concatenate([np.zeros((item.start - start, 2), dtype=np.int64), item.spans])
            weights = spans_to_weights(record.responses[index], spans, record.id)
            prompt_ids = context.ids[: len(context.ids) - (len(context.plain) - start)]
            rows.append(self._fit(TokenRow(prompt_ids, ids, weights, context.side), record).keyed())
        return TokenExample(record, rows)

    def context(self, prompt: Prompt, record: PreferenceRecord | None = None) -> Context:
        """A prompt through the processor.

        Args:
            prompt: text or messages, with images.
            record: for messages.

        Raises:
            RecordError: for other media than images, unreadable images, or placeholders that do not match them.
        """
        try:
            return self._context(prompt)
        except RecordError as error:
            if record is None:
                raise
            raise record.error(error.problem, error.field) from error

    def _context(self, prompt: Prompt) -> Context:
        if other := sorted({medium.kind for medium in prompt.media} - {"image"}):
            raise RecordError(f"this policy reads images, not {', '.join(other)}", field="prompt.media")
        images = [load_image(medium, max_pixels=self.max_pixels).convert("RGB") for medium in prompt.media]
        text, special = self.prompt_text(prompt)
        places = text.count(self.placeholder)
        if places != len(images):
            raise RecordError(
                f"the prompt has {places} image placeholders {self.placeholder!r} for {len(images)} images",
                field="prompt.media",
            )
        pictures = {"images": [images]} if images else {}
        try:
            encoded = self.processor(text=[text], **pictures, add_special_tokens=special, return_tensors="pt")
        except (ValueError, TypeError, OSError, RuntimeError) as error:
            problem = f"the processor {type(self.processor).__name__} refuses the prompt: {error}"
            raise RecordError(problem, field="prompt") from error
        ids = encoded["input_ids"][0].tolist()
        if images and self.image_token_id not in ids:
            raise RecordError(
                f"the processor wrote no image token (id {self.image_token_id}) for {len(images)} images; do model and "
                "processor belong together?",
                field="prompt.media",
            )
        side = {
            name: value
            for name, value in encoded.items()
            if isinstance(value, Tensor) and name not in ("input_ids", "attention_mask", "labels")
        }
        foreign = [n for n, v in side.items() if v.shape[:2] == (1, len(ids)) and not n.endswith(ALIGNED)]
        if foreign:
            problem = (
                f"the processor returns {foreign[0]!r} for every token, and how it continues over an answer is unknown"
            )
            raise RecordError(problem, field="prompt")
        plain = list(self.tokenizer(text, add_special_tokens=special)["input_ids"])
        # The processor may only have replaced the placeholders; some also write something after the prompt.
        after = len(plain) - 1 - plain[::-1].index(self.placeholder_id) if images else -1
        tail = plain[after + 1 :]
        kept = ids[len(ids) - len(tail) :] == tail and (bool(images) or ids == plain)
        return Context(text, special, plain if kept else [], ids, side)

    def prompt_text(self, prompt: Prompt) -> tuple[str, bool]:
        """The prompt with its image placeholders, and whether the tokenizer still adds its special tokens.

        Images without a place of their own stand before the text.
        """
        if prompt.messages:
            text = self._template(self._with_slots(prompt), add_generation_prompt=True)
            # The convention of processors, whose templates may leave the first token to the tokenizer.
            bos = self.tokenizer.bos_token
            return text, bos is None or not text.startswith(bos)
        text = prompt.text or ""
        if prompt.media and self.placeholder not in text:
            text = self.placeholder.join(self.frame) * len(prompt.media) + text
        return text, True

    def full_text(self, prompt: Prompt, response: Any, prompt_text: str) -> str:
        """Prompt and response as the model reads them."""
        if prompt.messages:
            prompt = dataclasses.replace(prompt, messages=self._with_slots(prompt))
        return super().full_text(prompt, response, prompt_text)

    def _with_slots(self, prompt: Prompt) -> tuple[Message, ...]:
        """The messages with a slot for every image: those without any get them before the first user's text."""
        placed = any(isinstance(part, Slot) for message in prompt.messages for part in message.content)
        if placed or not prompt.media:
            return prompt.messages
        first = next((i for i, message in enumerate(prompt.messages) if message.role == "user"), 0)
        slots = tuple(Slot(medium.kind) for medium in prompt.media)
        turn = prompt.messages[first]
        return (
            *prompt.messages[:first],
            Message(turn.role, (*slots, *turn.content)),
            *prompt.messages[first + 1 :],
        )

    def message_content(self, message: Message) -> Any:
        """A turn as the blocks that processors' templates read."""
        return [
            {"type": part.kind} if isinstance(part, Slot) else {"type": "text", "text": part}
            for part in message.content
        ]

    def _template(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        if self.processor.chat_template is None:
            problem = "the processor has no chat template, so it cannot read messages; give the prompt as text"
            raise RecordError(problem, field="prompt.messages")
        chat = [{"role": m.role, "content": self.message_content(m)} for m in messages]
        text = self.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=add_generation_prompt)
        return str(text)

    def completion(self, record: PreferenceRecord, index: int, context: Context) -> Completion:
        """Response `index` of a record as the continuation of its context."""
        response, name = record.responses[index], f"responses[{index}]"
        if response.media:
            raise record.error("this policy writes text, and the response has media", f"{name}.media")
        found = self._completion(record, index, context)
        if self.image_token_id in found.ids or self.placeholder_id in found.ids:
            raise record.error(f"the response contains the image placeholder {self.placeholder!r}", name)
        return found

    def _completion(self, record: PreferenceRecord, index: int, context: Context) -> Completion:
        prompt, response, name = record.context(index), record.responses[index], f"responses[{index}]"
        end, length = self.tokenizer.eos_token_id, len(context.plain)
        if response.token_ids is not None:
            ids = list(response.token_ids)
            return Completion(length, ids, np.zeros((len(ids), 2), dtype=np.int64))
        text = response.text or "".join(message.text for message in response.messages)
        if not text:
            raise record.error("expected text, messages or token_ids", name)
        full = self.full_text(prompt, response, context.text)
        shared = next(
            (i for i, (a, b) in enumerate(zip(context.text, full, strict=False)) if a != b), len(context.text)
        )
        place = located(text, full, shared)
        closed = place is None or bool(full[place[1] :].strip())
        if place is not None and not closed:
            # The template ends the turn with blanks at most, so the end token is ours to add.
            full = full[: place[1]]
        whole = bool(context.plain)
        # Where the processor rewrote the prompt's end, what follows the prompt is tokenised alone.
        cut = 0 if whole else shared
        encoded = self.tokenizer(
            full[cut:], add_special_tokens=context.special and whole, return_offsets_mapping=bool(response.segments)
        )
        ids = list(encoded["input_ids"])
        if not closed and end is not None and ids[-1:] != [end]:
            ids.append(end)
        spans = np.zeros((len(ids), 2), dtype=np.int64)
        if response.segments:
            if place is None:
                problem = "the chat template rewrites the response, so its segments cannot be placed"
                raise record.error(f"{problem}; give them on the token axis", f"{name}.segments")
            offsets = np.array(encoded["offset_mapping"])
            spans[: len(offsets)] = np.clip(offsets - (place[0] - cut), 0, len(text))
            # The token that ends the answer stands for the place behind its last character.
            behind = 1 + max(np.flatnonzero(spans[:, 0] < spans[:, 1]), default=len(ids))
            spans[behind : behind + 1] = (len(text), len(text) + 1)
        start = next((i for i, (a, b) in enumerate(zip(context.plain, ids, strict=False)) if a != b), length)
        if self.placeholder_id in context.plain[start:]:
            raise record.error("the chat template changes the images' places when an answer follows", "prompt.messages")
        return Completion(start, ids[start:], spans[start:])

    def _fit(self, row: TokenRow, record: PreferenceRecord) -> TokenRow:
        if self.max_length is not None and len(row.prompt) >= self.max_length:
            raise record.error(
                f"the prompt fills max_length ({len(row.prompt)} tokens of {self.max_length}, "
                f"{row.prompt.count(self.image_token_id)} of them image tokens) and is never cut: raise max_length, "
                "let the processor shrink the images, or drop the record",
                "prompt",
            )
        return super()._fit(row, record)

    def collate(self, examples: Sequence[TokenExample], needs: frozenset[str] = frozenset()) -> Batch:
        """Right-padded rows as in text, and image tensors once per context.

        Further inputs: `*token_type_ids` (N, T); `row_context`, the context of each row; the image tensors and their
        `image_entries` per context (see `images`); `image_tokens`, the number of placeholders of each context.
        """
        batch = super().collate(examples, needs)
        rows = [row for example in examples for row in example.rows]
        if "mismatched" in needs:
            rows += [example.rows[0] for example in examples]
        # Rows of one context share the mapping itself; equal images of two records are not looked for.
        contexts: dict[int, TokenRow] = {}
        for row in rows:
            contexts.setdefault(id(row.side), row)
        order = {key: place for place, key in enumerate(contexts)}
        starts = batch.inputs["completion_mask"].long().argmax(-1).tolist()  # type: ignore[attr-defined]
        batch.inputs |= collate_types(rows, starts, batch.inputs["attention_mask"], self.image_token_id)  # type: ignore[arg-type]
        batch.inputs |= collate_images(
            [{n: v for n, v in row.side.items() if not n.endswith(ALIGNED)} for row in contexts.values()]
        )
        batch.inputs["row_context"] = [order[id(row.side)] for row in rows]
        batch.inputs["image_tokens"] = [row.prompt.count(self.image_token_id) for row in contexts.values()]
        return batch


def located(text: str, full: str, start: int) -> tuple[int, int] | None:
    """Where a text begins in a longer one, from `start` on, and where its last written character ends.

    A template may trim the text; then it begins where it would without that. None if it is not there.
    """
    for written in (text, text.strip()):
        if (found := full.find(written, start)) >= 0:
            return found - text.index(written), found + len(written)
    return None
