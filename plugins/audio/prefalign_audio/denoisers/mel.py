"""Denoisers of mel spectrograms' latents: AudioLDM's front end, and what stands between its latents and a sound."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from prefalign.interfaces import Media, PrefalignError, Prompt
from prefalign.models.diffusers.unet import step_path
from prefalign_audio.denoisers.base import AudioDenoiser
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.torchaudio_build import torchaudio_functional

#: The front end in the published code of AudioLDM (arXiv 2301.12503): rate and upper edge in Hz, window in samples,
#: floor of magnitudes.
RATE, HIGHEST, WINDOW, FLOOR = 16_000, 8_000.0, 1024, 1e-5

#: Peak of the sounds that AudioLDM, its successors and Tango were trained on.
PEAK = 0.5


def levelled(samples: Tensor) -> Tensor:
    """(N, frames) sounds without their mean and with a peak of one half, as the autoencoder's training read them.

    Silence after the last sample that is not 0 stays silence, and counts in no mean.
    """
    present = samples.ne(0).flip(-1).cummax(-1).values.flip(-1)
    centred = torch.where(present, samples - samples.sum(-1, keepdim=True) / present.sum(-1, keepdim=True), 0.0)
    return centred * (PEAK / centred.abs().amax(-1, keepdim=True).clamp(min=1e-8))


def log_mel(samples: Tensor, hop: int, bands: int) -> Tensor:
    """(N, frames // hop, bands) natural logarithms of mel magnitudes.

    Magnitudes, not powers, of a Hann window's transform, under triangles of Slaney's scale and area between 0 and 8000
    Hz; windows stand on multiples of the hop, and the edges are mirrored.

    Args:
        samples: (N, frames) at 16 kHz in [-1, 1].
        hop: step between windows, in samples.
        bands: number of mel bands.

    Raises:
        SoundError: for half a window of samples, or fewer.
    """
    if samples.shape[-1] <= WINDOW // 2:
        raise SoundError(f"expected more than {WINDOW // 2} samples at {RATE} Hz, got {samples.shape[-1]}")
    window = torch.hann_window(WINDOW, device=samples.device)
    spectrum = torch.stft(samples.float(), WINDOW, hop, window=window, pad_mode="reflect", return_complex=True)
    triangles = torchaudio_functional().melscale_fbanks(WINDOW // 2 + 1, 0.0, HIGHEST, bands, RATE, "slaney", "slaney")
    mel = spectrum.abs().mT @ triangles.to(samples.device)
    return mel[:, : samples.shape[-1] // hop].clamp(min=FLOOR).log()


class MelDenoiser(AudioDenoiser):
    """A U-Net on an autoencoder's latents of log-mel spectrograms, which a vocoder makes sounds of.

    The latents (channels, time, bands) have no axis of differing lengths: the U-Net mixes all frames and takes no mask
    of them. Sounds are therefore read at one length.
    """

    network_name = "unet"
    seconds = 10.24
    rate = RATE
    steps = 200

    def configure_path(self) -> None:
        """Steps and prediction are the scheduler's; the vocoder says rate, hop and bands.

        Raises:
            PrefalignError: if the vocoder has another rate than was told, or than the front end is known for; or bands
                that the autoencoder cannot divide.
        """
        self.path = step_path(self.scheduler)
        found: int = self.pipeline.vocoder.config.sampling_rate
        self.check_rate(found)
        if found != RATE:
            raise PrefalignError(f"{self.model!r}: the mel spectrograms are known for {RATE} Hz only, not {found} Hz")
        if self.bands % self.patch:
            problem = f"{self.bands} mel bands in latents of {self.patch} bands each"
            raise PrefalignError(f"{self.model!r}: the vocoder does not fit the autoencoder: {problem}")

    @property
    def hop(self) -> int:
        """Samples from one frame of the spectrogram to the next."""
        return math.prod(self.pipeline.vocoder.config.upsample_rates)

    @property
    def bands(self) -> int:
        """Mel bands of the vocoder."""
        found: int = self.pipeline.vocoder.config.model_in_dim
        return found

    @property
    def patch(self) -> int:
        """Frames, and bands, that fall on one latent."""
        found: int = 2 ** (len(self.pipeline.vae.config.block_out_channels) - 1)
        return found

    def times(self, seconds: float) -> int:
        """Latents on the time axis of a sound, which its last one may outlast."""
        return math.ceil(round(seconds * self.rate) // self.hop / self.patch)

    def latent_shape(self, prompt: Prompt) -> tuple[int, ...]:
        """(channels, time, bands).

        Raises:
            PrefalignError: for a condition `seconds` below one frame.
        """
        seconds = self.seconds_of([prompt])[0]
        times = self.times(seconds)
        if times < 1:
            raise PrefalignError(f"expected a sound of {self.hop / self.rate:g} seconds or longer, got {seconds:g}")
        return self.network.config.in_channels, times, self.bands // self.patch

    @torch.no_grad()
    def encode(self, media: Tensor) -> Tensor:
        """(N, C, T, F) latents of sounds (N, 1, samples) in [-1, 1], of their spectrograms after levelling.

        They are the posterior's mode, so that they are the same at every visit.

        Raises:
            SoundError: for sounds of half a window, or less.
        """
        vae = self.ready().vae
        samples = levelled(media.to(self.device).float()[:, 0])
        length = self.times(samples.shape[-1] / self.rate) * self.patch * self.hop
        mel = log_mel(pad(samples, (0, max(0, length - samples.shape[-1])))[:, :length], self.hop, self.bands)
        latents: Tensor = vae.encode(mel[:, None].to(vae.dtype)).latent_dist.mode().float()
        return latents * vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[tuple[Media, ...]]:
        """A WAV file for each of (N, C, T, F) latents."""
        pipeline = self.ready()
        mel = pipeline.vae.decode((latents / pipeline.vae.config.scaling_factor).to(pipeline.vae.dtype)).sample[:, 0]
        # Kernels that are no multiples of their strides give the vocoder some samples more than the frames have.
        waveforms = pipeline.vocoder(mel)[:, : mel.shape[1] * self.hop]
        return self.sounds(waveforms[:, None])
