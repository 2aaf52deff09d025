"""Mel spectrograms and their pictures."""

import io
import math
from collections.abc import Callable

import pytest
import torch
from PIL import Image

from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.picture import spectrogram_png
from prefalign_audio.sound.spectrogram import MelSettings, filterbank, log_mel, mel_spectrogram
from prefalign_audio.sound.waveform import Waveform


def test_triangles() -> None:
    """One band from 0 to 6300 Hz peaks at 1297.5 mel, 700 · (√10 − 1) = 1513.6 Hz, and falls to 0 at both ends."""
    bank = filterbank(MelSettings(rate=12600, window=126, hop=10, bands=1))
    assert tuple(bank.shape) == (1, 64)
    centre = 700 * (math.sqrt(10) - 1)
    assert bank[0, 15].item() == pytest.approx(1500 / centre, abs=1e-6)
    assert bank[0, 16].item() == pytest.approx((6300 - 1600) / (6300 - centre), abs=1e-6)
    assert bank[0, 0] == 0
    assert bank[0, 63].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("edges", [(0.0, None), (50.0, 7000.0)])
def test_equals_torchaudio(edges: tuple[float, float | None]) -> None:
    """torchaudio's transform with its defaults (HTK mel, Hann, power 2, centred, reflected) gives the same."""
    from torchaudio.transforms import MelSpectrogram

    samples = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    theirs = MelSpectrogram(16000, n_fft=512, hop_length=128, n_mels=32, f_min=edges[0], f_max=edges[1])(samples)
    settings = MelSettings(rate=16000, window=512, hop=128, bands=32, lowest=edges[0], highest=edges[1])
    torch.testing.assert_close(mel_spectrogram(samples, settings), theirs, rtol=1e-4, atol=1e-4)


def test_a_tone_is_in_its_band(tone: Callable[..., Waveform]) -> None:
    """1000 Hz is the centre of a bin (16000 / 512 · 32): its power is (a · Σw / 2)², all in the band around it."""
    settings = MelSettings(rate=16000, window=512, hop=128, bands=24)
    mel = mel_spectrogram(tone(0.5).samples, settings)
    assert tuple(mel.shape) == (1, 24, 1 + 16000 // 128)
    bank = filterbank(settings)[:, 31:34]
    # A Hann window spreads a sine over three bins with amplitudes 1/2, 1, 1/2.
    expected = bank @ torch.tensor([0.25, 1, 0.25]) * (0.5 * 256 / 2) ** 2
    torch.testing.assert_close(mel[0, :, 60], expected, rtol=1e-3, atol=1e-2)


def test_gradient_and_floor() -> None:
    """The spectrogram is differentiable; the logarithm of silence is that of the floor."""
    settings = MelSettings(rate=16000, window=256, hop=64, bands=16)
    samples = torch.randn(600, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mel_spectrogram(samples, settings).sum().backward()
    assert samples.grad is not None
    assert samples.grad.abs().sum() > 0
    assert torch.all(log_mel(torch.zeros(3, 600), settings, floor=1e-4) == math.log(1e-4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hop": 0}, "hop: expected a whole number above 0, got 0"),
        ({"highest": 9000.0}, "expected 0 <= lowest < highest <= 8000 Hz"),
        ({"lowest": 8000.0}, "got 8000 and 8000"),
        ({"window": 128, "bands": 80}, r"of 80 mel bands lie between two of the 125 Hz steps"),
    ],
)
def test_settings_refuse(settings: dict[str, float], message: str) -> None:
    """Edges outside the spectrum, and bands that would always be empty."""
    with pytest.raises(SoundError, match=message):
        MelSettings(rate=16000, **settings)  # type: ignore[arg-type]


def test_too_short() -> None:
    """Mirroring needs more than half a window."""
    settings = MelSettings(rate=16000, window=512, hop=128, bands=16)
    assert mel_spectrogram(torch.zeros(257), settings).shape == (16, 3)
    with pytest.raises(SoundError, match=r"expected more than 256 frames \(half a window\), got 256"):
        mel_spectrogram(torch.zeros(256), settings)


def pixels(png: bytes) -> torch.Tensor:
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    return torch.tensor(list(image.convert("L").tobytes())).reshape(image.height, image.width)


def test_picture(tone: Callable[..., Waveform]) -> None:
    """A high tone lights the upper half and a low one the lower; a quieter one is darker; silence is black."""
    high = pixels(spectrogram_png(tone(0.5, 6000), width=60, height=40)).float()
    low = pixels(spectrogram_png(tone(0.5, 200), width=60, height=40)).float()
    assert high.shape == (40, 60)
    assert high[:20].mean() > 4 * high[20:].mean()
    assert low[20:].mean() > 4 * low[:20].mean()
    assert 0 < pixels(spectrogram_png(tone(0.005, 6000), width=60, height=40)).max() < high.max()
    assert pixels(spectrogram_png(Waveform(torch.zeros(2, 9), 48000))).max() == 0


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 192000])
def test_picture_at_any_rate(rate: int, tone: Callable[..., Waveform]) -> None:
    """A full sine is (nearly) white at every rate: the colours mean the same."""
    assert pixels(spectrogram_png(tone(1.0, 1000, rate=rate))).max() > 230


def test_colours_stand_for_levels(tone: Callable[..., Waveform]) -> None:
    """−50 dB lies halfway from −90 to −10, between the third and the fourth of six anchors: red (140 + 225) / 2 = 182.

    A sine in the middle of a bin puts between 1 and 1.5 times its power into a band, up to 1.8 dB or 10 of red.
    """
    png = spectrogram_png(tone(10**-2.5, 992), width=60, height=64)
    red = max(Image.open(io.BytesIO(png)).convert("RGB").tobytes()[::3])
    assert 175 <= red <= 195


def test_no_picture_without_a_spectrum() -> None:
    """At 10 Hz there is nothing to draw."""
    with pytest.raises(SoundError, match="window: expected a whole number above 0, got 0"):
        spectrogram_png(Waveform(torch.zeros(1, 100), 10))
