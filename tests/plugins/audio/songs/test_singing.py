"""The voice: pitches in cents, lengths in frames, consonants where they belong."""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.espeak import OPEN, RATE, Spoken
from prefalign_audio.songs.singing import SungSyllable, _begins, held, hertz, sing, sung_sound, sung_syllables
from prefalign_audio.songs.song import Note, Song, Syllable

needs_voice = pytest.mark.skipif(importlib.util.find_spec("espeakng_loader") is None, reason="no espeakng_loader")


Hertz = Callable[[np.ndarray], float]


def cents(found: float, pitch: int) -> float:
    return abs(1200 * math.log2(found / hertz(pitch)))


def test_hertz() -> None:
    """Concert pitch, an octave, middle C."""
    assert [hertz(69), hertz(57)] == [440.0, 220.0]
    assert hertz(60) == pytest.approx(261.6256, abs=1e-4)


def test_syllables_meet_their_notes(phrase: Song) -> None:
    """The n-th note that begins sings the n-th syllable; the second note goes on with the first one's vowel."""
    found = list(sung_syllables(phrase))
    assert [one.syllable.text for one in found] == ["Gna", "de", "Herr", "dein"]
    assert [[note.start for note in one.notes] for one in found] == [[0, 4], [6], [8], [13]]
    assert all(one.whole for one in found)


def test_notes_without_a_syllable() -> None:
    """Before the first one and behind the last one an open vowel is sung; after a rest the vowel is taken up again."""
    notes = (Note(0, 1, 60), Note(1, 1, 60, True), Note(3, 1, 62), Note(4, 1, 62, True))
    found = list(sung_syllables(Song(length=5, vocal=notes, lyric=(Syllable("ja", ("j", "aː")),))))
    assert [(one.syllable.text, one.whole) for one in found] == [
        (OPEN.text, False),
        ("ja", True),
        ("ja", False),
        (OPEN.text, True),
    ]
    assert list(sung_syllables(Song(length=5, vocal=()))) == []


@needs_voice
@pytest.mark.parametrize("pitch", [36, 45, 55, 60, 67, 74, 81])
def test_a_sustained_vowel_is_at_its_pitch(pitch: int, measured_hertz: Hertz) -> None:
    """Within 5 cents everywhere; espeak-ng alone would be 11 cents off at pitch 36, which it sings as 65 Hz."""
    song = Song(length=8, vocal=(Note(0, 8, pitch, True),), lyric=(Syllable("Gna", ("ɡ", "n", "aː")),))
    voice = sing(song)
    for start in range(int(0.5 * RATE), int(2.2 * RATE), 9_000):
        assert cents(measured_hertz(voice[start : start + 4_000].numpy()), pitch) < 5


@needs_voice
def test_every_note_of_a_phrase_is_at_its_pitch_and_rests_are_silent(phrase: Song, measured_hertz: Hertz) -> None:
    voice = sing(phrase)
    step = phrase.seconds_per_step * RATE
    assert voice.shape == (math.ceil(phrase.seconds * RATE),)
    for note in phrase.vocal:
        middle = round((note.start + 0.55 * note.length) * step)
        assert cents(measured_hertz(voice[middle : middle + 2_000].numpy()), note.pitch) < 10
    rest = voice[math.ceil(11 * step) : math.floor(13 * step)]
    assert (rest[: -round(0.1 * RATE)] == 0).all()  # d takes 0.04 s before the beat
    assert rest.abs().max() > 0
    assert voice[round(13.1 * step) : round(15 * step)].abs().max() > 0.1


@pytest.mark.parametrize(
    ("onsets", "expected"),
    [
        ([100, 300, 200], [0, 700, 2_300]),  # the first has nothing before it; the others' vowels are on the beat
        ([0, 0, 0], [0, 1_000, 2_500]),
        ([100, 700, 900], [0, 500, 1_600]),  # half of the note before, and all of a rest
    ],
)
def test_consonants_come_before_the_beat(onsets: list[int], expected: list[int]) -> None:
    """Steps of 500 frames; the second syllable is followed by a rest, and has half of its last note for itself."""
    notes = ((Note(0, 2, 60),), (Note(2, 1, 60),), (Note(5, 1, 60),))
    sung = [SungSyllable(OPEN, one, True) for one in notes]
    assert _begins(sung, onsets, 500.0) == expected


@needs_voice
def test_a_vowel_is_on_the_beat() -> None:
    """An s is noise; a vowel repeats itself with its period from the beat on."""
    song = Song(length=8, vocal=(Note(0, 4, 60, True), Note(4, 4, 60, True)), lyric=(OPEN, Syllable("s", ("s", "aː"))))
    voice, beat = sing(song), round(4 * song.seconds_per_step * RATE)

    def periodic(samples: torch.Tensor) -> float:
        one, next_one = samples[: -(period := round(RATE / hertz(60)))], samples[period:]
        return torch.nn.functional.cosine_similarity(one, next_one, dim=0).item()

    assert periodic(voice[beat + 200 : beat + 1_500]) > 0.8
    assert abs(periodic(voice[beat - 1_400 : beat - 300])) < 0.4


