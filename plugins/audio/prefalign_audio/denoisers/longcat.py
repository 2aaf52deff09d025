"""LongCat-AudioDiT: a rectified flow that counts time from the noise, on a transformer over waveform latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from prefalign.functional.noise_path import LinearPath
from prefalign.interfaces import Media, PrefalignError, Prompt
from prefalign.models.condition import Condition
from prefalign.models.diffusers.base import small_config, texts
from prefalign.models.diffusers.tiny import PAD, HashTokenizer
from prefalign_audio.denoisers.base import AudioDenoiser

# The pipeline takes them out of its texts.
_NO_QUOTES = str.maketrans(dict.fromkeys('"“”‘’', " "))


@dataclass(frozen=True)
class InvertedPath(LinearPath):
    """Rectified flow under a scheduler whose timesteps grow from the noise to the data, as the network's time does."""

    toward_data: bool = True
    time_from_noise: bool = True

    def time_of_timestep(self, timestep: Tensor) -> Tensor:
        """1 − u already, times `train_timesteps`."""
        return self.time_scale * timestep / self.train_timesteps


def tiny_umt5(width: int, words: int = 128) -> Any:
    """A UMT5 encoder of one layer."""
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(
        vocab_size=words, d_model=width, d_kv=4, d_ff=2 * width, num_layers=1, num_heads=2, pad_token_id=PAD
    )
    return UMT5EncoderModel(config)


class LongCat(AudioDenoiser):
    """LongCat-AudioDiT (arXiv 2603.29339): speech and sounds from a text, here without a voice to imitate.

    Latents are (frames, channels). How long a sound becomes is decided by its latents alone; all of a batch must have
    one length.

    Args:
        model, dtype, init_seed, steps, guidance, seconds, rate: as in `AudioDenoiser`.

    Raises:
        PrefalignError: for seconds or a rate that are not above 0.
    """

    pipeline_class = "LongCatAudioDiTPipeline"
    rate = 24_000
    steps = 16
    guidance = 4.0

    def tiny(self, config: dict[str, Any]) -> Any:
        """A tiny transformer on 8 samples a latent."""
        from diffusers import (
            FlowMatchEulerDiscreteScheduler,
            LongCatAudioDiTPipeline,
            LongCatAudioDiTTransformer,
            LongCatAudioDiTVae,
        )

        small = {"dit_dim": 16, "dit_depth": 2, "dit_heads": 2, "dit_text_dim": 16, "latent_dim": 4, "ff_mult": 2.0}
        network = LongCatAudioDiTTransformer(**small_config(LongCatAudioDiTTransformer, small, config))
        latents = network.config.latent_dim
        vae = LongCatAudioDiTVae(
            channels=latents,
            c_mults=[1, 2],
            strides=[2, 4],
            latent_dim=latents,
            encoder_latent_dim=2 * latents,
            downsampling_ratio=8,
            sample_rate=self.rate,
        )
        return LongCatAudioDiTPipeline(
            vae=vae,
            text_encoder=tiny_umt5(network.config.dit_text_dim),
            tokenizer=HashTokenizer(),
            transformer=network,
            scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        )

    def configure_path(self) -> None:
        """The network reads 1 − u and predicts x − eps.

        Raises:
            PrefalignError: for another rate than was told, or a scheduler that counts from the data.
        """
        config = self.scheduler.config
        if not config.invert_sigmas:
            raise PrefalignError(f"the scheduler of {self.model!r} counts from the data; expected invert_sigmas: true")
        self.path = InvertedPath(train_timesteps=config.num_train_timesteps)
        self.check_rate(self.pipeline.sample_rate)

    def frames(self, seconds: float) -> int:
        """Whole latents of a sound; a rest that fills none is cut off.

        Raises:
            PrefalignError: for a sound that is longer than any of the training.
        """
        longest = self.pipeline.max_wav_duration
        if seconds > longest:
            raise PrefalignError(f"LongCat makes sounds of at most {longest:g} seconds, but {seconds:g} are asked for")
        return max(1, int(seconds * self.rate // self.pipeline.vae_scale_factor))

    def latent_shape(self, prompt: Prompt) -> tuple[int, ...]:
        """(frames, channels) for the prompt's seconds."""
        return self.frames(self.seconds_of([prompt])[0]), self.network.config.latent_dim

    @torch.no_grad()
    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """The text encoder's hidden states and their mask."""
        plain = [" ".join(text.lower().translate(_NO_QUOTES).split()) for text in texts(prompts)]
        states, lengths = self.ready().encode_prompt(plain, self.device)
        mask = torch.arange(states.shape[1], device=self.device) < lengths[:, None]
        return Condition({"encoder_hidden_states": states, "encoder_attention_mask": mask})

    def null_condition(self, condition: Condition) -> Condition:
        """Zeros in the places of the text."""
        states = condition.tensors["encoder_hidden_states"]
        return Condition({**condition.tensors, "encoder_hidden_states": torch.zeros_like(states)})

    def predict(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """(N, F, C) predictions.

        Texts of one length are run together and others apart. Between its text layers the network takes norms over all
        places of a text, masked or not, so that a text with padding would be another text.
        """
        lengths = condition.tensors["encoder_attention_mask"].sum(1)
        kinds = lengths.unique().tolist()
        rows = [(lengths == kind).nonzero()[:, 0] for kind in kinds]
        parts = [
            self._predict_alike(noisy[row], time[row], condition.select(row), kind)
            for row, kind in zip(rows, kinds, strict=True)
        ]
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def _predict_alike(self, noisy: Tensor, time: Tensor, condition: Condition, length: int) -> Tensor:
        told = {name: value[:, :length] for name, value in condition.tensors.items()}
        # No voice to imitate: the frames before the sound would stand here.
        told["latent_cond"] = torch.zeros_like(noisy)
        told["attention_mask"] = torch.ones(noisy.shape[:2], dtype=torch.bool, device=noisy.device)
        return self.call(noisy, time, told)

    @torch.no_grad()
    def encode(self, media: Tensor) -> Tensor:
        """(N, F, C) latents of sounds (N, 1, samples): the posterior's mean, so that they are the same at every
        visit."""
        vae = self.ready().vae
        whole = self.frames(self.seconds) * self.pipeline.vae_scale_factor
        fitted = pad(media, (0, whole - media.shape[-1]))
        latents: Tensor = vae.encode(fitted.to(self.device), sample_posterior=False).latents
        return latents.transpose(1, 2)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[tuple[Media, ...]]:
        """A WAV file for each of (N, F, C) latents."""
        return self.sounds(self.ready().vae.decode(latents.transpose(1, 2)).sample)
