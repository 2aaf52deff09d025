"""Two front ends."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign_audio.demo.features import CubeRootERB, FrontEnd, LogMel

FRONT_ENDS = [LogMel(), CubeRootERB()]


def tone(hertz: float, gain: float = 1.0) -> torch.Tensor:
    return gain * torch.sin(2 * math.pi * hertz * torch.arange(16000) / 8000)[None]


@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=["log-mel", "erb"])
def test_frames_tile_the_clip(front_end: FrontEnd) -> None:
    """32 frames 500 samples apart; 40 frames 400 samples apart. 300 clips need more than one batch."""
    waveforms = torch.randn(300, 16000, generator=torch.Generator().manual_seed(0))
    features = front_end(waveforms)
    assert features.shape == (300, 16000 // front_end.hop, front_end.bands)
    assert features.isfinite().all()
    torch.testing.assert_close(features[299:], front_end(waveforms[299:]))


@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=["log-mel", "erb"])
def test_a_click_is_heard_in_the_frame_that_is_centred_on_it(front_end: FrontEnd) -> None:
    for frame in (0, 7, 31):
        click = torch.zeros(1, 16000)
        click[0, frame * front_end.hop] = 1
        assert int(front_end(click)[0].sum(-1).argmax()) == frame


def test_a_tone_lights_the_mel_band_around_it() -> None:
    """Corners are equidistant from mel(60) to mel(4000) in 33 steps, mel(f) = 2595 log10(1 + f/700).

    mel(60) = 92.75 and mel(4000) = 2146.07, so a step is 62.22; 1,000 Hz is mel 1000.0, which is
    (1000.0 − 92.75) / 62.22 = 14.58 steps up, nearest to 15, the centre of band 14 (counted from 0).
    """
    assert int(LogMel()(tone(1000.0))[0, 16].argmax()) == 14


def test_a_tone_lights_the_gammatone_at_it() -> None:
    """ERB rate 21.4 log10(1 + 0.00437 f): 2.79 at 80 Hz, 26.69 at 3,800 Hz, so 39 steps of 0.613.

    1,000 Hz is at 15.62, (15.62 − 2.79) / 0.613 = 20.9 steps up: band 21.
    """
    assert int(CubeRootERB()(tone(1000.0))[0, 20].argmax()) == 21


def test_loudness_is_compressed_by_a_logarithm_and_by_a_cube_root() -> None:
    """Magnitudes times e raise log(m + 0.1) by nearly 1, and so the feature by 1/1.5; powers times 8 double the cube
    root."""
    loud, louder = LogMel()(tone(1000.0, 100.0)), LogMel()(tone(1000.0, 100.0 * math.e))
    torch.testing.assert_close(louder[0, 16, 14] - loud[0, 16, 14], torch.tensor(1 / 1.5), atol=1e-4, rtol=0)
    once, eightfold = CubeRootERB()(tone(1000.0)), CubeRootERB()(tone(1000.0, math.sqrt(8)))
    torch.testing.assert_close(eightfold, 2 * once)


def test_mel_weights_average_the_magnitudes() -> None:
    filters = LogMel().filters()
    assert filters.shape == (513, 32)
    assert (filters >= 0).all()
    torch.testing.assert_close(filters.sum(0), torch.ones(32))


def test_expanding_inverts_compressing() -> None:
    magnitudes = torch.tensor([0.0, 0.1, 1.0, 50.0])
    torch.testing.assert_close(LogMel().expand(LogMel().compress(magnitudes)), magnitudes, atol=1e-5, rtol=1e-5)
    assert LogMel().expand(torch.tensor([-9.0])) == 0
