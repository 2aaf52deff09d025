"""Clips of two events, against a mixer that adds one event at a time."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.interfaces.errors import PrefalignError
from prefalign_audio.demo.clips import (
    CLIP_SAMPLES,
    CRAWLED,
    DETECTION,
    FLAWLESS,
    Kind,
    Score,
    active_frames,
    all_captions,
    draw_score,
    mix,
)
from prefalign_audio.demo.sounds import SoundBank


@pytest.fixture
def sounds() -> SoundBank:
    """Three classes of two recordings of 6,400 samples: noise of RMS 1 that dies away at different speeds."""
    noise = torch.randn(3, 2, 6400, generator=torch.Generator().manual_seed(5))
    decay = torch.tensor([0.0, 1.0, 4.0, 8.0, 16.0, 40.0]).reshape(3, 2, 1)
    recordings = noise * torch.exp(-decay * torch.linspace(0, 1, 6400))
    return SoundBank(("a", "b", "c"), recordings / recordings.square().mean(-1, keepdim=True).sqrt())


def drawn(clips: int, shares: dict[Kind, float], seed: int = 0, overlap: float = 0.0) -> Score:
    generator = torch.Generator().manual_seed(seed)
    captions = all_captions(3)[torch.arange(clips) % 6]
    return draw_score(captions, shares, recordings=2, generator=generator, overlap=overlap)


def one_clip(sounds: SoundBank, score: Score, index: int) -> list[torch.Tensor]:
    """Each event of a clip on a silent track of its own, by slices."""
    tracks = []
    for slot in range(2):
        track = torch.zeros(CLIP_SAMPLES)
        recording = sounds.recordings[int(score.events[index, slot]), int(score.recordings[index, slot])]
        onset = int(score.onsets[index, slot])
        track[onset : onset + len(recording)] = float(score.gains[index, slot]) * recording
        tracks.append(track)
    return tracks


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_a_batch_is_mixed_as_clips_are_one_at_a_time(sounds: SoundBank, overlap: float) -> None:
    """300 clips, so that the second batch of 256 is a short one."""
    score = drawn(300, CRAWLED, overlap=overlap)
    waveforms = mix(sounds, score, torch.Generator().manual_seed(1))
    noise = torch.empty(300, CLIP_SAMPLES).normal_(0, 0.02, generator=torch.Generator().manual_seed(1))
    for index in range(300):
        torch.testing.assert_close(waveforms[index], noise[index] + sum(one_clip(sounds, score, index)))


@pytest.mark.parametrize("hop", [500, 400])
def test_labels_are_the_smoothed_loudness_of_each_event_alone(sounds: SoundBank, hop: int) -> None:
    """RMS over samples [hop·f − 250, hop·f + 250), what lies outside the clip being silence."""
    score = drawn(60, CRAWLED)
    active = active_frames(sounds, score, hop)
    assert active.shape == (60, CLIP_SAMPLES // hop, 3)
    expected = torch.zeros_like(active)
    for index in range(60):
        for slot, track in enumerate(one_clip(sounds, score, index)):
            for frame in range(CLIP_SAMPLES // hop):
                window = track[max(0, hop * frame - 250) : hop * frame + 250]
                if math.sqrt(float(window.double().square().sum()) / 500) > 0.1:
                    expected[index, frame, score.events[index, slot]] = 1
    assert torch.equal(active, expected)
    assert 0.1 < active.mean() < 0.3


def test_kinds_say_what_is_played() -> None:
    """Correct: as captioned. Swapped: the other order. Missing: gain 0 for the event that the caption names there."""
    score = drawn(4000, CRAWLED)
    for kind, share in CRAWLED.items():
        # Four standard errors of a share of 0.55 among 4,000.
        assert abs(float((score.kinds == kind).float().mean()) - share) < 0.032
    swapped = score.kinds == Kind.SWAPPED
    assert torch.equal(score.events[swapped], score.captions[swapped].flip(1))
    assert torch.equal(score.events[~swapped], score.captions[~swapped])
    assert torch.equal(score.gains[:, 0] == 0, score.kinds == Kind.FIRST_MISSING)
    assert torch.equal(score.gains[:, 1] == 0, score.kinds == Kind.SECOND_MISSING)
    audible = score.gains[score.gains > 0]
    assert 0.5 <= audible.min() < 0.51
    assert 1.19 < audible.max() <= 1.2
    assert set(drawn(200, DETECTION).kinds.tolist()) == {Kind.CORRECT, Kind.FIRST_MISSING, Kind.SECOND_MISSING}
    assert set(drawn(200, FLAWLESS).kinds.tolist()) == {Kind.CORRECT}


def test_onsets_without_overlap() -> None:
    """U(0, 0.25) s and U(0.95, 1.2) s at 8,000 Hz; both events end within the clip's 16,000 samples."""
    onsets = drawn(2000, FLAWLESS).onsets
    assert onsets[:, 0].min() >= 0
    assert onsets[:, 0].max() <= 2000
    assert onsets[:, 1].min() >= 7600
    assert onsets[:, 1].max() <= 9600
    assert onsets[:, 1].max() + 6400 <= CLIP_SAMPLES


def test_overlapping_events_keep_their_order() -> None:
    """At the most, 0.5 s: gaps of 0.95 − 0.25 − 0.5 = 0.2 s to 1.2 − 0.5 = 0.7 s, shifted together by up to 0.5 s."""
    onsets = drawn(4000, FLAWLESS, overlap=0.5).onsets
    gap = onsets[:, 1] - onsets[:, 0]
    assert 1598 <= gap.min() < 1900
    assert 5300 < gap.max() <= 5602
    assert onsets[:, 0].max() > 5000
    assert onsets[:, 1].max() + 6400 <= CLIP_SAMPLES
    assert (gap < 6400).all()


def test_an_overlap_that_would_blur_the_order_is_refused() -> None:
    for overlap in (-0.1, 0.51):
        with pytest.raises(PrefalignError, match=r"0 to 0\.5 s"):
            drawn(2, FLAWLESS, overlap=overlap)


def test_captions_are_the_ordered_pairs() -> None:
    assert all_captions(3).tolist() == [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]
    assert len(all_captions(6)) == 30
    assert len(all_captions(8)) == 56


def test_the_seed_decides_everything(sounds: SoundBank) -> None:
    def waveforms(seed: int) -> torch.Tensor:
        return mix(sounds, drawn(8, CRAWLED, seed), torch.Generator().manual_seed(seed))

    assert torch.equal(waveforms(3), waveforms(3))
    assert not torch.equal(waveforms(3), waveforms(4))
