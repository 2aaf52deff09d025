"""A tiny CLAP built in code: no download, a fraction of a second on a CPU."""

from __future__ import annotations

from pathlib import Path

import torch

from prefalign.testing.tiny import character_tokenizer


def save_tiny_clap(folder: Path, seed: int = 0, fusion: bool = False) -> str:
    """Write a CLAP of random weights (about 13 thousand of them), its extractor and tokenizer; returns the folder.

    It hears 1 s at 48,000 Hz in 64 bands and gives vectors of 16 numbers.

    Args:
        folder: where.
        seed: of the weights.
        fusion: the variant that fuses several views of a long clip.
    """
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    tokenizer = character_tokenizer()
    config = ClapConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 130,
            "pad_token_id": 0,
            "hidden_dropout_prob": 0.0,
        },
        audio_config={
            "spec_size": 128,
            "num_mel_bins": 64,
            "patch_size": 4,
            "patch_stride": [4, 4],
            "window_size": 4,
            "depths": [1, 1],
            "num_attention_heads": [2, 2],
            "patch_embeds_hidden_size": 8,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_classes": 4,
            "enable_fusion": fusion,
            "fusion_type": "aff_2d" if fusion else None,
            "aff_block_r": 2,
        },
        projection_dim=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ClapModel(config)
    model.save_pretrained(folder)
    ClapFeatureExtractor(max_length_s=1, truncation="fusion" if fusion else "rand_trunc").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
