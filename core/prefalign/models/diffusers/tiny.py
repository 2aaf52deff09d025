"""Tiny frozen parts from their real classes, so that families run, train and are tested without any download."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

#: Numbers of special tokens.
PAD, END, FIRST_WORD = 0, 1, 2


class HashTokenizer:
    """Words to numbers by their hash: what there is of a tokenizer where there is no vocabulary.

    It answers to the calls that Diffusers' pipelines make. Every text ends in an end token.

    Args:
        size: of the vocabulary; words whose hashes meet share a number.
        model_max_length: tokens at most, the end token included.
    """

    #: Read by Diffusers under this name.
    added_tokens_encoder: ClassVar[dict[str, int]] = {}

    def __init__(self, size: int = 128, model_max_length: int = 16) -> None:
        self.size, self.model_max_length = size, model_max_length

    def tokenize(self, text: str) -> list[str]:
        """Words in lower case."""
        return text.lower().split()

    def __call__(
        self,
        text: str | Sequence[str],
        padding: str | bool = False,
        max_length: int | None = None,
        truncation: bool = False,
        **options: Any,
    ) -> Any:
        """Token numbers and attention mask (N, T), with `input_ids` and `attention_mask` as attributes."""
        from transformers import BatchEncoding

        limit = max_length or self.model_max_length
        rows = [
            [FIRST_WORD + zlib.crc32(word.encode()) % (self.size - FIRST_WORD) for word in self.tokenize(one)]
            for one in ([text] if isinstance(text, str) else text)
        ]
        rows = [[*(row[: limit - 1] if truncation else row), END] for row in rows]
        width = limit if padding == "max_length" else max(map(len, rows))
        ids = torch.full((len(rows), width), PAD)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
        return BatchEncoding({"input_ids": ids, "attention_mask": (ids != PAD).long()})

    def batch_decode(self, rows: torch.Tensor) -> list[str]:
        """Numbers as text, for messages."""
        return [" ".join(map(str, row.tolist())) for row in rows]


def tiny_t5(width: int, words: int = 128) -> Any:
    """A T5 encoder of one layer."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=words, d_model=width, d_kv=4, d_ff=2 * width, num_layers=1, num_heads=2, pad_token_id=PAD
    )
    return T5EncoderModel(config)


def tiny_clip(width: int, projection: int | None = None, words: int = 128) -> Any:
    """A CLIP text encoder of two layers, with a projection of its pooled output if asked for."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        projection_dim=projection or width,
        pad_token_id=PAD,
        bos_token_id=END,
        eos_token_id=END,
    )
    return CLIPTextModelWithProjection(config) if projection else CLIPTextModel(config)


def tiny_autoencoder(latent_channels: int, channels: int = 3, halvings: int = 1) -> Any:
    """A convolutional autoencoder that halves each side `halvings` times."""
    from diffusers import AutoencoderKL

    blocks = halvings + 1
    return AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        latent_channels=latent_channels,
        block_out_channels=(4,) * blocks,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=1,
        norm_num_groups=2,
        shift_factor=0.0,
    )
