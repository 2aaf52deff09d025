"""Recordings from pretty_midi's soundfont."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator

import pytest
import torch

from prefalign.interfaces.errors import PrefalignError
from prefalign_audio.demo import sounds as module
from prefalign_audio.demo.sounds import EVENTS, SoundBank, render_sounds
from prefalign_audio.sound.soundfont import SoundsMissing

PACKAGES = ("pretty_midi", "tinysoundfont")
ABSENT = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
needs_sounds = pytest.mark.skipif(bool(ABSENT), reason=f"{', '.join(ABSENT)} not installed")


@pytest.fixture(scope="module")
def bank() -> SoundBank:
    return render_sounds(8)


@needs_sounds
def test_every_recording_has_sound_of_unit_loudness_that_fades_out(bank: SoundBank) -> None:
    assert bank.names == ("bird", "telephone", "applause", "gunshot", "trumpet", "snare", "bell", "agogo")
    assert bank.recordings.shape == (8, 16, 6400)
    assert bank.rate == 8000
    torch.testing.assert_close(bank.recordings.square().mean(-1), torch.ones(8, 16))
    assert (bank.recordings[..., -1] == 0).all()
    # Each one starts within 0.05 s, so that an onset in the score is an onset in the sound.
    assert (bank.recordings[..., :400].square().mean(-1).sqrt() > 0.05).all()


@needs_sounds
def test_recordings_of_a_class_differ(bank: SoundBank) -> None:
    """By key, and by take: a recording's energy is 1, so 0.01 is a difference 20 dB below it."""
    for one, other in torch.combinations(torch.arange(16)).tolist():
        assert ((bank.recordings[:, one] - bank.recordings[:, other]).square().mean(-1) > 0.01).all()


@needs_sounds
def test_a_velocity_changes_nothing_but_loudness(monkeypatch: pytest.MonkeyPatch, bank: SoundBank) -> None:
    """Which is why recordings differ by key and tuning; a soundfont with velocity layers would be richer."""
    monkeypatch.setattr(module, "_VELOCITY", 60)
    torch.testing.assert_close(render_sounds(8).recordings, bank.recordings, atol=1e-5, rtol=0)


@needs_sounds
def test_rendering_repeats_itself_and_the_small_world_is_the_start_of_the_large_one(bank: SoundBank) -> None:
    assert torch.equal(render_sounds().recordings, bank.recordings[:6])


def test_takes_are_picked_with_all_their_keys() -> None:
    """Two classes with two keys in four takes: takes 1 and 3 are the recordings 2, 3 and 6, 7."""
    bank = SoundBank(("a", "b"), torch.arange(48.0).reshape(2, 8, 3))
    assert torch.equal(bank.at((1, 3)).recordings, bank.recordings[:, [2, 3, 6, 7]])
    with pytest.raises(PrefalignError, match="no take 4: there are 4"):
        bank.at((0, 4))


def test_the_number_of_classes_is_checked() -> None:
    for classes in (1, len(EVENTS) + 1):
        with pytest.raises(PrefalignError, match=f"2 to 8 classes, got {classes}"):
            render_sounds(classes)


@pytest.fixture
def without(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Python without the package."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == request.param else find_spec(name))
    monkeypatch.setitem(sys.modules, request.param, None)
    return request.param


@needs_sounds
@pytest.mark.parametrize(
    ("without", "remedy"),
    [
        ("pretty_midi", "pip install pretty_midi"),
        ("tinysoundfont", "pip install --no-deps tinysoundfont"),
    ],
    indirect=["without"],
)
def test_an_absent_package_is_named_with_the_command_that_installs_it(without: str, remedy: str) -> None:
    with pytest.raises(SoundsMissing, match=f"{without}, .* is not installed: {remedy}$"):
        render_sounds()
