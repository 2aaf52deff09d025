"""A spectrogram one can look at: a small PNG whose colours mean the same in every picture."""

from __future__ import annotations

import io

import torch
from PIL import Image
from torch import Tensor

from prefalign_audio.sound.spectrogram import MelSettings, mel_spectrogram
from prefalign_audio.sound.waveform import Waveform

_QUIETEST, _LOUDEST = -90.0, -10.0  # dB against a full sine, black to white
_COLOURS = torch.tensor(
    [[0, 0, 0], [40, 20, 90], [140, 35, 105], [225, 85, 60], [250, 180, 60], [255, 255, 225]], dtype=torch.float64
)


def spectrogram_png(waveform: Waveform, *, width: int = 480, height: int = 128) -> bytes:
    """Draw the mel spectrogram of the channels' mean: time to the right, 0 Hz to half the rate upwards.

    A sound shorter than a window (1/16 s) is shown as if silence followed.

    Args:
        waveform: the sound.
        width, height: pixels.

    Raises:
        SoundError: for a rate of a few hundred Hz or less, which leaves nothing to draw.
    """
    settings = MelSettings(rate=waveform.rate, window=waveform.rate // 16, hop=max(1, waveform.rate // 64), bands=64)
    samples = waveform.mono().samples[0]
    samples = torch.nn.functional.pad(samples, (0, max(0, settings.window - len(samples))))
    full_sine = (settings.window / 4) ** 2  # power in its bin: half the amplitude, times the Hann window's sum
    levels = 10 * torch.log10(mel_spectrogram(samples, settings) / full_sine + 1e-12)
    image = Image.fromarray(_coloured(levels.flip(0)).numpy())
    buffer = io.BytesIO()
    image.resize((width, height), Image.Resampling.BILINEAR).save(buffer, "PNG")
    return buffer.getvalue()


def _coloured(levels: Tensor) -> Tensor:
    """(H, W) dB to (H, W, 3) uint8, linearly between the anchors of the map, each lighter than the one before."""
    place = ((levels.double() - _QUIETEST) / (_LOUDEST - _QUIETEST)).clamp(0, 1) * (len(_COLOURS) - 1)
    below = place.floor().long().clamp(max=len(_COLOURS) - 2)
    mixed = torch.lerp(_COLOURS[below], _COLOURS[below + 1], (place - below)[..., None])
    return mixed.round().to(torch.uint8)
