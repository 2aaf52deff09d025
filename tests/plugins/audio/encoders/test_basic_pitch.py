"""Basic Pitch: notes from probabilities, and from sounds."""

import importlib.util
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.encoders.basic_pitch import HOP, RATE, BasicPitch, find_notes
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import wav_bytes
from prefalign_audio.sound.waveform import Waveform

ABSENT = [name for name in ("basic_pitch", "onnxruntime") if importlib.util.find_spec(name) is None]
needs_weights = pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}")


def bands(*rows: tuple[int, int, int, float], frames: int = 100) -> np.ndarray:
    """(frames, 88) zeros with (band, start, stop, value) filled in."""
    found = np.zeros((frames, 88))
    for band, start, stop, value in rows:
        found[start:stop, band] = value
    return found


def rows(notes: np.ndarray, onsets: np.ndarray, shortest: float = 0.0) -> list[tuple[int, int, int]]:
    """(first frame, frame behind the last, MIDI pitch) of the notes found."""
    found = find_notes(notes, onsets, 0.5, 0.3, shortest)
    frames = np.stack([found.onsets, found.offsets], 1) * RATE / HOP
    return [(*map(round, pair), int(pitch)) for pair, pitch in zip(frames.tolist(), found.pitches, strict=True)]


def test_a_note_begins_at_a_peak_and_lasts_while_its_pitch_sounds() -> None:
    """Band 39 is MIDI pitch 60. The peak is at frame 11, its slope no second one."""
    onsets = bands((39, 10, 11, 0.6), (39, 11, 12, 0.9), (39, 12, 13, 0.7))
    assert rows(bands((39, 10, 50, 0.8)), onsets) == [(11, 50, 60)]
    assert rows(bands((39, 10, 50, 0.29)), onsets) == []
    assert rows(bands((39, 10, 50, 0.8)), onsets / 2) == []


def test_a_plateau_is_one_peak_and_the_ends_can_be_peaks() -> None:
    onsets = bands((0, 0, 2, 0.9), (5, 99, 100, 0.5))
    assert rows(bands((0, 0, 20, 0.8), (5, 99, 100, 0.3)), onsets) == [(0, 20, 21), (99, 100, 26)]


def test_the_same_pitch_again_ends_the_note_before() -> None:
    assert rows(bands((39, 10, 60, 0.8)), bands((39, 10, 11, 0.9), (39, 30, 31, 0.9))) == [(10, 30, 60), (30, 60, 60)]


def test_short_gaps_are_bridged_and_long_ones_end_a_note() -> None:
    """11 frames may lie between two that sound, 12 may not."""
    onset = bands((39, 10, 11, 0.9))
    assert rows(bands((39, 10, 20, 0.8), (39, 30, 40, 0.8)), onset) == [(10, 40, 60)]
    assert rows(bands((39, 10, 20, 0.8), (39, 31, 40, 0.8)), onset) == [(10, 20, 60)]
    assert rows(bands((39, 22, 40, 0.8)), onset) == []  # begins to sound too late


def test_short_notes_are_left_out() -> None:
    """0.128 s are 11.03 frames."""
    onset = bands((39, 10, 11, 0.9))
    assert rows(bands((39, 10, 21, 0.8)), onset, 0.128) == []
    assert rows(bands((39, 10, 22, 0.8)), onset, 0.128) == [(10, 22, 60)]


def plucked(onsets: list[float], pitches: list[int], seconds: float) -> Media:
    """Decaying harmonics."""
    sound = np.zeros(round(seconds * RATE))
    for onset, pitch in zip(onsets, pitches, strict=True):
        time = np.arange(round(0.45 * RATE)) / RATE
        tone = sum(np.sin(2 * np.pi * k * 440 * 2 ** ((pitch - 69) / 12) * time) / k for k in range(1, 6))
        start = round(onset * RATE)
        sound[start : start + len(time)] += 0.2 * tone * np.exp(-4 * time)
    return Media(kind="audio", data=wav_bytes(Waveform(torch.from_numpy(sound.astype(np.float32))[None], RATE)))


@needs_weights
def test_notes_are_heard_when_they_sound_across_windows() -> None:
    """12 notes in 6.5 s, which are four windows; every one within 30 ms."""
    onsets = [0.1 + 0.5 * number for number in range(12)]
    pitches = [60, 64, 67, 72, 62, 65, 69, 74, 59, 62, 67, 71]
    found = BasicPitch().notes(plucked(onsets, pitches, 6.5))
    for onset, pitch in zip(onsets, pitches, strict=True):
        assert np.min(np.abs(found.onsets[found.pitches == pitch] - onset)) < 0.03


@needs_weights
def test_windows_join_without_a_seam() -> None:
    """Any window's own frames are those of the whole, wherever the window lies."""
    samples = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    transcriber = BasicPitch()
    whole, _ = transcriber.posteriors(samples)
    later, _ = transcriber.posteriors(samples[70 * HOP :])
    assert whole.shape == (1 + len(samples) // HOP, 88)
    np.testing.assert_allclose(whole[70 + 30 : 200], later[30:130], atol=0.05)


@needs_weights
def test_silence_holds_no_note_and_wrong_rates_are_refused(noise: Callable[..., Media]) -> None:
    assert len(BasicPitch().notes(noise(scale=0.0))) == 0
    with pytest.raises(SoundError, match="expected a sample rate of 22050 Hz, got 16000 Hz"):
        BasicPitch().notes(noise())
    with pytest.raises(SoundError, match="expected one channel, got 2"):
        BasicPitch().notes(noise(rate=22_050, channels=2))
    BasicPitch(resample=True, downmix=True).notes(noise(channels=2))


@needs_weights
def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings in ({"onset": 0.0}, {"frame": 1.0}, {"shortest": -1.0}):
        with pytest.raises(PrefalignError, match=r"expected thresholds in \(0, 1\)"):
            BasicPitch(**settings)
    assert BasicPitch().fingerprint() != BasicPitch(onset=0.4).fingerprint()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(PrefalignError, match=r'not installed: pip install "prefalign-audio\[notes\]"'):
        BasicPitch()


def test_without_the_weights_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PrefalignError, match=r"pip install --no-deps basic-pitch==0.4.0"):
        BasicPitch()
