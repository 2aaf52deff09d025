"""The aisfx embedding: a convolutional network trained on libraries of sound effects (model CC BY 4.0)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from prefalign_audio.encoders.base import SoundEncoder, freeze, windows
from prefalign_audio.encoders.mel import MelSpectrogram
from prefalign_audio.encoders.packages import PackagedFile

CHECKPOINT = PackagedFile(
    "aisfx",
    "aisfx==0.1.2",
    "models/checkpoint.pth",
    "499ea75909c932a2f94c35fa722fa4fabc5bcb7e84917209cc5f7402627b7eb5",
)

#: Largest log-mel value of the sounds it was trained on, by which spectrograms are scaled.
SCALE = 9.457798957824707

#: Frames of one window (2.3 s) and between two.
WINDOW, HOP = 100, 50

# The checkpoint is a pickle with NumPy scalars in it; nothing else than these is let through.
_ALLOWED: list[Any] = [
    (
        np._core.multiarray.scalar,  # type: ignore[attr-defined]  # no public name
        "numpy.core.multiarray.scalar",
    ),
    np.dtype,
    type(np.dtype("int64")),
]


class Aisfx(SoundEncoder):
    """512 numbers per clip, the mean over windows of 2.3 s, for similarity of and distances between sound effects.

    44,100 Hz. The clip is scaled to peak 1 first, so loudness plays no part.

    Args:
        resample, downmix: as for `SoundEncoder`.

    Raises:
        PrefalignError: if the package with the weights is not installed.
    """

    rate, width = 44_100, 512

    def __init__(self, resample: bool = False, downmix: bool = False) -> None:
        super().__init__(resample, downmix)
        self.mel = MelSpectrogram(self.rate, 2048, 1024, 96, 0.0, 22_050.0, "htk", "sum")
        self.network = EffectsNet()
        with torch.serialization.safe_globals(_ALLOWED):
            weights, _ = torch.load(CHECKPOINT.find(), map_location="cpu", weights_only=True)
        prefix = "embedding_net."
        self.network.load_state_dict(
            {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        )
        freeze(self)

    def settings(self) -> dict[str, Any]:
        """Edition of the front end."""
        return {"edition": 1}

    def embed(self, samples: Tensor) -> Tensor:
        """(512,) mean over the clip's windows; short clips are followed by silence."""
        mel = self.mel(samples / samples.abs().max())
        spectrogram = (mel * 10_000 + 1).log10() / SCALE
        spectrogram = pad(spectrogram, (0, 0, 0, max(0, WINDOW - len(spectrogram))))
        return self.network(windows(spectrogram, WINDOW, HOP)).mean(0)


class EffectsNet(nn.Module):
    """Four blocks of two 3 × 3 convolutions; parameters are named as in the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        channels = (1, 64, 128, 256, 512)
        for index in range(4):
            setattr(self, f"conv_block{index + 1}", Block(channels[index], channels[index + 1]))

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(W, 512) of (W, frames, bands): mean over frequency, then maximum over time."""
        maps = spectrogram.unsqueeze(1)
        for index in range(4):
            maps = getattr(self, f"conv_block{index + 1}")(maps)
            if index < 3:
                maps = nn.functional.max_pool2d(maps, 2)
        return maps.mean(3).amax(2)


class Block(nn.Module):
    """Twice convolution, batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """(W, outputs, frames, bands) of (W, inputs, frames, bands)."""
        return self.bn2(self.conv2(self.bn1(self.conv1(maps)).relu())).relu()
