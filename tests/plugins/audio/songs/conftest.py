"""A phrase by hand: eight words of a chorale on a melody with one melisma and one rest."""

from collections.abc import Callable

import numpy as np
import pytest

from prefalign_audio.songs.song import Note, Song, Syllable

RATE = 22_050


@pytest.fixture
def measured_hertz() -> Callable[[np.ndarray], float]:
    """Pitch in Hz of some samples at 22,050 Hz."""
    return _hertz


def _hertz(samples: np.ndarray, low: float = 40.0, high: float = 1400.0) -> float:
    """Pitch by autocorrelation: the first lag whose peak reaches nine tenths of the highest, placed by a parabola."""
    count = len(samples)
    window = np.hanning(count)
    spectra = [np.fft.rfft(one, 4 * count) for one in ((samples - samples.mean()) * window, window)]
    own, taper = (np.fft.irfft(np.abs(one) ** 2)[:count] for one in spectra)
    found = own / np.maximum(taper, 1e-9 * taper[0])  # without the window's own decay
    lags = range(int(RATE / high), int(RATE / low))
    best = max(found[lag] for lag in lags)
    lag = next(k for k in lags if found[k] > 0.9 * best and found[k] >= max(found[k - 1], found[k + 1]))
    before, here, after = found[lag - 1 : lag + 2]
    return float(RATE / (lag + (before - after) / (2 * (before - 2 * here + after))))


@pytest.fixture
def phrase() -> Song:
    """Gna-(a)-de Herr, a rest, dein: at 90 quarters a minute a step is 1/3 s."""
    return Song(
        length=16,
        vocal=(Note(0, 4, 60, True), Note(4, 2, 62), Note(6, 2, 64, True), Note(8, 3, 67, True), Note(13, 3, 60, True)),
        lyric=(
            Syllable("Gna", ("ɡ", "n", "aː"), False),
            Syllable("de", ("d", "ə")),
            Syllable("Herr", ("h", "ɛ", "ʁ")),
            Syllable("dein", ("d", "aɪ", "n")),
        ),
        parts={"bass": (Note(0, 4, 48), Note(4, 4, 43), Note(8, 8, 48))},
    )
