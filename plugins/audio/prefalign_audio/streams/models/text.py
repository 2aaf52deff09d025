"""Prompts to the tokens of one text.

Axes: C prompts, L tokens.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError, Prompt, unknown_name
from prefalign_audio.streams.model import Conditioner

#: Condition of a prompt that guidance leads away from: the model does not hear its text.
UNCONDITIONAL = "unconditional"


class TextConditioner(Conditioner):
    """Reads one text: a prompt's plain text, or the condition that says the same.

    What a prompt does not say is the empty text, and nothing of that is heard.

    Args:
        tokenizer: of Transformers.
        name: of the condition that may stand in the text's place: `description` or `lyrics`.
        longest: most tokens of a text; the tokenizer's own limit if None.
        options: of the tokenizer's call.
    """

    def __init__(self, tokenizer: Any, name: str, longest: int | None = None, **options: Any) -> None:
        self.tokenizer, self.name, self.options = tokenizer, name, options
        self.longest = int(tokenizer.model_max_length) if longest is None else longest

    #: Further conditions that the family reads.
    further: tuple[str, ...] = ()

    def encode(self, prompt: Prompt) -> dict[str, Tensor]:
        """`input_ids` (L,) and `heard`, whether the text counts.

        Raises:
            PrefalignError: for chat turns, media, conditions that are not known, and texts that are too long.
        """
        self.check(prompt)
        text = self.text(prompt)
        ids = self.tokenizer(text, **self.options)["input_ids"]
        if len(ids) > self.longest:
            raise PrefalignError(f"the text has {len(ids)} tokens, and the model reads {self.longest}: {text[:60]!r}…")
        heard = bool(text) and not prompt.conditions.get(UNCONDITIONAL)
        return {"input_ids": torch.tensor(ids, dtype=torch.long), "heard": torch.tensor(heard)}

    def check(self, prompt: Prompt) -> None:
        """Refuse what this family is not conditioned on; see `encode`."""
        if prompt.messages:
            raise PrefalignError("expected a plain text as prompt, got chat turns")
        if prompt.media:
            raise PrefalignError(f"the prompt has media ({prompt.media[0].kind}), which this model does not read")
        for name in prompt.conditions:
            if name not in (self.name, UNCONDITIONAL, *self.further):
                raise unknown_name("condition", name, (self.name, *self.further))

    def text(self, prompt: Prompt) -> str:
        """The text that the prompt asks with.

        Raises:
            PrefalignError: for a text and a condition that differ, or a condition that is no text.
        """
        named = prompt.conditions.get(self.name)
        if named is not None and not isinstance(named, str):
            raise PrefalignError(f"expected the condition {self.name!r} to be a text, got {named!r}")
        if named is not None and prompt.text is not None and named != prompt.text:
            raise PrefalignError(f"the prompt has a text and a condition {self.name!r}, which differ; give one of them")
        return named if named is not None else prompt.text or ""

    def collate(self, encoded: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """`input_ids` (C, L), padded on the right, `attention_mask` (C, L), and `heard` (C,)."""
        width = max(len(one["input_ids"]) for one in encoded)
        ids = torch.full((len(encoded), width), int(self.tokenizer.pad_token_id or 0))
        mask = torch.zeros(len(encoded), width, dtype=torch.long)
        for row, one in enumerate(encoded):
            length = len(one["input_ids"])
            ids[row, :length], mask[row, :length] = one["input_ids"], 1
        return {"input_ids": ids, "attention_mask": mask, "heard": torch.stack([one["heard"] for one in encoded])}

    def negative(self, prompt: Prompt) -> Prompt:
        """The same prompt unheard: Transformers' guidance keeps the length of the text too."""
        return replace(prompt, conditions={**prompt.conditions, UNCONDITIONAL: True})

    def fingerprint(self) -> str:
        """Hash of the vocabulary and of how it is used."""
        words = sorted(self.tokenizer.get_vocab().items())
        parts = (type(self).__name__, self.name, self.longest, sorted(self.options.items()), words)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def files(self) -> dict[str, str]:
        """Those of the tokenizer."""
        return written(self.tokenizer)


def written(part: Any) -> dict[str, str]:
    """Names and texts of the files that a tokenizer or feature extractor of Transformers saves."""
    with tempfile.TemporaryDirectory() as folder:
        part.save_pretrained(folder)
        return {file.name: file.read_text(encoding="utf-8") for file in sorted(Path(folder).iterdir())}
