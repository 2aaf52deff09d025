"""Scores as they are written."""

import copy
import pickle
from fractions import Fraction

from prefalign_audio.songs.score import LyricText, Part, ScoreError, ScoreNote, top_line


def note(start: float, length: float, pitch: int, voice: str = "1") -> ScoreNote:
    return ScoreNote(Fraction(start), Fraction(length), pitch, voice=voice)


def test_of_a_chord_one_note_is_taken() -> None:
    chord = (note(0, 1, 67), note(0, 1, 60), note(1, 1, 62))
    assert [n.pitch for n in top_line(chord)] == [67, 62]
    assert [n.pitch for n in top_line(chord, lowest=True)] == [60, 62]


def test_what_begins_while_a_note_sounds_is_left_out() -> None:
    assert [n.pitch for n in top_line((note(0, 2, 60), note(1, 2, 70), note(2, 1, 65)))] == [60, 65]


def test_of_several_voices_the_first_is_taken() -> None:
    # By their numbers: 2 is before 10.
    voices = (note(0, 1, 72, "10"), note(0, 1, 60, "2"), note(1, 1, 70, "10"))
    assert [n.pitch for n in top_line(voices)] == [60]
    assert top_line(()) == ()


def test_syllables_of_a_part() -> None:
    text = LyricText("1", "ja", "single")
    sung = ScoreNote(Fraction(0), Fraction(1), 60, (text, text))
    assert Part("Voice", (sung, note(1, 1, 60))).syllables == 1


def test_errors_survive_their_way_between_processes() -> None:
    error = ScoreError("a.mid, part 'x'", "no notes", "expected one")
    assert str(error) == "a.mid, part 'x': no notes: expected one"
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (str(again), again.reason, again.where) == (str(error), "no notes", "a.mid, part 'x'")
    assert str(ScoreError("a", "too long")) == "a: too long"
