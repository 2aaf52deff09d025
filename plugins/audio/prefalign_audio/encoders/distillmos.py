"""DistillMOS: predicted quality of speech (mean opinion score), a small distilled network (MIT)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from prefalign_audio.encoders.base import SoundEncoder, freeze
from prefalign_audio.encoders.packages import PackagedFile

CHECKPOINT = PackagedFile(
    "distillmos",
    "distillmos==0.9.1",
    "weights/distill_mos_v7.pt",
    "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40",
)

#: Samples that the network hears at once (7.68 s), and the most between the starts of two windows.
WINDOW, HOP = 122_880, 16_000


class DistillMOS(SoundEncoder):
    """One number per clip: the mean opinion score in [1, 5] that listeners would give to its speech.

    16,000 Hz. Trained on speech; it says nothing about music or effects. Clips are cut into windows of 7.68 s that
    cover them evenly, and the windows' scores averaged.

    Args:
        resample, downmix: as for `SoundEncoder`.

    Raises:
        PrefalignError: if the package with the weights is not installed.
    """

    rate, width = 16_000, 1

    def __init__(self, resample: bool = False, downmix: bool = False) -> None:
        super().__init__(resample, downmix)
        self.network = QualityNet()
        weights = torch.load(CHECKPOINT.find(), map_location="cpu", weights_only=True)["model"]
        self.network.load_state_dict({_renamed(name): value for name, value in weights.items()})
        freeze(self)

    def settings(self) -> dict[str, Any]:
        """Edition of the front end."""
        return {"edition": 1}

    def embed(self, samples: Tensor) -> Tensor:
        """(1,) mean score of the clip's windows; short clips are followed by silence."""
        spare = max(0, len(samples) - WINDOW)
        samples = pad(samples, (0, max(0, WINDOW - len(samples))))
        count = -(-spare // HOP) + 1
        starts = [int(index / max(count - 1, 1) * spare) for index in range(count)]
        scores = [self.network(samples[None, start : start + WINDOW]) for start in starts]
        return torch.cat(scores).mean(0, keepdim=True)


class QualityNet(nn.Module):
    """Convolutions over a compressed complex spectrogram, a transformer over time, attention pooling."""

    position: Tensor
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        channels = (2, 64, 64, 128, 256, 256, 256)
        layers: list[nn.Module] = []
        for index in range(6):
            # Frequency is halved from the second layer on, time in the last.
            stride = (2 if index else 1, 2 if index == 5 else 1)
            layers += [nn.Conv2d(channels[index], channels[index + 1], 3, stride, (0, 1)), nn.LeakyReLU(0.1)]
        self.convolutions = nn.Sequential(*layers)
        self.norm_input, self.norm_features = nn.BatchNorm1d(1024), nn.BatchNorm1d(1024)
        self.project = nn.Linear(1024, 200)
        self.register_buffer("position", torch.zeros(1, 384, 200))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(200, 8, 400, dropout=0.0, batch_first=True) for _ in range(7)
        )
        self.norm_output = nn.BatchNorm1d(200)
        self.attention = nn.Sequential(nn.Linear(200, 400), nn.ReLU(), nn.Linear(400, 1))
        self.score = nn.Linear(200, 1)
        self.register_buffer("window", torch.hann_window(320), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """(W,) scores of (W, 122880) samples, differentiable in them."""
        samples = samples / (samples.abs().amax(1, keepdim=True) + 1e-8)
        spectrum = torch.stft(
            pad(samples, (80, 80), mode="reflect"), 320, 160, window=self.window, center=False, return_complex=True
        )
        magnitude = spectrum.abs().clamp(min=1e-12)
        compressed = torch.view_as_real(spectrum * magnitude**-0.7).permute(0, 3, 1, 2)
        features = self.convolutions(compressed).flatten(1, 2)
        hidden = self.project(self.norm_features(self.norm_input(features)).transpose(1, 2)) + self.position
        for layer in self.layers:
            hidden = layer(hidden)
        hidden = self.norm_output(hidden.transpose(1, 2)).transpose(1, 2)
        pooled = (self.attention(hidden).softmax(1) * hidden).sum(1)
        return 1 + 4 * self.score(pooled).squeeze(-1).sigmoid()


#: Where the checkpoint's names start, and what ours are called.
_NAMES = {
    "cnn.cnn.": "convolutions.",
    "transformer_pool_attn.norm_input.": "norm_input.",
    "transformer_pool_attn.transformer.norm.": "norm_features.",
    "transformer_pool_attn.transformer.position_encoding.pe": "position",
    "transformer_pool_attn.transformer.linear_proj.": "project.",
    "transformer_pool_attn.transformer.transformer_encoder.layers.": "layers.",
    "transformer_pool_attn.norm_trans.": "norm_output.",
    "transformer_pool_attn.pool.linear1.": "attention.0.",
    "transformer_pool_attn.pool.linear2.": "attention.2.",
    "transformer_pool_attn.pool.linear3.": "score.",
}


def _renamed(name: str) -> str:
    for theirs, ours in _NAMES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
