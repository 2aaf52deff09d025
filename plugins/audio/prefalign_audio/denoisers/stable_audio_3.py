"""Stable Audio 3: a rectified flow whose latents are as long as the sound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from prefalign.functional.levels import Levels
from prefalign.functional.noise_path import LinearPath
from prefalign.interfaces import Media, PrefalignError, Prompt
from prefalign.models.condition import Condition
from prefalign.models.diffusers.base import small_config, texts
from prefalign.models.diffusers.tiny import PAD, HashTokenizer
from prefalign_audio.denoisers.base import AudioDenoiser


def tiny_t5gemma(width: int, words: int = 128) -> Any:
    """A T5Gemma encoder of two layers."""
    from transformers import T5GemmaConfig, T5GemmaEncoderModel

    part = {
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "pad_token_id": PAD,
    }
    return T5GemmaEncoderModel(T5GemmaConfig(encoder=part, decoder=part, is_encoder_decoder=False))


class StableAudio3(AudioDenoiser):
    """Stable Audio 3, the base models as well as those distilled to eight steps.

    The network has no mask for frames, so that all sounds of a batch must have one length.

    Args:
        model, dtype, init_seed, rate: as in `AudioDenoiser`.
        seconds: length of the sounds that are read, and of those that are made where a prompt's condition `seconds`
            says nothing else.
        steps: usual number of sampling steps; 8 for a distilled model and 100 for another if None.
        guidance: usual scale of guidance. Distilled models have it in their weights and want none.

    Raises:
        PrefalignError: for seconds or a rate that are not above 0.
    """

    pipeline_class = "StableAudio3Pipeline"
    # What its training code draws for sounds of up to 256 latents is a logit-normal number moved towards the noise by
    # 0.5 (and by up to 1.15 for longer ones), without its lowest twentieth; that cut is left out here.
    levels = Levels("logit_normal", mean=0.5)
    channels = 2
    rate = 44_100

    def __init__(self, model: str | dict[str, Any], steps: int | None = None, **options: Any) -> None:
        super().__init__(model, steps=steps, **options)
        self._steps_told = steps is not None

    def tiny(self, config: dict[str, Any]) -> Any:
        """A tiny transformer on 8 samples a latent."""
        from diffusers import (
            AutoencoderSAME,
            FlowMatchEulerDiscreteScheduler,
            StableAudio3DiTModel,
            StableAudio3DurationEmbedder,
            StableAudio3Pipeline,
        )

        small = {
            "io_channels": 4,
            "embed_dim": 16,
            "depth": 2,
            "num_heads": 2,
            "cond_token_dim": 16,
            "global_cond_dim": 16,
            "local_add_cond_dim": 5,
            "timestep_features_dim": 16,
            "ff_mult": 2,
            "num_memory_tokens": 2,
        }
        network = StableAudio3DiTModel(**small_config(StableAudio3DiTModel, small, config))
        width = network.config.cond_token_dim
        vae = AutoencoderSAME(
            audio_channels=self.channels,
            patch_size=4,
            encoder_channels=16,
            encoder_c_mults=(1,),
            encoder_strides=(2,),
            encoder_transformer_depths=(1,),
            latent_dim=network.config.io_channels,
            dim_heads=8,
            sampling_rate=self.rate,
        )
        return StableAudio3Pipeline(
            vae=vae,
            text_encoder=tiny_t5gemma(width),
            tokenizer=HashTokenizer(),
            duration_embedder=StableAudio3DurationEmbedder(width, fourier_dim=16),
            transformer=network,
            scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1),
        )

    def configure_path(self) -> None:
        """The network reads u."""
        config = self.scheduler.config
        self.path = LinearPath(train_timesteps=config.num_train_timesteps)
        self.check_rate(self.pipeline.vae.config.sampling_rate)
        if not self._steps_told:
            self.steps = 8 if config.stochastic_sampling else 100

    def frames(self, seconds: float) -> int:
        """Latents of a sound, the last of which may stand for less than the others.

        Raises:
            PrefalignError: for a sound that is longer than the network can be told.
        """
        longest = self.pipeline.duration_embedder.config.max_val
        if seconds > longest:
            raise PrefalignError(
                f"Stable Audio 3 makes sounds of at most {longest:g} seconds, but {seconds:g} are asked for"
            )
        return math.ceil(seconds * self.rate / self.pipeline.vae.downsampling_ratio)

    def latent_shape(self, prompt: Prompt) -> tuple[int, ...]:
        """(channels, frames) for the prompt's seconds."""
        return self.network.config.io_channels, self.frames(self.seconds_of([prompt])[0])

    @torch.no_grad()
    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """The text encoder's hidden states with their mask, and the embedded seconds."""
        pipeline = self.ready()
        told = pipeline.duration_embedder(torch.tensor(self.seconds_of(prompts), device=self.device))
        return self._with_text(texts(prompts), told)

    @torch.no_grad()
    def null_condition(self, condition: Condition) -> Condition:
        """The empty text with the same seconds."""
        return self._with_text([""], condition.tensors["global_hidden_states"])

    def _with_text(self, prompts: list[str], told: Tensor) -> Condition:
        # Texts are filled up to the tokenizer's length, and the network puts a learned token wherever the mask is 0.
        states, mask = self.ready().encode_prompt(prompts, self.device, 1)
        states, mask = (value.expand(len(told), *value.shape[1:]) for value in (states, mask.bool()))
        states, mask = self.pipeline.prepare_cross_attention(states, mask, told)
        return Condition(
            {"encoder_hidden_states": states, "encoder_attention_mask": mask, "global_hidden_states": told}
        )

    def set_timesteps(self, scheduler: Any, steps: int, shape: Sequence[int], device: torch.device) -> None:
        """Levels whose log signal-to-noise ratios are even, as the pipeline lays them out."""
        from diffusers.pipelines.stable_audio_3.pipeline_stable_audio_3 import logsnr_sigma_schedule

        scheduler.set_timesteps(sigmas=logsnr_sigma_schedule(steps, logsnr_min=-6.2, logsnr_max=2.0), device=device)

    @torch.no_grad()
    def encode(self, media: Tensor) -> Tensor:
        """(N, C, F) latents of sounds (N, 2, samples); the autoencoder knows no chance."""
        vae = self.ready().vae
        latents: Tensor = vae.encode(media.to(self.device, vae.dtype)).latents
        return latents

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[tuple[Media, ...]]:
        """A WAV file for each of (N, C, F) latents."""
        vae = self.ready().vae
        waveforms = vae.decode(latents.to(vae.dtype)).sample
        if latents.shape[-1] == self.frames(self.seconds):
            waveforms = waveforms[..., : self.samples()]
        return self.sounds(waveforms)
