"""Denoisers on a U-Net that was trained on a DDPM's steps: Stable Diffusion, and what shares its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from prefalign.functional.noise_path import StepPath
from prefalign.interfaces import Prompt
from prefalign.models.condition import Condition
from prefalign.models.diffusers.base import repeated, small_config, texts
from prefalign.models.diffusers.image import ImageDenoiser
from prefalign.models.diffusers.tiny import HashTokenizer, tiny_autoencoder, tiny_clip


def step_path(scheduler: Any) -> StepPath:
    """The path of a scheduler with discrete steps, and the prediction that its config names."""
    return StepPath(prediction=scheduler.config.prediction_type, alphas_cumprod=scheduler.alphas_cumprod.clone())


def small_unet(**config: Any) -> Any:
    """A U-Net of two resolutions."""
    from diffusers import UNet2DConditionModel

    small = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 4,
        "cross_attention_dim": 16,
    }
    return UNet2DConditionModel(**small_config(UNet2DConditionModel, small, config))


class UNet(ImageDenoiser):
    """Stable Diffusion 1.x or 2.x (arXiv 2112.10752): pictures under a CLIP text encoder."""

    pipeline_class = "StableDiffusionPipeline"
    network_name = "unet"
    # The checker judges pictures, and would be loaded for nothing.
    load_options: ClassVar[Mapping[str, Any]] = {"safety_checker": None, "requires_safety_checker": False}
    guidance = 7.5

    def tiny(self, config: dict[str, Any]) -> Any:
        """A tiny U-Net with DDIM's scheduler."""
        from diffusers import DDIMScheduler, StableDiffusionPipeline

        unet = small_unet(**config)
        scheduler = DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        )
        return StableDiffusionPipeline(
            vae=tiny_autoencoder(unet.config.in_channels),
            text_encoder=tiny_clip(unet.config.cross_attention_dim),
            tokenizer=HashTokenizer(),
            unet=unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    def configure_path(self) -> None:
        """Steps and prediction are the scheduler's."""
        self.path = step_path(self.scheduler)

    @torch.no_grad()
    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """The text encoder's hidden states."""
        states, _ = self.ready().encode_prompt(texts(prompts), self.device, 1, False)
        return Condition({"encoder_hidden_states": states})

    def null_condition(self, condition: Condition) -> Condition:
        """The empty text."""
        return repeated(self.condition([Prompt(text="")]), len(condition))
