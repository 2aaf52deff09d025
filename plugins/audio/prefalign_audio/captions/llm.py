"""Free captions rewritten by a language model, for what no table of connecting words can take apart."""

from __future__ import annotations

import re
from typing import Any

import torch

from prefalign.interfaces import PrefalignError
from prefalign.models.pretrained import DType, from_pretrained

INSTRUCTION = (
    "Rewrite the description of a sound so that it describes another sound: change the order of its events, leave one "
    "out, or name another one. Keep the style and the length. Answer with the new description alone, on one line."
)

_LABEL = re.compile(r"^\s*(?:[-*•]|\d+[.)]|(?:new |rewritten )?(?:description|caption)\s*:)\s*", re.IGNORECASE)
_QUOTES = "\"'“”‘’`"


class CaptionRewriter:
    """A causal language model of Transformers that rewrites captions greedily, so that the same gives the same.

    The weights are loaded when the first caption comes.

    Args:
        model: id or folder of the model with its tokenizer.
        instruction: what the model is told before the caption.
        max_new_tokens: limit of an answer.
        revision: commit or branch of the model; its newest if None.
        dtype: dtype of the weights.
        device: where it runs.
    """

    def __init__(
        self,
        model: str,
        instruction: str = INSTRUCTION,
        max_new_tokens: int = 64,
        revision: str | None = None,
        dtype: DType = "auto",
        device: str = "cpu",
    ) -> None:
        if max_new_tokens < 1:
            raise PrefalignError(f"expected max_new_tokens of at least 1, got {max_new_tokens}")
        self.model, self.instruction, self.max_new_tokens = model, instruction, max_new_tokens
        self.revision, self.dtype, self.device = revision, dtype, device
        self._loaded: tuple[Any, Any] | None = None

    def __call__(self, caption: str) -> str:
        """The rewritten caption: the first line of the answer that is not blank. It may be empty or unchanged.

        Raises:
            PrefalignError: if the model cannot be loaded.
        """
        tokenizer, network = self._load()
        inputs = {name: tensor.to(network.device) for name, tensor in self._asked(tokenizer, caption).items()}
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        with torch.no_grad():
            ids = network.generate(
                **inputs, do_sample=False, num_beams=1, max_new_tokens=self.max_new_tokens, pad_token_id=pad
            )
        return first_line(tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))

    def _asked(self, tokenizer: Any, caption: str) -> dict[str, torch.Tensor]:
        question = f"{self.instruction}\n\n{caption}"
        if tokenizer.chat_template:
            chat = [{"role": "user", "content": question}]
            text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            # The template has written the marks of the beginning already.
            encoded = tokenizer(text, add_special_tokens=False, return_tensors="pt")
        else:
            encoded = tokenizer(f"{question}\n", return_tensors="pt")
        return {name: encoded[name] for name in ("input_ids", "attention_mask")}

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            tokenizer = from_pretrained(AutoTokenizer, self.model, revision=self.revision)
            dtype = self.dtype if self.dtype == "auto" else getattr(torch, self.dtype)
            network = from_pretrained(AutoModelForCausalLM, self.model, revision=self.revision, dtype=dtype)
            self._loaded = tokenizer, network.to(self.device).eval()
        return self._loaded

    def settings(self) -> dict[str, Any]:
        """What decides the answers, for a builder's manifest."""
        names = ("model", "instruction", "max_new_tokens", "revision", "dtype")
        return {name: getattr(self, name) for name in names}


def first_line(answer: str) -> str:
    """The first line of an answer that is not blank, without a list mark, a label or quotation marks around it."""
    line = next((line.strip() for line in answer.splitlines() if line.strip()), "")
    line = _LABEL.sub("", line).strip()
    quoted = len(line) > 1 and line[0] in _QUOTES and line[-1] in _QUOTES
    return line[1:-1].strip() if quoted else line
