"""How a sound is brought to what a codec hears."""

from __future__ import annotations

from dataclasses import dataclass

from prefalign.interfaces import Media
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import read_sound
from prefalign_audio.sound.waveform import Waveform


@dataclass(frozen=True)
class Fitting:
    """A rate and a number of channels, and what may be done for them.

    Attributes:
        rate: of the codec, in Hz.
        channels: of the codec.
        resample: bring sounds of another rate to it; they are refused otherwise.
        downmix: take the mean of several channels where the codec has one; they are refused otherwise.
    """

    rate: int
    channels: int
    resample: bool
    downmix: bool

    def read(self, media: Media) -> Waveform:
        """The sound of a file.

        Raises:
            SoundError: for a sound that cannot be read, or is of another rate or other channels.
        """
        sound, place = read_sound(media), media.path or "sound in the record"
        if sound.rate != self.rate and not self.resample:
            raise SoundError(
                f"{place}: expected a sample rate of {self.rate} Hz, got {sound.rate} Hz; set resample: true to convert"
            )
        if sound.channels != self.channels:
            if self.channels != 1:
                raise SoundError(f"{place}: expected {self.channels} channels, got {sound.channels}")
            if not self.downmix:
                raise SoundError(
                    f"{place}: expected one channel, got {sound.channels}; set downmix: true to take their mean"
                )
            sound = sound.mono()
        return sound.resampled(self.rate)
