"""Tiny frozen parts of the families on mel spectrograms, from their real classes."""

from __future__ import annotations

from string import ascii_lowercase
from typing import Any

from prefalign.models.diffusers.tiny import tiny_autoencoder, tiny_t5
from prefalign_audio.denoisers.mel import RATE


def tiny_mel_autoencoder(latent_channels: int) -> Any:
    """An autoencoder of spectrograms, four frames by four bands to a latent, as AudioLDM's."""
    return tiny_autoencoder(latent_channels, channels=1, halvings=2)


def tiny_vocoder(bands: int = 16) -> Any:
    """A vocoder of AudioLDM's rate and hop, with weights that are large enough to be heard."""
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    config = SpeechT5HifiGanConfig(
        model_in_dim=bands,
        sampling_rate=RATE,
        upsample_initial_channel=8,
        upsample_rates=[10, 16],
        upsample_kernel_sizes=[21, 32],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        normalize_before=False,
        initializer_range=0.2,
    )
    return SpeechT5HifiGan(config)


def ddim_scheduler() -> Any:
    """AudioLDM's steps (arXiv 2301.12503), sampled by DDIM."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def tiny_roberta_tokenizer() -> Any:
    """A real tokenizer of CLAP's kind, which knows small letters and spaces."""
    from transformers import RobertaTokenizer

    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", *ascii_lowercase]
    return RobertaTokenizer(vocab={word: n for n, word in enumerate(words)}, merges=[], model_max_length=62)


def tiny_t5_tokenizer() -> Any:
    """A real tokenizer of T5's kind, which knows small letters and spaces."""
    from transformers import T5Tokenizer

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0)]
    words = [*special, *((letter, -2.0) for letter in ascii_lowercase)]
    return T5Tokenizer(vocab=words, extra_ids=0, model_max_length=64)


def tiny_t5_encoder(width: int) -> Any:
    """A T5 encoder that fits `tiny_t5_tokenizer`."""
    return tiny_t5(width, words=32)


def clap_text_settings(width: int) -> dict[str, Any]:
    """Values of a tiny text branch of CLAP that fits `tiny_roberta_tokenizer`."""
    return {
        "vocab_size": 32,
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "projection_dim": width,
        "pad_token_id": 1,
    }


def tiny_clap(width: int) -> Any:
    """A CLAP whose embeddings have `width` values, and whose text branch fits `tiny_roberta_tokenizer`."""
    from transformers import ClapConfig, ClapModel

    sound = {
        "hidden_size": width,
        "patch_embeds_hidden_size": width,
        "depths": [1],
        "num_attention_heads": [2],
        "num_hidden_layers": 1,
        "num_mel_bins": 16,
        "spec_size": 64,
        "projection_dim": width,
    }
    return ClapModel(ClapConfig(text_config=clap_text_settings(width), audio_config=sound, projection_dim=width))