@needs_voice
def test_the_wave_does_not_jump(phrase: Song) -> None:
    """Where consonants, held vowels and pitches meet, it moves no more than in one syllable alone, or little more."""
    voice = sing(phrase)
    natural = sing(Song(length=2, vocal=(Note(0, 2, 67, True),), lyric=(Syllable("Gna", ("ɡ", "n", "aː")),)))
    assert voice.diff().abs().max() < 1.5 * natural.diff().abs().max()


@needs_voice
def test_a_note_too_short_for_its_consonants_keeps_its_vowel() -> None:
    """1/16 of a quarter at 90 a minute is 0.04 s."""
    song = Song(
        length=2, steps_per_quarter=16, vocal=(Note(0, 2, 67, True),), lyric=(Syllable("strumpf", tuple("ʃtʁʊmpf")),)
    )
    voice = sing(song)
    assert len(voice) == math.ceil(2 * RATE * 60 / 90 / 16)
    assert voice.abs().max() > 0.05


@needs_voice
def test_another_language_is_sung_from_its_text() -> None:
    song = Song(length=2, vocal=(Note(0, 2, 67, True),), lyric=(Syllable("light", ()),))
    english, german = sing(song, "en-us"), sing(song, "de")
    assert not torch.equal(english, german)


def test_what_cannot_be_sung_is_refused() -> None:
    with pytest.raises(SongError, match="unknown phoneme 'θ'"):
        sing(Song(length=2, vocal=(Note(0, 2, 67, True),), lyric=(Syllable("th", ("θ",)),)))
    with pytest.raises(SongError, match=r"a step of 0.0006 s is too short to be sung"):
        sing(Song(length=2, tempo=50_000, vocal=(Note(0, 2, 67, True),)))
    with pytest.raises(SongError, match="no voice sings"):
        sing(Song(length=2, vocal=(Note(0, 2, 100, True),)))


def source(frequency: int, seconds: float = 0.4) -> Spoken:
    """Two partials whose balance moves, between stretches of silence."""
    time = torch.arange(round(seconds * RATE)) / RATE
    tone = 0.4 * torch.sin(2 * math.pi * frequency * time) + 0.3 * time * torch.sin(6 * math.pi * frequency * time)
    quiet = torch.zeros(2_000)
    return Spoken(torch.cat([quiet, tone.float(), quiet]), frequency, (2_000, 2_000 + len(tone)))


@pytest.mark.parametrize(("asked", "frames"), [(200.0, 5_000), (200.3, 22_050), (199.6, 44_100)])
def test_holding_keeps_loudness_and_moves_the_pitch(asked: float, frames: int, measured_hertz: Hertz) -> None:
    """Shorter than the source, longer, and four times as long; a third of a Hz is 3 cents."""
    sound, place = held(source(200), asked, frames, opens=True, closes=True)
    assert sound.shape == (frames,)
    assert measured_hertz(sound[1_000:4_500].numpy()) == pytest.approx(asked, abs=0.06)
    middle = sound[frames // 4 : 3 * frames // 4]
    assert middle.square().mean().sqrt().item() == pytest.approx(0.4 / math.sqrt(2), rel=0.1)
    assert abs(place - source(200).nucleus[1]) <= RATE / 200


def test_holding_at_the_source_s_own_pitch_and_length_gives_the_source() -> None:
    spoken = source(210)  # 105 frames a period
    start, stop = spoken.nucleus
    sound, _ = held(spoken, 210.0, stop - start, opens=True, closes=True)
    torch.testing.assert_close(sound[:-210], spoken.samples[start : stop - 210], atol=0.02, rtol=0)


def test_consonants_stay_as_they_were_spoken() -> None:
    """Onset 2,000 frames of ones, coda of twos: both are found again, at the two ends of the note."""
    spoken = source(210)
    start, stop = spoken.nucleus
    samples = spoken.samples.clone()
    samples[:start], samples[stop:] = 1.0, 2.0
    sung = SungSyllable(Syllable("x", ("x",)), (Note(0, 4, 57, True),), True)
    sound = sung_sound(sung, [Spoken(samples, 220, spoken.nucleus)], [30_000])
    assert (sound[100:1_990] == 1).all()
    assert (sound[-1_800:-500] == 2).all()
    assert (sound[2_200:27_500].abs() < 1).all()
    vowel = sung_sound(replace(sung, whole=False), [Spoken(samples, 220, spoken.nucleus)], [30_000])
    assert (vowel.abs() < 1).all()


def test_the_voice_is_not_asked_for_more_than_it_needs(phrase: Song) -> None:
    """One utterance a note, none for rests."""
    assert sum(len(one.notes) for one in sung_syllables(phrase)) == len(phrase.vocal)
    assert np.isclose(phrase.seconds, 16 / 3)
