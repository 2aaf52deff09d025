"""Tiny real models and sets, built in code: no download, under a second on a CPU."""

from __future__ import annotations

import random
import string
from pathlib import Path
from typing import Any

from prefalign.interfaces.record import Message, PreferenceRecord, Prompt, Response
from prefalign.interfaces.verdict import Pair

#: A Llama of about 20 thousand parameters.
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 104,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def character_tokenizer() -> Any:
    """A fast tokenizer with one token per printable ASCII character; pad 0, bos 1, eos 2, unknown 3."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "<bos>", "<eos>", "<unk>", *sorted(string.printable)]
    inner = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
    inner.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def save_tokenizer(folder: Path) -> str:
    """Write the character tokenizer to a folder and return its path."""
    character_tokenizer().save_pretrained(folder)
    return str(folder)


def word_pairs(count: int, seed: int = 0, chat: bool = False) -> list[PreferenceRecord]:
    """Pairs whose chosen answer repeats the asked letter and whose rejected one does not: learnable in a few steps."""
    draw = random.Random(seed)
    records = []
    for index in range(count):
        good, bad = draw.sample(string.ascii_lowercase, 2)
        text = f"say {good}"
        prompt = Prompt(messages=(Message("user", (text,)),)) if chat else Prompt(text=text + ": ")
        answers = (Response(text=good * draw.randint(2, 6)), Response(text=bad * draw.randint(2, 6)))
        records.append(PreferenceRecord(id=f"pair-{index:04d}", prompt=prompt, responses=answers, verdict=Pair()))
    return records
