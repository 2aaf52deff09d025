"""What hears phonemes in a sound: the interface of the recognisers that `prefalign_audio.encoders.phones` names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from prefalign.interfaces import Media
from prefalign_audio.encoders.base import checked_sound
from prefalign_audio.sound.files import read_sound
from prefalign_audio.sound.guard import inspect_sound

#: From a text to its phonemes in IPA.
G2P = Callable[[str], list[str]]


class PhoneRecogniser(ABC):
    """Something that hears phonemes.

    Args:
        resample: bring sounds of another rate to the recogniser's; they are refused otherwise.
        downmix: take the mean of several channels; they are refused otherwise.

    Attributes:
        rate: sample rate in Hz.
        g2p: from a text to phonemes in the same alphabet; None where the recogniser comes with none.
        min_seconds: shortest sound that can hold a phoneme, s.
    """

    rate: int = 16_000
    min_seconds: float = 0.1
    g2p: G2P | None = None

    def __init__(self, resample: bool = False, downmix: bool = False) -> None:
        self.resample, self.downmix = resample, downmix

    def phonemes(self, sound: Media) -> list[str] | None:
        """What is sung in a sound, in IPA; None for one that is silent or shorter than `min_seconds`.

        Raises:
            SoundError: the sound cannot be read, or has another rate or several channels.
        """
        whole = read_sound(sound)
        if whole.seconds < self.min_seconds or inspect_sound(whole).silent:
            return None
        checked = checked_sound(sound, self.rate, self.resample, self.downmix)
        return self.hear(checked.resampled(self.rate).samples[0])

    @abstractmethod
    def hear(self, samples: Tensor) -> list[str]:
        """The phonemes in (frames,) float32 samples at the recogniser's rate."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of the weights and of what is around them."""
