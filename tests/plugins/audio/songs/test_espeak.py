"""Syllables by espeak-ng: what is asked, what comes back, and what is refused."""

import importlib.util
import math
import subprocess
import sys

import pytest
import torch

from prefalign_audio.songs import espeak as module
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.espeak import PHONEMES, VOWELS, Utterance, VoiceMissing, speak, utterance
from prefalign_audio.songs.song import Syllable

needs_voice = pytest.mark.skipif(importlib.util.find_spec("espeakng_loader") is None, reason="no espeakng_loader")

GNA = Syllable("Gna", ("ɡ", "n", "aː"), False)


def test_german_is_spoken_by_phonemes_and_other_languages_by_text() -> None:
    assert utterance(GNA, 261.6, 175) == Utterance("[[g|n|A:]]", True, 262, 175)
    assert utterance(GNA, 261.6, 175, "en-us") == Utterance("Gna", False, 262, 175)
    assert utterance(Syllable("Gna", ()), 261.4, 175) == Utterance("Gna", False, 261, 175)


@pytest.mark.parametrize(
    ("syllable", "hertz", "message"),
    [
        (Syllable("Gna", ("ɡ", "aːː")), 200.0, "syllable 'Gna': unknown phoneme 'aːː'.*aː"),
        (Syllable("[[", ()), 200.0, "neither phonemes nor letters"),
        (Syllable(" - ", ()), 200.0, "neither phonemes nor letters"),
        (GNA, 49.0, "no voice sings 49.0 Hz; expected 50 to 1100 Hz"),
        (GNA, 1101.0, "no voice sings"),
    ],
)
def test_what_cannot_be_spoken_is_refused(syllable: Syllable, hertz: float, message: str) -> None:
    with pytest.raises(SongError, match=message):
        utterance(syllable, hertz, 175)


@needs_voice
def test_every_phoneme_is_one_that_the_voice_knows() -> None:
    """espeak-ng leaves an unknown name out, so that the word would have no event of it."""
    names = sorted(set(PHONEMES.values()))
    words = [
        Utterance(f"[[{name}]]" if name in VOWELS.values() else f"[[{name}|A:]]", True, 200, 175) for name in names
    ]
    for name, found in zip(names, _events(words), strict=True):
        assert found[0].lstrip("'") == name


def _events(words: list[Utterance]) -> list[list[str]]:
    from prefalign_audio.songs.espeak_process import answer

    found = answer({"language": "de", "utterances": [vars(word) for word in words]})
    return [[name for _, name in one["events"]] for one in found["utterances"]]


@needs_voice
def test_the_nucleus_is_the_vowel() -> None:
    """g and n take 0.17 s at this speed, and nothing but a pause follows the vowel."""
    (spoken,) = speak([utterance(GNA, 262, 175)])
    start, stop = spoken.nucleus
    assert 0.1 * module.RATE < start < 0.2 * module.RATE
    assert stop - start > 0.15 * module.RATE
    assert spoken.samples.dtype == torch.float32
    assert 0.1 < spoken.samples.abs().max() <= 1


@needs_voice
def test_a_word_is_held_on_its_stressed_vowel_and_what_has_no_vowel_on_its_longest_sound() -> None:
    word, hiss = speak([Utterance("Kantate", False, 200, 175), Utterance("[[p|s]]", True, 200, 175)])
    assert word.nucleus[0] > 0.15 * module.RATE  # of Kan-TA-te
    assert hiss.nucleus[1] > hiss.nucleus[0] > 0


@needs_voice
def test_an_utterance_sounds_the_same_whatever_was_spoken_by_the_process_before() -> None:
    """The library carries its state from one utterance to the next; only fresh processes repeat themselves."""
    first = speak([utterance(GNA, 131, 175)])[0].samples
    speak([utterance(Syllable("Hund", ("h", "ʊ", "n", "t")), 200, 175)])
    assert torch.equal(speak([utterance(GNA, 131, 175)])[0].samples, first)


@needs_voice
def test_faster_speech_is_shorter() -> None:
    slow, fast = speak([utterance(GNA, 200, 175), utterance(GNA, 200, 350)])
    assert len(fast.samples) < 0.75 * len(slow.samples)


@needs_voice
def test_what_the_library_does_not_know_is_said() -> None:
    with pytest.raises(SongError, match="espeak-ng has no voice 'klingonish'; expected one such as 'de'"):
        speak([utterance(GNA, 200, 175)], "klingonish")
    with pytest.raises(SongError, match="no sound for"):
        speak([Utterance("[[]]", True, 200, 175)])
    assert speak([]) == []


@needs_voice
def test_a_process_that_fails_or_hangs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(SongError, match="espeak-ng does not run here"):
        speak([utterance(GNA, 200, 175)])

    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("python", 60)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(SongError, match="timed out"):
        speak([utterance(GNA, 200, 175)])


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "voice_installed", lambda: False)
    with pytest.raises(VoiceMissing, match=r'pip install "prefalign-audio\[songs\]"; or ask for the voice choir'):
        speak([utterance(GNA, 200, 175)])


def test_the_range_of_the_voice_is_what_the_message_says() -> None:
    """MIDI 32 and 84 are sung, 31 and 85 are not."""
    frequencies = {pitch: 440 * 2 ** ((pitch - 69) / 12) for pitch in (31, 32, 84, 85)}
    assert math.isclose(frequencies[32], 51.9, abs_tol=0.05)
    for pitch, hertz in frequencies.items():
        if pitch in (32, 84):
            assert utterance(GNA, hertz, 175).hertz == round(hertz)
        else:
            with pytest.raises(SongError):
                utterance(GNA, hertz, 175)
