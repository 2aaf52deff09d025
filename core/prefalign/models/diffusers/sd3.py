"""Stable Diffusion 3: a rectified flow on a transformer under three text encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from prefalign.functional.levels import Levels
from prefalign.functional.noise_path import LinearPath
from prefalign.interfaces import Prompt
from prefalign.models.condition import Condition
from prefalign.models.diffusers.base import dynamic_shift, repeated, small_config, texts
from prefalign.models.diffusers.image import ImageDenoiser
from prefalign.models.diffusers.tiny import HashTokenizer, tiny_autoencoder, tiny_clip, tiny_t5


class SD3(ImageDenoiser):
    """Stable Diffusion 3 and 3.5 (arXiv 2403.03206)."""

    pipeline_class = "StableDiffusion3Pipeline"
    levels = Levels("logit_normal")
    steps = 28
    guidance = 7.0

    def tiny(self, config: dict[str, Any]) -> Any:
        """A tiny transformer with the flow's Euler scheduler."""
        from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

        small = {
            "sample_size": 8,
            "patch_size": 2,
            "in_channels": 4,
            "out_channels": 4,
            "num_layers": 2,
            "attention_head_dim": 8,
            "num_attention_heads": 2,
            "joint_attention_dim": 16,
            "caption_projection_dim": 16,
            "pooled_projection_dim": 16,
            "pos_embed_max_size": 16,
        }
        network = SD3Transformer2DModel(**small_config(SD3Transformer2DModel, small, config))
        width, pooled = network.config.joint_attention_dim // 2, network.config.pooled_projection_dim // 2
        return StableDiffusion3Pipeline(
            transformer=network,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=tiny_autoencoder(network.config.in_channels),
            text_encoder=tiny_clip(width, pooled),
            tokenizer=HashTokenizer(),
            text_encoder_2=tiny_clip(width, pooled),
            tokenizer_2=HashTokenizer(),
            text_encoder_3=tiny_t5(network.config.joint_attention_dim),
            tokenizer_3=HashTokenizer(),
        )

    def configure_path(self) -> None:
        """The network reads u times a thousand."""
        steps = self.scheduler.config.num_train_timesteps
        self.path = LinearPath(time_scale=float(steps), train_timesteps=steps)

    def tokens_side(self) -> int:
        """The transformer's patches."""
        side: int = self.network.config.patch_size
        return side

    @torch.no_grad()
    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """Hidden states of all encoders, and the pooled ones of two."""
        states, _, pooled, _ = self.ready().encode_prompt(
            texts(prompts), None, None, device=self.device, do_classifier_free_guidance=False
        )
        return Condition({"encoder_hidden_states": states, "pooled_projections": pooled})

    def null_condition(self, condition: Condition) -> Condition:
        """The empty text."""
        return repeated(self.condition([Prompt(text="")]), len(condition))

    def set_timesteps(self, scheduler: Any, steps: int, shape: Sequence[int], device: torch.device) -> None:
        """The scheduler's own levels, shifted by the size where its config says so."""
        tokens = (shape[-2] // self.tokens_side()) * (shape[-1] // self.tokens_side())
        mu = {"mu": dynamic_shift(scheduler, tokens)} if scheduler.config.get("use_dynamic_shifting") else {}
        scheduler.set_timesteps(steps, device=device, **mu)
