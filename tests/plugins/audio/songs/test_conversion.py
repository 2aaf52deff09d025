"""Whole scores as songs: the grid, the voice that sings, the lines of the other parts."""

from fractions import Fraction

import pytest
from tests.plugins.audio.songs.scores import document, note

from prefalign_audio.songs.conversion import MOST_STEPS, Reading, song_of
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.musicxml import parse_musicxml
from prefalign_audio.songs.score import LyricText, Part, Score, ScoreError, ScoreNote
from prefalign_audio.songs.song import Note, Song


def score_note(start: float, length: float, pitch: int = 60, text: str = "") -> ScoreNote:
    lyrics = (LyricText("1", text, "single"),) if text else ()
    return ScoreNote(Fraction(start), Fraction(length), pitch, lyrics)


VOICE = Part("Voice", (score_note(1, 1, 60, "ja"), score_note(2, 0.5, 62), score_note(3, 1, 64, "nein")))


def converted(*parts: Part, **reading: object) -> Song:
    return song_of(Score("s", parts), Reading(**reading))  # type: ignore[arg-type]


def test_a_whole_score() -> None:
    data = document(
        {
            "Piano": [note("C3", 2) + note("E3", 2, chord=True) + note("D3", 2)],
            "Voice": [note("C4", 1, ("1", "begin", "Gna")) + note("D4", 2) + note("E4", 1, ("1", "end", "de"))],
        },
        tempo='<sound tempo="72"/>',
    )
    song = song_of(parse_musicxml(data, "s"))
    assert song.vocal == (Note(0, 1, 60, True), Note(1, 2, 62), Note(3, 1, 64, True))
    assert [(s.text, s.ends_word) for s in song.lyric] == [("Gna", False), ("de", True)]
    # The only other part is the bass: its first line has the lowest notes.
    assert song.parts == {"bass": (Note(0, 2, 48), Note(2, 2, 50)), "bass 2": (Note(0, 2, 52),)}
    assert (song.length, song.tempo, song.name) == (4, 72, "s")


def test_silence_before_and_between_stays() -> None:
    song = converted(VOICE)
    assert [(n.start, n.stop) for n in song.vocal] == [(2, 4), (4, 5), (6, 8)]
    assert song.parts == {}


def test_the_part_with_the_most_syllables_sings() -> None:
    other = Part("Solo", (score_note(0, 1, 70, "a"),))
    assert len(converted(other, VOICE).vocal) == 3
    assert len(converted(other, VOICE, vocal="Solo").vocal) == 1
    with pytest.raises(SongError, match="unknown part 'Slo'; did you mean 'Solo'"):
        converted(other, VOICE, vocal="Slo")


def test_a_score_without_lyrics_is_refused_where_they_are_asked_for() -> None:
    plain = Part("Flute", (score_note(0, 1),))
    with pytest.raises(ScoreError, match=r"^s: no lyrics: nothing is sung in 'Flute'; the parts are 'Flute'"):
        converted(plain)
    with pytest.raises(ScoreError, match="no lyrics"):
        converted(plain, VOICE, vocal="Flute")
    assert converted(plain, lyrics=False).lyric == ()


def test_an_empty_score_is_refused() -> None:
    for parts in ((), (Part("Voice", ()),)):
        with pytest.raises(ScoreError, match="no notes"):
            converted(*parts)


def test_a_score_of_too_many_steps_is_refused() -> None:
    with pytest.raises(ScoreError, match="too long"):
        converted(Part("Voice", (score_note(MOST_STEPS / 2, 1, 60, "ja"),)))


def test_notes_beside_the_grid_are_refused_with_the_grid_that_fits() -> None:
    triplets = Part("Voice", (ScoreNote(Fraction(1, 3), Fraction(2, 3), 60, VOICE.notes[0].lyrics),))
    with pytest.raises(ScoreError, match=r"at quarter 0\.333.* lies 0\.333 steps beside .* fit 3 steps per quarter"):
        converted(triplets)
    assert converted(triplets, steps_per_quarter=3).vocal == (Note(1, 2, 60, True),)


def test_played_notes_are_moved_within_the_tolerance() -> None:
    played = Part("Voice", (score_note(0.03, 0.5, 60, "ja"), score_note(0.51, 0.48, 62)))
    with pytest.raises(ScoreError, match=r"the furthest lies 0\.06 steps off"):
        converted(played)
    # The first ends 0.02 quarters after the second begins; on the grid they follow each other.
    assert converted(played, tolerance=0.06).vocal == (Note(0, 1, 60, True), Note(1, 1, 62))
    with pytest.raises(ScoreError, match="beside the grid"):
        converted(played, tolerance=0.05)


def test_notes_that_vanish_on_the_grid_are_refused() -> None:
    with pytest.raises(ScoreError, match="shorter than half a step"):
        converted(Part("Voice", (score_note(0, 0.1, 60, "ja"),)), tolerance=0.3)


def test_several_voices_in_the_part_that_sings_are_refused() -> None:
    chord = Part("Voice", (score_note(0, 1, 64, "ja"), score_note(0.5, 1, 60)))
    with pytest.raises(ScoreError, match=r"part 'Voice': several voices .* pitch 60 at quarter 0\.5 begins before"):
        converted(chord)
    assert len(converted(chord, VOICE).parts) == 2


def test_of_several_verses_the_first_is_sung() -> None:
    lyrics = tuple(LyricText(line, text, "single") for line, text in (("10", "drei"), ("2", "zwei"), ("9", "neun")))
    song = converted(Part("Voice", (score_note(0, 1), ScoreNote(Fraction(1), Fraction(1), 62, lyrics))))
    assert [s.text for s in song.lyric] == ["zwei"]
    assert [n.begins for n in song.vocal] == [False, True]


def test_names_of_parts() -> None:
    low, high = (Part("Strings", (score_note(0, 1, pitch),)) for pitch in (40, 70))
    assert list(converted(VOICE, high, low).parts) == ["Strings", "bass"]
    named = Part("Bass", (score_note(0, 1, 80),))
    assert list(converted(VOICE, low, high, named).parts) == ["Strings", "Strings 2", "bass"]


@pytest.mark.parametrize(("name", "value"), [("steps_per_quarter", 0), ("tolerance", 0.5), ("tolerance", -0.1)])
def test_readings_that_are_none(name: str, value: float) -> None:
    with pytest.raises(SongError, match="tolerance from 0"):
        Reading(**{name: value})  # type: ignore[arg-type]
