"""TangoFlux: a rectified flow on Flux's transformer, over the frames of Stable Audio's autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from prefalign.functional.levels import Levels
from prefalign.functional.noise_path import LinearPath
from prefalign.interfaces import Media, PrefalignError, Prompt
from prefalign.models.condition import Condition
from prefalign.models.diffusers.base import small_config, texts
from prefalign.models.diffusers.tiny import HashTokenizer, tiny_t5
from prefalign_audio.denoisers.base import AudioDenoiser
from prefalign_audio.denoisers.tangoflux_parts import TangoFluxParts, built, loaded

#: Tokens of a text that training read; the rest is cut off.
MAX_TOKENS = 64


class TangoFlux(AudioDenoiser):
    """TangoFlux (arXiv 2412.21037): stereo sounds at 44.1 kHz under a FLAN-T5 text and a length.

    Latents are (645 frames, 64 channels) for 30 seconds whatever the length asked for, with silence behind its end.
    Only the transformer is trained. The original's optimiser has the projection of the pooled text (0.2 % of the
    weights) as well, and its reference then moves along with it; here the reference stands still, and conditions are
    the same for both. The embedder of lengths is as random there as it began.

    Args:
        model, dtype, init_seed, steps, guidance, rate: as in `AudioDenoiser`; a folder or hub repository is laid out
            like declare-lab/TangoFlux, and a mapping may hold `audio_seq_len` and `max_duration` besides the values of
            the network's config.
        seconds: longest sound that is read or made, and the length told where a prompt's condition `seconds` says no
            shorter one.
        text_encoder: folder or hub id of the text encoder's config and tokenizer, which checkpoints do not hold; what
            the checkpoint's config names if None.
    """

    levels = Levels("logit_normal")
    steps = 50
    guidance = 4.5
    seconds = 30.0
    rate = 44_100
    channels = 2

    def __init__(self, model: str | dict[str, Any], text_encoder: str | None = None, **options: Any) -> None:
        super().__init__(model, **options)
        self.text_encoder = text_encoder

    def load(self, source: str) -> TangoFluxParts:
        """The parts of a checkpoint."""
        parts = loaded(source, self.text_encoder)
        parts.to(getattr(torch, self.dtype))
        return parts

    def tiny(self, config: dict[str, Any]) -> TangoFluxParts:
        """A transformer of one double and one single block; frames are as long as the real autoencoder's."""
        from diffusers import FluxTransformer2DModel

        max_seconds = config.pop("max_duration", self.seconds)
        frames = config.pop("audio_seq_len", round(max_seconds * self.rate) // 2048)
        small = {
            "in_channels": 4,
            "num_layers": 1,
            "num_single_layers": 1,
            "attention_head_dim": 8,
            "num_attention_heads": 2,
            "joint_attention_dim": 16,
            "axes_dims_rope": (2, 2, 4),
        }
        network = small_config(FluxTransformer2DModel, small, config)
        autoencoder = {
            "encoder_hidden_size": 2 * network["in_channels"],
            "downsampling_ratios": [32, 64],
            "channel_multiples": [1, 1],
            "decoder_channels": 4,
            "decoder_input_channels": network["in_channels"],
            "sampling_rate": self.rate,
        }
        text_encoder = tiny_t5(network["joint_attention_dim"])
        return built(network, autoencoder, text_encoder, HashTokenizer(), frames, max_seconds)

    def configure_path(self) -> None:
        """The network reads u.

        Raises:
            PrefalignError: for another rate than the autoencoder's, or seconds that the latents cannot hold.
        """
        parts = self.pipeline
        self.check_rate(parts.vae.config.sampling_rate)
        if self.seconds > parts.max_seconds or self.all_samples() // parts.vae.hop_length != parts.frames:
            raise PrefalignError(
                f"latents of {parts.frames} frames stand for {parts.max_seconds} s; got seconds: {self.seconds}, and "
                f"{self.all_samples() // parts.vae.hop_length} frames of {parts.vae.hop_length} samples in these"
            )
        self.path = LinearPath(train_timesteps=self.scheduler.config.num_train_timesteps)

    def all_samples(self) -> int:
        """Samples that a latent stands for."""
        return round(self.pipeline.max_seconds * self.rate)

    def seconds_of(self, prompts: Sequence[Prompt]) -> list[float]:
        """The length that each prompt asks for, or the usual one.

        Raises:
            PrefalignError: for a length that is no number above 0, or longer than the sounds of this denoiser.
        """
        found = super().seconds_of(prompts)
        if max(found, default=0.0) > self.seconds:
            raise PrefalignError(
                f"a prompt asks for {max(found)} seconds, but the sounds of this denoiser end after {self.seconds}; "
                "set its seconds higher"
            )
        return found

    @torch.no_grad()
    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """A length and T5's hidden states in one sequence (N, 1 + T, D), its mask, and the projected mean state."""
        lengths = torch.tensor(self.seconds_of(prompts), device=self.device)
        told = self.ready().duration_embedder(lengths)
        states, mask = self._states(texts(prompts))
        # The length goes first, so that padding comes last; all these tokens stand at position 0.
        return Condition(
            {
                "encoder_hidden_states": torch.cat([told, states], dim=1),
                "mask": pad(mask, (1, 0), value=True),
                "pooled_projections": self._pooled(states, mask),
            }
        )

    def null_condition(self, condition: Condition) -> Condition:
        """The empty text with the same length, padded to as many tokens as the text has, all of which are seen.

        That is what the original leads away from; only the mean leaves the padding out.
        """
        given, mask = condition.tensors["encoder_hidden_states"], condition.tensors["mask"]
        with torch.no_grad():
            states, kept = self._states([""], mask.shape[1] - 1)
            pooled = self._pooled(states, kept)
        count = len(condition)
        return Condition(
            {
                "encoder_hidden_states": torch.cat([given[:, :1], states.expand(count, -1, -1)], dim=1),
                "mask": mask,
                "pooled_projections": pooled.expand(count, -1),
            }
        )

    def _states(self, wanted: list[str], tokens: int | None = None) -> tuple[Tensor, Tensor]:
        """(N, T, D) states and (N, T) mask; T is given or the longest text's."""
        parts = self.pipeline
        options = {"padding": "longest"} if tokens is None else {"padding": "max_length"}
        read = parts.tokenizer(
            wanted, max_length=tokens or MAX_TOKENS, truncation=True, return_tensors="pt", **options
        ).to(self.device)
        states = parts.text_encoder(input_ids=read.input_ids, attention_mask=read.attention_mask)[0]
        return states, read.attention_mask.bool()

    def _pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        kept = mask[..., None].to(states.dtype)
        pooled: Tensor = self.pipeline.projection((states * kept).sum(1) / kept.sum(1))
        return pooled

    def predict(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """(N, F, C) predictions."""
        given = dict(condition.tensors)
        frames, tokens = noisy.shape[1], given["encoder_hidden_states"].shape[1]
        # The transformer has no argument for a mask, but its attention has one, over text and frames.
        mask = pad(given.pop("mask"), (0, frames), value=True)[:, None, None]
        told = {
            "txt_ids": torch.zeros(tokens, 3, device=noisy.device),
            "img_ids": torch.arange(frames, device=noisy.device)[:, None].expand(-1, 3),
            "joint_attention_kwargs": {"attention_mask": mask},
        }
        return self.call(noisy, time, {**given, **told})

    def latent_shape(self, prompt: Prompt) -> tuple[int, ...]:
        """(frames, channels), the same for all."""
        return self.pipeline.frames, self.network.config.in_channels

    @torch.no_grad()
    def encode(self, media: Tensor) -> Tensor:
        """(N, F, C) latents of sounds (N, 2, samples): the posterior's mode, so that they are the same at every
        visit."""
        vae = self.ready().vae
        filled = pad(media, (0, self.all_samples() - media.shape[-1])).to(self.device, vae.dtype)
        latents: Tensor = vae.encode(filled).latent_dist.mode()
        return latents.transpose(1, 2)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[tuple[Media, ...]]:
        """A WAV of at most `seconds` for each of (N, F, C) latents."""
        vae = self.ready().vae
        waveforms = vae.decode(latents.transpose(1, 2).to(vae.dtype)).sample
        return self.sounds(waveforms[..., : self.samples()])
