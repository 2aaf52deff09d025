"""What all denoisers of sounds share: rate, channels and length of the sounds, which records and prompts may state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from prefalign.interfaces import Media, PrefalignError, Prompt
from prefalign.models.diffusers.base import DiffusersDenoiser
from prefalign_audio.codec import AudioCodec
from prefalign_audio.sound.files import wav_bytes
from prefalign_audio.sound.waveform import Waveform


class AudioDenoiser(DiffusersDenoiser):
    """A denoiser of an audio autoencoder's latents.

    Args:
        model, dtype, init_seed, steps, guidance: as in `DiffusersDenoiser`.
        seconds: length of the sounds that are read, and of those that are made where a prompt's condition `seconds`
            says nothing else; the family's if None.
        rate: of its sounds, in Hz; the family's if None. Records are read before weights are, so it is told here and
            checked against the autoencoder later.

    Raises:
        PrefalignError: for seconds or a rate that are not above 0.
    """

    #: Channels of its sounds.
    channels: ClassVar[int] = 1
    seconds: float = 10.0
    rate: int = 16_000

    def __init__(
        self, model: str | dict[str, Any], seconds: float | None = None, rate: int | None = None, **options: Any
    ) -> None:
        super().__init__(model, **options)
        self.seconds = self.seconds if seconds is None else seconds
        self.rate = self.rate if rate is None else rate
        if not (math.isfinite(self.seconds) and self.seconds > 0 and self.rate > 0):
            raise PrefalignError(f"expected seconds and a rate (Hz) above 0, got {self.seconds} and {self.rate}")

    def codec(self) -> AudioCodec:
        """Reads latents and sounds."""
        return AudioCodec(self.rate, self.channels, self.samples(), self.frame_axis)

    def samples(self) -> int:
        """Length in samples of the sounds that the autoencoder reads."""
        return round(self.seconds * self.rate)

    def seconds_of(self, prompts: Sequence[Prompt]) -> list[float]:
        """The length that each prompt asks for with its condition `seconds`, or the usual one.

        Raises:
            PrefalignError: for a length that is no number above 0.
        """
        found = []
        for prompt in prompts:
            value = prompt.conditions.get("seconds", self.seconds)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise PrefalignError(f"expected a prompt's condition 'seconds' to be a number above 0, got {value!r}")
            found.append(float(value))
        return found

    def check_rate(self, rate: int) -> None:
        """Compare the rate that this denoiser was told with its autoencoder's.

        Raises:
            PrefalignError: if they differ.
        """
        if rate != self.rate:
            raise PrefalignError(
                f"{type(self).__name__} was told sounds of {self.rate} Hz, but the autoencoder of {self.model!r} works "
                f"at {rate} Hz; set rate: {rate}"
            )

    def sounds(self, waveforms: Tensor) -> list[tuple[Media, ...]]:
        """A WAV file for each of (N, channels, samples) waveforms; samples beyond ±1 are clipped."""
        samples = waveforms.detach().float().cpu()
        return [(Media(kind="audio", data=wav_bytes(Waveform(one.contiguous(), self.rate))),) for one in samples]
