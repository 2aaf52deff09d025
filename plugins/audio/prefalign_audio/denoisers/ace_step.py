"""ACE-Step 1.5: a rectified flow on songs of any length, under a description, lyrics and a timbre."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from prefalign.functional.levels import Levels
from prefalign.functional.noise_path import LinearPath
from prefalign.interfaces import Media, PrefalignError, Prompt
from prefalign.models.condition import Condition
from prefalign.models.denoiser import Guide
from prefalign.models.diffusers.base import small_config, texts
from prefalign.models.diffusers.tiny import HashTokenizer
from prefalign_audio.denoisers.base import AudioDenoiser
from prefalign_audio.denoisers.told_length import ToldLengthCodec

#: Peak of the sounds that the pipeline makes: 1 dB below full scale.
PEAK = 10 ** (-1 / 20)


class AceStep(AudioDenoiser):
    """ACE-Step 1.5 (arXiv 2602.00744), text to music: stereo songs at 48 kHz, 25 frames of latents a second.

    A prompt's conditions may hold `lyrics` (text; none by default) and `seconds`. The network is told the length in
    words and makes frames for all of it, so the sounds of one batch may differ in length, and latents must have as many
    frames as their prompt asks for. Turbo networks have guidance distilled into them, and take no other.

    Args:
        model, dtype, init_seed, seconds, rate: as in `AudioDenoiser`.
        shift: of the sampling levels towards noise (arXiv 2403.03206 eq. 23).
        steps: usual number of sampling steps; 8 for a turbo network and 64 for others if None.
        guidance: usual scale of guidance; 1 for a turbo network and 7 for others if None.
    """

    pipeline_class = "AceStepPipeline"
    # They make semantic codes of other songs, which text to music does without.
    load_options: ClassVar[Mapping[str, Any]] = {"audio_tokenizer": None, "audio_token_detokenizer": None}
    # It trains at the larger of two levels whose logits are normal with mean -0.4 and deviation 1; the larger logit has
    # mean -0.4 + 1/sqrt(pi) and variance 1 - 1/pi.
    levels = Levels("logit_normal", mean=-0.4 + math.pi**-0.5, std=math.sqrt(1 - 1 / math.pi))
    steps = 64
    guidance = 7.0
    seconds = 60.0
    rate = 48_000
    channels = 2
    frame_axis = 0
    #: Samples that fall on one frame.
    hop: ClassVar[int] = 1920

    def __init__(
        self,
        model: str | dict[str, Any],
        shift: float = 3.0,
        steps: int | None = None,
        guidance: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, steps=steps, guidance=guidance, **options)
        if not shift > 0:
            raise PrefalignError(f"expected a shift above 0, got {shift}")
        self.shift, self.asked = shift, (steps, guidance)

    def tiny(self, config: dict[str, Any]) -> Any:
        """A transformer of one windowed and one full layer, under a tiny Qwen3; frames are as long as real ones."""
        from diffusers import (
            AceStepConditionEncoder,
            AceStepPipeline,
            AceStepTransformer1DModel,
            AutoencoderOobleck,
            FlowMatchEulerDiscreteScheduler,
        )
        from transformers import Qwen3Config, Qwen3Model

        latents = config.get("audio_acoustic_hidden_dim", 4)
        layer = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 32}
        small = {"hidden_size": 16, "num_hidden_layers": 2, "sliding_window": 4, "in_channels": 3 * latents, **layer}
        network = AceStepTransformer1DModel(
            **small_config(AceStepTransformer1DModel, {**small, "audio_acoustic_hidden_dim": latents}, config)
        )
        encoder = AceStepConditionEncoder(
            hidden_size=network.config.encoder_hidden_size or network.config.hidden_size,
            text_hidden_dim=16,
            timbre_hidden_dim=latents,
            num_lyric_encoder_hidden_layers=2,
            num_timbre_encoder_hidden_layers=2,
            **layer,
        )
        encoder.silence_latent.normal_()
        return AceStepPipeline(
            vae=AutoencoderOobleck(
                encoder_hidden_size=2 * latents,
                downsampling_ratios=[32, 60],
                channel_multiples=[1, 1],
                decoder_channels=4,
                decoder_input_channels=latents,
                audio_channels=self.channels,
                sampling_rate=self.rate,
            ),
            text_encoder=Qwen3Model(Qwen3Config(vocab_size=128, hidden_size=16, num_hidden_layers=1, **layer)),
            tokenizer=HashTokenizer(),
            transformer=network,
            condition_encoder=encoder,
            scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1),
        )

    def configure_path(self) -> None:
        """The network reads u.

        Raises:
            PrefalignError: for another rate or longer frames than the autoencoder's.
        """
        self.check_rate(self.pipeline.vae.config.sampling_rate)
        if self.pipeline.vae.hop_length != self.hop:
            raise PrefalignError(f"{self.model!r} has frames of {self.pipeline.vae.hop_length} samples, not {self.hop}")
        if self.pipeline.is_turbo:
            steps, guidance = self.asked
            self.steps, self.guidance = steps or 8, 1.0 if guidance is None else guidance
        self.path = LinearPath(train_timesteps=self.scheduler.config.num_train_timesteps)

    def codec(self) -> ToldLengthCodec:
        """Reads latents, and sounds of the length that their prompt asks for."""
        return ToldLengthCodec(self.rate, self.channels, self.hop, self.seconds, self.frames_of)

    def frames_of(self, prompt: Prompt) -> int:
        """Frames of the latents that a prompt asks for."""
        return math.ceil(self.seconds_of([prompt])[0] * (self.rate / self.hop))

    def latent_shape(self, prompt: Prompt) -> tuple[int, ...]:
        """(frames, channels)."""
        return self.frames_of(prompt), self.network.config.audio_acoustic_hidden_dim

    @torch.no_grad()
    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """Encoded lyrics, timbre of silence and description (N, L, D) with their mask, and (N,) numbers of frames.

        Prompts are encoded one by one, as the pipeline's text encoder has no mask for those that are padded.
        """
        pipeline = self.ready()
        found = []
        for prompt, text, seconds in zip(prompts, texts(prompts), self.seconds_of(prompts), strict=True):
            read = pipeline.encode_prompt([text], [lyrics_of(prompt)], self.device, audio_duration=seconds)
            silence = pipeline.condition_encoder.silence_latent[:, : math.ceil(30 * pipeline.latents_per_second)]
            order = torch.zeros(1, dtype=torch.long, device=self.device)
            states, mask = pipeline.condition_encoder(*read, silence.to(read[0].dtype), order)
            frames = torch.tensor([self.frames_of(prompt)], device=self.device)
            found.append(Condition({"encoder_hidden_states": states, "mask": mask, "frames": frames}))
        return Condition.cat(found)

    def null_condition(self, condition: Condition) -> Condition:
        """The learned token in the place of all; as it is always the same, their number does not matter."""
        token = self.ready().condition_encoder.null_condition_emb.detach()
        given = condition.tensors["encoder_hidden_states"]
        return Condition({**condition.tensors, "encoder_hidden_states": token.to(given).expand_as(given)})

    def predict(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """(N, F, C) predictions; 0 for frames behind a sample's end.

        The network masks neither tokens nor frames, so it runs once for each pair of lengths, without padding. How
        often differs from batch to batch, which strategies that shard a network over devices cannot follow.
        """
        given, time = condition.tensors, time.to(self.network.dtype)
        groups: dict[tuple[int, int], list[int]] = {}
        lengths = torch.stack([given["mask"].sum(1), given["frames"]], dim=1)
        for row, (tokens, frames) in enumerate(lengths.tolist()):
            groups.setdefault((tokens, frames), []).append(row)
        found: Tensor | None = None
        for (tokens, frames), members in groups.items():
            rows = torch.tensor(members, device=noisy.device)
            told = {
                "timestep_r": time[rows],
                "encoder_hidden_states": given["encoder_hidden_states"][rows, :tokens],
                "context_latents": self._context(frames).expand(len(rows), -1, -1),
            }
            predicted = self.call(noisy[rows, :frames], time[rows], told)
            found = predicted.new_zeros(noisy.shape) if found is None else found
            found[rows, :frames] = predicted
        assert found is not None
        return found

    @torch.no_grad()
    def _context(self, frames: int) -> Tensor:
        """(1, frames, 2 channels): silence to be replaced, and ones where it is, which is everywhere."""
        silence, _ = self.ready().prepare_src_latents(self.device, self.network.dtype, latent_length=frames)
        return torch.cat([silence, torch.ones_like(silence)], dim=-1)

    def guide(self) -> Guide:
        """Projected guidance with a memory of its steps (arXiv 2410.02416), as in the pipeline; none for turbo."""
        from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance

        if self.pipeline.is_turbo:
            return lambda null, conditioned, scale: conditioned
        memory = MomentumBuffer(momentum=-0.75)

        def guided(null: Tensor, conditioned: Tensor, scale: float) -> Tensor:
            # Norms are over time.
            predicted: Tensor = normalized_guidance(
                conditioned, null, scale - 1, memory, 0.0, 2.5, use_original_formulation=True, norm_dim=(1,)
            )
            return predicted

        return guided

    def set_timesteps(self, scheduler: Any, steps: int, shape: Sequence[int], device: torch.device) -> None:
        """Even levels, shifted."""
        even = torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1]
        shifted = self.shift * even / (1 + (self.shift - 1) * even)
        scheduler.set_timesteps(sigmas=shifted.tolist(), device=device)

    @torch.no_grad()
    def encode(self, media: Tensor) -> Tensor:
        """(N, F, C) latents of sounds (N, 2, samples): the posterior's mode, so that they are the same at every
        visit."""
        vae = self.ready().vae
        latents: Tensor = vae.encode(media.to(self.device, vae.dtype)).latent_dist.mode()
        return latents.transpose(1, 2)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[tuple[Media, ...]]:
        """A WAV for each of (N, F, C) latents, as loud as the pipeline makes them."""
        vae = self.ready().vae
        waveforms = vae.decode(latents.transpose(1, 2).to(vae.dtype)).sample.float()
        peaks = waveforms.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        return self.sounds(waveforms * (PEAK / peaks))


def lyrics_of(prompt: Prompt) -> str:
    """The prompt's lyrics, or none.

    Raises:
        PrefalignError: for lyrics that are no text.
    """
    lyrics = prompt.conditions.get("lyrics", "")
    if not isinstance(lyrics, str):
        raise PrefalignError(f"expected a prompt's condition 'lyrics' to be text, got {lyrics!r}")
    return lyrics
