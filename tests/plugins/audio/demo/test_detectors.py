"""Detectors of events, and the rules that read captions off what they hear."""

from __future__ import annotations

import pytest
import torch

from prefalign.interfaces.errors import PrefalignError
from prefalign_audio.demo.detectors import EventDetector, Heard, detection_accuracy, train_detector


def heard(frames: int, **spans: tuple[int, int]) -> Heard:
    """One clip of classes a, b, c with probability 1 in frames [start, stop)."""
    probabilities = torch.zeros(1, frames, 3)
    for name, (start, stop) in spans.items():
        probabilities[0, start:stop, "abc".index(name)] = 1.0
    return Heard(probabilities)


AB, BA = torch.tensor([[0, 1]]), torch.tensor([[1, 0]])


def test_presence_needs_two_neighbouring_frames() -> None:
    """One certain frame has a two-frame mean of exactly 0.5, which does not exceed it."""
    assert heard(32, a=(4, 6), b=(9, 10)).present().tolist() == [[True, False, False]]


def test_a_sound_from_the_first_frame_on_starts_at_zero_and_an_absent_one_never() -> None:
    """Frames of 2 s / 32 = 62.5 ms: frames 0..3 have their centre at 1.5 frames, frame 10 to 13 at 11.5."""
    sound = heard(32, a=(0, 4), b=(10, 14))
    torch.testing.assert_close(sound.onsets(), torch.tensor([[0.0, 0.625, torch.inf]]))
    torch.testing.assert_close(sound.centroids()[:, :2], torch.tensor([[1.5, 11.5]]) * 0.0625)
    assert sound.centroids()[0, 2].isnan()


@pytest.mark.parametrize(("gap", "apart"), [(2, False), (3, True)])
def test_then_means_centres_more_than_two_frames_apart(gap: int, apart: bool) -> None:
    sound = heard(32, a=(4, 8), b=(4 + gap, 8 + gap))
    assert bool(sound.temporal(AB)) is apart
    assert not sound.temporal(BA)
    assert sound.integrity(AB)
    assert sound.integrity(BA)


def test_two_frames_are_the_same_time_at_another_hop() -> None:
    """At 40 frames, of 50 ms, 0.125 s is 2.5 frames: three are enough, two are not."""
    assert heard(40, a=(4, 8), b=(7, 11)).temporal(AB)
    assert not heard(40, a=(4, 8), b=(6, 10)).temporal(AB)


def test_overlapping_events_are_ordered_by_their_onsets() -> None:
    """A long A around a short B has the later centre and still comes first."""
    sound = heard(32, a=(2, 28), b=(5, 9))
    assert not sound.temporal(AB)
    assert sound.temporal(AB, by_onset=True)
    assert not sound.temporal(BA, by_onset=True)


def test_an_absent_event_fails_both_rules() -> None:
    sound = heard(32, a=(2, 8))
    for by_onset in (False, True):
        assert not sound.integrity(AB)
        assert not sound.temporal(AB, by_onset=by_onset)
        assert not sound.temporal(BA, by_onset=by_onset)


def test_accuracy_counts_decisions_and_clips() -> None:
    """Two clips of three classes; in the first one event is missed: 5 of 6 decisions, 1 of 2 clips."""
    probabilities = torch.zeros(2, 8, 3)
    probabilities[:, 2:5, 0] = 1.0
    active = torch.zeros(2, 8, 3)
    active[:, 2:5, 0] = 1.0
    active[0, 6:, 2] = 1.0
    accuracy = detection_accuracy(Heard(probabilities), active)
    assert accuracy["events"] == pytest.approx(5 / 6)
    assert accuracy["clips"] == 0.5


def made_clips(clips: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes, each a band that is loud for five frames, in noise."""
    features = 0.3 * torch.randn(clips, 20, 6, generator=generator)
    active = torch.zeros(clips, 20, 2)
    for label, band in ((0, 1), (1, 4)):
        starts = torch.randint(16, (clips, 1), generator=generator)
        on = (torch.arange(20) >= starts) & (torch.arange(20) < starts + 5)
        active[..., label] = on
        features[..., band] += 2.0 * on
    return features, active


def trained(seed: int) -> EventDetector:
    torch.manual_seed(seed)
    detector = EventDetector(bands=6, classes=2, channels=12, kernel=3)
    generator = torch.Generator().manual_seed(seed)
    train_detector(detector, *made_clips(300, generator), generator, steps=80)
    return detector


def test_a_detector_learns_what_is_where_and_repeats_itself() -> None:
    detector = trained(0)
    features, active = made_clips(200, torch.Generator().manual_seed(9))
    sound = detector.hear(features)
    assert not detector.training
    assert not sound.probabilities.requires_grad
    assert ((sound.probabilities > 0.5).float() == active).float().mean() > 0.97
    assert detection_accuracy(sound, active)["events"] > 0.97
    assert torch.equal(trained(0).hear(features).probabilities, sound.probabilities)


def test_labels_of_another_hop_are_refused() -> None:
    detector = EventDetector(6, 2, 4, 3)
    with pytest.raises(PrefalignError, match=r"labels of \(3, 40\) .* features of \(3, 32\)"):
        train_detector(detector, torch.zeros(3, 32, 6), torch.zeros(3, 40, 2), torch.Generator())
