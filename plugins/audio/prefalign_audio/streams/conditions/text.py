"""Lyrics and a description as text, for models that read them as tokens before the song."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError, Prompt, unknown_name
from prefalign.models.pretrained import from_pretrained
from prefalign_audio.streams.conditions.quality import QUALITY, asked_quality, with_quality
from prefalign_audio.streams.model import Conditioner

_KNOWN = ("lyrics", "description", "quality")


class TextConditions(Conditioner):
    """The conditions `lyrics`, `description` and `quality`, each as the tokens of a text, one behind the other.

    Each begins with a line that names it, so that a part that is left out is told from an empty one. A quality is told
    as LeVo's second version does, `[Musicality-very-high]`. The empty prompt is one blank place.

    Args:
        tokenizer: id or folder of a tokenizer; its ids are moved up by 1, since 0 says nothing.
        max_tokens: most tokens of a prompt; longer ones are refused, since half a lyric is another song.
        revision: of the tokenizer on the hub.
    """

    def __init__(self, tokenizer: str, max_tokens: int | None = None, revision: str | None = None) -> None:
        from transformers import AutoTokenizer

        self.tokenizer = from_pretrained(AutoTokenizer, tokenizer, revision=revision)
        self.max_tokens = max_tokens
        self.ids = len(self.tokenizer) + 1

    def encode(self, prompt: Prompt) -> dict[str, Tensor]:
        """`ids` (P, 1).

        Raises:
            PrefalignError: for conditions that are not known or no text, a description twice, chat turns and media, and
                for too many tokens.
        """
        if prompt.messages or prompt.media:
            raise PrefalignError("the model reads text only; expected a prompt without chat turns and media")
        if prompt.text and prompt.conditions.get("description"):
            raise PrefalignError("the prompt is described twice, by its text and by the condition 'description'")
        for name, value in prompt.conditions.items():
            if name not in _KNOWN:
                raise unknown_name("condition", name, _KNOWN)
            if value is not None and not isinstance(value, str):
                raise PrefalignError(f"{name}: expected text, got {type(value).__name__}")
        quality = asked_quality(prompt)
        parts = {
            "description": prompt.conditions.get("description") or prompt.text,
            "quality": None if quality is None else f"[Musicality-{quality}]",
            "lyrics": prompt.conditions.get("lyrics"),
        }
        text = "\n".join(f"[{name}]\n{value}" for name, value in parts.items() if value)
        tokens = self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        if self.max_tokens is not None and len(tokens) > self.max_tokens:
            raise PrefalignError(
                f"lyrics and description have {len(tokens)} tokens, and max_tokens is {self.max_tokens}"
            )
        return {"ids": torch.tensor([[token + 1] for token in tokens] or [[0]])}

    def collate(self, encoded: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """`ids` (C, P, 1) and `mask` (C, P), padded on the left so that all conditions end at the same place."""
        length = max(len(one["ids"]) for one in encoded)
        ids = torch.zeros(len(encoded), length, 1, dtype=torch.long)
        for row, one in enumerate(encoded):
            ids[row, length - len(one["ids"]) :] = one["ids"]
        lengths = torch.tensor([len(one["ids"]) for one in encoded])
        return {"ids": ids, "mask": torch.arange(length)[None] >= length - lengths[:, None]}

    def negative(self, prompt: Prompt) -> Prompt:
        """The lowest quality where the prompt asks for one (LeVo 2); the empty prompt elsewhere."""
        return Prompt() if asked_quality(prompt) is None else with_quality(prompt, QUALITY[0])

    def fingerprint(self) -> str:
        """Hash of the tokenizer and the limit."""
        parts = (sorted(self.tokenizer.get_vocab().items()), self.max_tokens)
        return hashlib.sha256(repr(parts).encode()).hexdigest()
