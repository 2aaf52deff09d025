"""Stable Audio Open 1.0: v-prediction on the cosine path, with text and timing as conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from prefalign.functional.noise_path import CosinePath
from prefalign.interfaces import Media, PrefalignError, Prompt
from prefalign.models.condition import Condition
from prefalign.models.diffusers.base import small_config, texts
from prefalign.models.diffusers.tiny import HashTokenizer, tiny_t5
from prefalign_audio.denoisers.base import AudioDenoiser
from prefalign_audio.denoisers.cosine_solver import CosineSolver


class StableAudio(AudioDenoiser):
    """Stable Audio Open 1.0 (arXiv 2407.14358), whose latents always fill the network's window of 47.6 seconds.

    A shorter sound is followed by silence, as in its training, and the condition says where it ends. All sounds start
    at second 0.

    Args:
        model, dtype, init_seed, steps, guidance, rate: as in `AudioDenoiser`.
        seconds: length of the sounds that are read and made. A prompt's condition `seconds` may name an earlier end,
            behind which the network makes silence. A tiny network's window is as long as this.

    Raises:
        PrefalignError: for seconds or a rate that are not above 0.
    """

    pipeline_class = "StableAudioPipeline"
    # Diffusers' own scheduler cannot be loaded without torchsde; the solver in its place needs none.
    load_options: ClassVar[Mapping[str, Any]] = {"scheduler": None}
    channels = 2
    rate = 44_100
    seconds = 2_097_152 / 44_100
    steps = 100
    guidance = 7.0

    def tiny(self, config: dict[str, Any]) -> Any:
        """A tiny transformer on 8 samples a latent."""
        from diffusers import AutoencoderOobleck, StableAudioDiTModel, StableAudioPipeline, StableAudioProjectionModel

        small = {
            "sample_size": math.ceil(self.samples() / 8),
            "in_channels": 4,
            "out_channels": 4,
            "num_layers": 2,
            "attention_head_dim": 8,
            "num_attention_heads": 2,
            "num_key_value_attention_heads": 1,
            "cross_attention_dim": 16,
            "time_proj_dim": 16,
            "global_states_input_dim": 32,
            "cross_attention_input_dim": 16,
        }
        network = StableAudioDiTModel(**small_config(StableAudioDiTModel, small, config))
        width, latents = network.config.cross_attention_input_dim, network.config.in_channels
        vae = AutoencoderOobleck(
            encoder_hidden_size=2 * latents,
            downsampling_ratios=[2, 4],
            channel_multiples=[1, 1],
            decoder_channels=4,
            decoder_input_channels=latents,
            audio_channels=self.channels,
            sampling_rate=self.rate,
        )
        return StableAudioPipeline(
            vae=vae,
            text_encoder=tiny_t5(width),
            projection_model=StableAudioProjectionModel(width, width, min_value=0, max_value=512),
            tokenizer=HashTokenizer(),
            transformer=network,
            scheduler=CosineSolver(),
        )

    def load(self, source: str) -> Any:
        """The pipeline of a hub id or folder.

        Raises:
            PrefalignError: if there is none, it is another family's, or its scheduler is not the family's.
        """
        from diffusers import DPMSolverMultistepScheduler

        pipeline = super().load(source)
        try:
            # Any class of a scheduler reads any scheduler's config.
            config = DPMSolverMultistepScheduler.load_config(source, subfolder="scheduler")
        except OSError as error:
            raise PrefalignError(f"{source!r} has no config of a scheduler: {error}") from error
        pipeline.register_modules(scheduler=CosineSolver.from_config(config))
        return pipeline

    def configure_path(self) -> None:
        """The network reads u."""
        self.path = CosinePath()
        self.check_rate(self.pipeline.vae.config.sampling_rate)
        if self.samples() > self.window():
            raise PrefalignError(
                f"{self.model!r} makes sounds of at most {self.window() / self.rate:.6g} seconds, but seconds is "
                f"{self.seconds:.6g}"
            )

    def window(self) -> int:
        """Samples per channel that the network's latents stand for."""
        frames: int = self.network.config.sample_size
        return frames * self.pipeline.vae.hop_length

    def latent_shape(self, prompt: Prompt) -> tuple[int, ...]:
        """(channels, frames) of the whole window."""
        config = self.network.config
        return config.in_channels, config.sample_size

    @torch.no_grad()
    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """The text encoder's hidden states, zero on padding, and the embedded seconds of start and end.

        Raises:
            PrefalignError: for a prompt without plain text, or one that asks for more than `seconds`, which would be
                cut off.
        """
        seconds = self.seconds_of(prompts)
        if max(seconds) > self.seconds:
            raise PrefalignError(
                f"a prompt asks for {max(seconds):.6g} seconds, but the denoiser's sounds end at {self.seconds:.6g}; "
                f"set seconds to the longest that is wanted"
            )
        pipeline, count = self.ready(), len(prompts)
        states = pipeline.encode_prompt(texts(prompts), self.device, False)
        start, end = pipeline.encode_duration([0.0] * count, seconds, self.device, False, count)
        return Condition(
            {
                "encoder_hidden_states": torch.cat([states, start, end], 1),
                "global_hidden_states": torch.cat([start, end], 2),
            }
        )

    def null_condition(self, condition: Condition) -> Condition:
        """Zeros in the place of text and seconds; what else is told of the seconds stays."""
        tensors = condition.tensors
        states = torch.zeros_like(tensors["encoder_hidden_states"])
        return Condition({**tensors, "encoder_hidden_states": states}, condition.constants)

    def predict(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """(N, C, F) predictions."""
        from diffusers.models.embeddings import get_1d_rotary_pos_embed

        # The network puts one token of time and seconds in front of the frames.
        positions = torch.arange(noisy.shape[-1] + 1, device=noisy.device)
        half = self.network.config.attention_head_dim // 2
        table = get_1d_rotary_pos_embed(half, positions, use_real=True, repeat_interleave_real=False)
        return self.call(noisy, time, {**condition.arguments(), "rotary_embedding": table})

    @torch.no_grad()
    def encode(self, media: Tensor) -> Tensor:
        """(N, C, F) latents of sounds (N, 2, samples) with silence behind them: the posterior's mode, so that they are
        the same at every visit."""
        vae = self.ready().vae
        filled = pad(media, (0, self.window() - media.shape[-1]))
        latents: Tensor = vae.encode(filled.to(self.device, vae.dtype)).latent_dist.mode()
        return latents

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[tuple[Media, ...]]:
        """A WAV file for each of (N, C, F) latents, which ends at `seconds`."""
        vae = self.ready().vae
        return self.sounds(vae.decode(latents.to(vae.dtype)).sample[..., : self.samples()])
