"""Tango and Tango 2: a U-Net under FLAN-T5's states, on the latents of AudioLDM's autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from prefalign.interfaces import Prompt
from prefalign.models.condition import Condition
from prefalign.models.diffusers.base import repeated, texts
from prefalign.models.diffusers.unet import small_unet
from prefalign.models.pretrained import from_pretrained
from prefalign_audio.denoisers.mel import MelDenoiser
from prefalign_audio.denoisers.mel_tiny import tiny_mel_autoencoder, tiny_t5_encoder, tiny_t5_tokenizer, tiny_vocoder


class Tango(MelDenoiser):
    """Tango (arXiv 2304.13731) and Tango 2 (arXiv 2404.09956).

    Args:
        model, seconds, rate, dtype, init_seed, steps, guidance: as in `AudioDenoiser`. A folder or hub repository is
            laid out like declare-lab/tango (see `tango_checkpoint`), or as a Diffusers pipeline of the parts unet, vae,
            text_encoder, tokenizer, scheduler and vocoder.
        text_encoder: folder or hub id of the text encoder's config and tokenizer, which the former do not hold; what
            the checkpoint's config names if None.
    """

    guidance = 3.0

    def __init__(self, model: str | dict[str, Any], text_encoder: str | None = None, **options: Any) -> None:
        super().__init__(model, **options)
        self.text_encoder = text_encoder

    def load(self, source: str) -> Any:
        """The parts of a checkpoint.

        Raises:
            PrefalignError: if there is none, or files of it are missing, cannot be read or do not fit together.
        """
        from prefalign_audio.denoisers.tango_checkpoint import is_checkpoint, read_checkpoint
        from prefalign_audio.denoisers.tango_pipeline import TangoPipeline

        dtype = getattr(torch, self.dtype)
        if is_checkpoint(source):
            pipeline = read_checkpoint(source, self.text_encoder)
            return pipeline if self.dtype == "float32" else pipeline.to(dtype)
        return from_pretrained(TangoPipeline, source, dtype=dtype)

    def tiny(self, config: dict[str, Any]) -> Any:
        """A tiny U-Net with DDPM's scheduler on Stable Diffusion 2.1's steps."""
        from diffusers import DDPMScheduler

        from prefalign_audio.denoisers.tango_checkpoint import STABLE_DIFFUSION_2_1
        from prefalign_audio.denoisers.tango_pipeline import TangoPipeline

        unet = small_unet(**config)
        return TangoPipeline(
            vae=tiny_mel_autoencoder(unet.config.in_channels),
            text_encoder=tiny_t5_encoder(unet.config.cross_attention_dim),
            tokenizer=tiny_t5_tokenizer(),
            unet=unet,
            scheduler=DDPMScheduler(**STABLE_DIFFUSION_2_1),
            vocoder=tiny_vocoder(),
        )

    @torch.no_grad()
    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """T5's hidden states and their mask."""
        pipeline = self.ready()
        limit = pipeline.tokenizer.model_max_length
        tokens = pipeline.tokenizer(
            texts(prompts), padding=True, max_length=limit, truncation=True, return_tensors="pt"
        ).to(self.device)
        states = pipeline.text_encoder(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
        return Condition(
            {"encoder_hidden_states": states.last_hidden_state, "encoder_attention_mask": tokens.attention_mask}
        )

    def null_condition(self, condition: Condition) -> Condition:
        """The empty text, of which the network sees the end token alone."""
        return repeated(self.condition([Prompt(text="")]), len(condition))
