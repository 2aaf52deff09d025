"""The latent space that the demonstration's policy denoises: two frames at a time, 64 numbers put into 12."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from prefalign.interfaces.errors import PrefalignError
from prefalign_audio.demo.clips import CLIP_SAMPLES
from prefalign_audio.demo.features import LogMel
from prefalign_audio.demo.sounds import RATE
from prefalign_audio.sound.torchaudio_build import torchaudio_functional
from prefalign_audio.sound.waveform import Waveform

_STACKED = 2  # frames in a latent frame
_PEAK = 0.9  # of the sounds that people get; the events' RMS of about 1 would clip


@dataclass(frozen=True, eq=False)
class ClipCodec:
    """Principal components of two stacked log-mel frames, half whitened: each divided by the root of its deviation.

    Full whitening would make the policy spend itself on components that nobody hears, none at all would let it ignore
    the quiet ones.

    Attributes:
        mean: (64,) float32, of the stacked frames.
        basis: (12, 64) float32 with orthonormal rows, the largest component first.
        scales: (12,) float32, above 0; a code is a component divided by its scale.
        kept: share of the variance that the components hold, 0..1.
    """

    mean: Tensor
    basis: Tensor
    scales: Tensor
    kept: float

    @classmethod
    def fit(cls, features: Tensor, channels: int = 12) -> ClipCodec:
        """Fit to (clips, frames, bands) features; codes of those have unit standard deviation over all.

        Raises:
            PrefalignError: for fewer stacked frames than components, an odd number of frames, or features that vary in
                fewer directions than `channels`.
        """
        stacked = _stack(features).double()
        if not 1 <= channels <= min(stacked.shape):
            raise PrefalignError(f"cannot fit {channels} components to {len(stacked)} frames of {stacked.shape[1]}")
        mean = stacked.mean(0)
        variances, vectors = torch.linalg.eigh(torch.cov((stacked - mean).T, correction=0))
        variances, vectors = variances.flip(0), vectors.flip(1)[:, :channels]
        if variances[channels - 1] <= 1e-9 * variances[0]:
            raise PrefalignError(f"the features vary in fewer than {channels} directions; fit to more clips")
        # An eigenvector's sign is the solver's whim: let its largest entry be positive.
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
        deviations = variances[:channels].sqrt()
        # Divided by sd_i^0.5, component i keeps a deviation of sd_i^0.5, so the mean variance of all is mean(sd_i).
        scales = deviations.sqrt() * deviations.mean().sqrt()
        kept = float(variances[:channels].sum() / variances.sum())
        return cls(mean.float(), vectors.T.contiguous().float(), scales.float(), kept)

    @property
    def channels(self) -> int:
        """Numbers in a latent frame."""
        return len(self.basis)

    def encode(self, features: Tensor) -> Tensor:
        """(clips, 32, 32) features to (clips, 12, 16) latents, channels before frames."""
        codes = (_stack(features) - self.mean) @ self.basis.T / self.scales
        return codes.unflatten(0, (len(features), -1)).transpose(1, 2)

    def decode(self, latents: Tensor) -> Tensor:
        """(clips, 12, 16) latents to (clips, 32, 32) features.

        Raises:
            PrefalignError: for latents of other channels.
        """
        if latents.ndim != 3 or latents.shape[1] != self.channels:
            raise PrefalignError(f"expected latents (clips, {self.channels}, frames), got {tuple(latents.shape)}")
        stacked = latents.transpose(1, 2) * self.scales @ self.basis + self.mean
        return stacked.unflatten(-1, (_STACKED, -1)).flatten(1, 2)

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        tensors = {"mean": self.mean, "basis": self.basis, "scales": self.scales}
        safetensors.torch.save_file({**tensors, "kept": torch.tensor(self.kept)}, path)

    @classmethod
    def load(cls, path: Path) -> ClipCodec:
        """Read what `save` wrote.

        Raises:
            PrefalignError: the file is no codec.
        """
        try:
            tensors = safetensors.torch.load_file(path)
            return cls(tensors["mean"], tensors["basis"], tensors["scales"], float(tensors["kept"]))
        except FileNotFoundError:
            raise PrefalignError(f"{path}: no such file; expected a codec that `save` wrote") from None
        except (safetensors.SafetensorError, KeyError) as error:
            raise PrefalignError(f"{path}: not a codec ({error}); expected a file that `save` wrote") from None


def resynthesise(features: Tensor, seed: int = 0, iterations: int = 32) -> Tensor:
    """(clips, 16000) float32 sound of log-mel features, at the loudness of clips; for people and other front ends.

    Magnitudes come from the bands by the pseudo-inverse, phases by Griffin and Lim (1984) from random ones.

    Args:
        features: (clips, 32, 32).
        seed: of the phases to start from.
        iterations: of Griffin and Lim; a detector needs fewer than an ear.
    """
    front_end = LogMel()
    magnitudes = front_end.expand(features) @ torch.linalg.pinv(front_end.filters())
    # One more frame than features have, since n + 1 frames centred at 0, hop, …, n · hop span n · hop samples.
    magnitudes = torch.cat([magnitudes, magnitudes[:, -1:]], 1).clamp(min=0).transpose(1, 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # torchaudio draws the phases from the global generator
        return torch.cat(
            [
                torchaudio_functional().griffinlim(
                    part,
                    window=torch.hann_window(front_end.window),
                    n_fft=front_end.window,
                    hop_length=front_end.hop,
                    win_length=front_end.window,
                    power=1.0,
                    n_iter=iterations,
                    momentum=0.99,
                    length=CLIP_SAMPLES,
                    rand_init=True,
                )
                for part in magnitudes.split(64)
            ]
        )


def playable(waveform: Tensor) -> Waveform:
    """(samples,) of a clip as a sound for people, its peak at 0.9."""
    peak = float(waveform.abs().max())
    if not math.isfinite(peak):
        raise PrefalignError("a clip holds NaN or infinite samples")
    return Waveform((waveform * (_PEAK / max(peak, _PEAK))).unsqueeze(0), RATE)


def _stack(features: Tensor) -> Tensor:
    """(clips, frames, bands) to (clips · frames / 2, 2 · bands)."""
    if features.ndim != 3 or features.shape[1] % _STACKED:
        raise PrefalignError(f"expected features (clips, even frames, bands), got {tuple(features.shape)}")
    return features.unflatten(1, (-1, _STACKED)).flatten(0, 1).flatten(1)
