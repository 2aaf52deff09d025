"""Records to sounds of one rate and length, for the autoencoders of denoisers."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad

from prefalign.interfaces import PreferenceRecord
from prefalign.models.latents import LatentCodec
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import read_sound
from prefalign_audio.sound.waveform import Waveform


class AudioCodec(LatentCodec):
    """Reads latents, or a response's sound: resampled, its channels fitted, cut or filled with silence to one length.

    Args:
        rate: of the autoencoder's sounds, in Hz.
        channels: 1, the mean of all there are; or 2, where a single one is heard on both sides.
        samples: length in samples per channel. A longer sound loses its end.
        frame_axis: as in `LatentCodec`.
    """

    def __init__(self, rate: int, channels: int, samples: int, frame_axis: int | None = None) -> None:
        super().__init__(frame_axis)
        self.rate, self.channels, self.samples = rate, channels, samples

    def fingerprint(self) -> str:
        """Hash of the sounds' form."""
        return f"{super().fingerprint()}-{self.rate}-{self.channels}-{self.samples}"

    def read_media(self, record: PreferenceRecord, index: int) -> Tensor:
        """(channels, samples) float32, nominal range [-1, 1].

        Raises:
            RecordError: for a response that has not one sound, a sound that cannot be read, or one of more than two
                channels where two are due.
        """
        media = record.responses[index].media
        place = f"responses[{index}].media"
        if len(media) != 1 or media[0].kind != "audio":
            kinds = [medium.kind for medium in media]
            raise record.error(f"expected an array named 'latents', or one sound; got media {kinds}", place)
        try:
            samples = self._fitted(read_sound(media[0])).resampled(self.rate).samples
        except SoundError as error:
            raise record.error(str(error), place) from error
        return pad(samples[:, : self.samples], (0, max(0, self.samples - samples.shape[1])))

    def _fitted(self, waveform: Waveform) -> Waveform:
        if self.channels == 1:
            return waveform.mono()
        if waveform.channels == 1:
            return Waveform(waveform.samples.expand(self.channels, -1), waveform.rate)
        if waveform.channels != self.channels:
            raise SoundError(f"expected a sound of 1 or {self.channels} channels, got {waveform.channels}")
        return waveform
