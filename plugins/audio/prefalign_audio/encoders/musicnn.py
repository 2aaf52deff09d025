"""musicnn: a music tagger, whose last hidden layer is an embedding of music (ISC)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from prefalign.interfaces import Media
from prefalign_audio.encoders.base import SoundEncoder, freeze, windows
from prefalign_audio.encoders.mel import MelSpectrogram
from prefalign_audio.encoders.packages import PackagedFile
from prefalign_audio.encoders.tensor_bundle import read_bundle

_PACKAGE = ("musicnn", "musicnn==0.1.0")
INDEX = PackagedFile(
    *_PACKAGE, "MTT_musicnn/.index", "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57"
)
DATA = PackagedFile(
    *_PACKAGE, "MTT_musicnn/.data-00000-of-00001", "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab"
)

#: The tags of MagnaTagATune in the order of the outputs.
TAGS = (
    *("guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano"),
    *("ambient", "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing"),
    *("vocals", "no vocals", "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop"),
    *("soft", "sitar", "solo", "man", "classic", "choir", "voice", "new age", "dance", "male voice"),
    *("female vocal", "beats", "harp", "cello", "no voice", "weird", "country", "metal", "female voice", "choral"),
)

#: Frames of one window: 3 s.
WINDOW = 187


class Musicnn(SoundEncoder):
    """200 numbers per clip, the mean of the last hidden layer over windows of 3 s; and 50 tags by `tags`.

    16,000 Hz. Clips below 3 s are repeated.

    Args:
        resample, downmix: as for `SoundEncoder`.

    Raises:
        PrefalignError: if the package with the weights is not installed.
    """

    rate, width = 16_000, 200

    def __init__(self, resample: bool = False, downmix: bool = False) -> None:
        super().__init__(resample, downmix)
        self.mel = MelSpectrogram(self.rate, 512, 256, 96, 0.0, 8_000.0, "slaney", "slaney", pad_mode="reflect")
        self.network = TaggerNet()
        tensors = read_bundle(INDEX.find(), DATA.find())
        self.network.load_state_dict({name: torch.from_numpy(value) for name, value in _renamed(tensors).items()})
        freeze(self)

    def settings(self) -> dict[str, Any]:
        """Edition of the front end."""
        return {"edition": 1}

    def embed(self, samples: Tensor) -> Tensor:
        """(200,) mean over the clip's windows."""
        return self._hidden(samples).mean(0)

    @torch.no_grad()
    def tags(self, media: Sequence[Media]) -> Tensor:
        """(N, 50) probabilities of `TAGS`, each clip's mean over its windows.

        Raises:
            SoundError: for a clip that cannot be used; see `samples`.
        """
        hidden = [self._hidden(self.samples(medium).to(self.device)) for medium in media]
        return torch.stack([self.network.tags(one).sigmoid().mean(0) for one in hidden])

    def _hidden(self, samples: Tensor) -> Tensor:
        spectrogram = (self.mel(samples) * 10_000 + 1).log10()
        if len(spectrogram) < WINDOW:
            spectrogram = spectrogram.repeat(-(-WINDOW // len(spectrogram)), 1)[:WINDOW]
        return self.network(windows(spectrogram, WINDOW, WINDOW))


class TaggerNet(nn.Module):
    """Timbral and temporal filters, three dense layers over time, pooling; in every layer ReLU before normalisation."""

    def __init__(self) -> None:
        super().__init__()
        # Heights in frames × widths in bands: two timbral shapes, then three temporal ones.
        shapes = ((7, 38, 204), (7, 67, 204), (128, 1, 51), (64, 1, 51), (32, 1, 51))
        self.filters = nn.ModuleList(
            nn.Sequential(
                nn.ZeroPad2d((0, 0, (high - 1) // 2, high // 2)),
                nn.Conv2d(1, count, (high, wide)),
                nn.ReLU(),
                nn.BatchNorm2d(count, eps=1e-3),
            )
            for high, wide, count in shapes
        )
        self.layers = nn.ModuleList(nn.Conv1d(inputs, 64, 7, padding=3) for inputs in (561, 64, 64))
        self.norm_input = nn.BatchNorm2d(1, eps=1e-3)
        self.layer_norms = nn.ModuleList(nn.BatchNorm1d(64, eps=1e-3) for _ in range(3))
        self.norm_pooled, self.norm_hidden = nn.BatchNorm1d(1506, eps=1e-3), nn.BatchNorm1d(200, eps=1e-3)
        self.hidden, self.tags = nn.Linear(1506, 200), nn.Linear(200, 50)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(W, 200) last hidden layer of (W, frames, 96 bands)."""
        maps = self.norm_input(spectrogram.unsqueeze(1))
        parts = [torch.cat([filters(maps).amax(3) for filters in self.filters], 1)]
        for index, (layer, norm) in enumerate(zip(self.layers, self.layer_norms, strict=True)):
            found = norm(relu(layer(parts[-1])))
            parts.append(found + parts[-1] if index else found)
        features = torch.cat(parts, 1)
        # The checkpoint's dense layer expects maximum and mean of each feature side by side.
        pooled = torch.stack([features.amax(2), features.mean(2)], 2).flatten(1)
        return self.norm_hidden(relu(self.hidden(self.norm_pooled(pooled))))


_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def _renamed(tensors: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint's weights under our names and in torch's layout, without the optimiser's state."""
    norms = ["norm_input", *(f"filters.{i}.3" for i in range(5)), *(f"layer_norms.{i}" for i in range(3))]
    found = {}
    for index, norm in enumerate([*norms, "norm_pooled", "norm_hidden"]):
        theirs = f"batch_normalization_{index}" if index else "batch_normalization"
        for name, ours in _NORM.items():
            found[f"{norm}.{ours}"] = tensors[f"{theirs}/{name}"]
    for index in range(8):
        theirs = f"conv2d_{index}" if index else "conv2d"
        ours = f"filters.{index}.1" if index < 5 else f"layers.{index - 5}"
        kernel = tensors[f"{theirs}/kernel"]  # height, width, inputs, outputs
        found[f"{ours}.weight"] = kernel.transpose(3, 2, 0, 1) if index < 5 else kernel[:, :, 0].transpose(2, 1, 0)
        found[f"{ours}.bias"] = tensors[f"{theirs}/bias"]
    for theirs, ours in {"dense": "hidden", "dense_1": "tags"}.items():
        found[f"{ours}.weight"], found[f"{ours}.bias"] = tensors[f"{theirs}/kernel"].T, tensors[f"{theirs}/bias"]
    return found
