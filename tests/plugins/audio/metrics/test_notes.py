"""Agreement of notes on sounds."""

import importlib.util

import numpy as np
import pytest

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.metrics.notes import NoteAgreement
from prefalign_audio.songs.song import Note, Song
from prefalign_audio.songs.timed import TimedNotes, timed_notes

PACKAGES = ("basic_pitch", "onnxruntime", "tinysoundfont", "pretty_midi")
ABSENT = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
SOUND = Media(kind="audio", data=b"-")
SONG = Song(length=4, tempo=60, vocal=(Note(0, 2, 60), Note(2, 2, 62)))


class Fixed:
    """Hears the same notes in every sound."""

    def __init__(self, *rows: tuple[float, float]) -> None:
        table = np.array(rows, dtype=np.float64).reshape(-1, 2)
        self.found = TimedNotes(table[:, 0], table[:, 0] + 1, table[:, 1])

    def notes(self, sound: Media) -> TimedNotes:
        return self.found

    def fingerprint(self) -> str:
        return "fixed"


def test_sounds_are_counted_together() -> None:
    """The second song's two notes are not heard: 2 of 4 asked, 2 of 6 heard."""
    metric = NoteAgreement(Fixed((0.0, 60.0), (1.02, 62.0), (1.0, 74.0)))
    metric.update([SOUND], [SONG])
    metric.update([SOUND], [Song(length=4, tempo=60, vocal=(Note(0, 2, 50), Note(2, 2, 52)))])
    found = metric.compute()
    assert found["note_recall"].item() == pytest.approx(2 / 4)
    assert found["note_precision"].item() == pytest.approx(2 / 6)
    assert found["note_f1"].item() == pytest.approx(2 * 2 / 10)
    assert (found["notes"], found["clips"]) == (4, 2)


def test_nothing_heard_is_no_agreement() -> None:
    metric = NoteAgreement(Fixed())
    metric.update([SOUND], [SONG])
    assert metric.compute()["note_f1"] == 0
    assert metric.compute()["note_precision"].isnan()


def test_what_does_not_fit_is_refused() -> None:
    metric = NoteAgreement(Fixed())
    with pytest.raises(PrefalignError, match="expected one song for each of 1 sounds, got 0"):
        metric.update([SOUND], [])
    with pytest.raises(PrefalignError, match="rest: a song without notes"):
        metric.update([SOUND], [Song(length=1, vocal=(), name="rest")])
    assert metric.clips == 0
    with pytest.raises(PrefalignError, match="set them there"):
        NoteAgreement(Fixed(), resample=True)
    with pytest.raises(PrefalignError, match="is one of the 1 models"):
        NoteAgreement(Fixed(), trainers=["fixed"])


@pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}")
def test_a_piano_s_notes_are_those_of_the_score(random_song) -> None:  # type: ignore[no-untyped-def]
    """Every note is found; octaves that ring with it cost precision. Another score agrees with little of it."""
    from prefalign_audio.songs.rendering import RATE, play
    from prefalign_audio.sound.files import wav_bytes
    from prefalign_audio.sound.waveform import Waveform

    songs = [random_song(seed) for seed in range(3)]
    sounds = []
    for song in songs:
        mixed = play(song.vocal, song, 0) + play(song.parts["bass"], song, 0)
        sounds.append(Media(kind="audio", data=wav_bytes(Waveform((0.5 * mixed / mixed.abs().max())[None], RATE))))
    right, wrong = NoteAgreement(), NoteAgreement()
    right.update(sounds, songs)
    wrong.update(sounds, [songs[1], songs[2], songs[0]])
    assert right.compute()["note_f1"] > 0.75
    assert right.compute()["note_recall"] > 0.95
    assert wrong.compute()["note_f1"] < 0.3
    assert right.compute()["notes"] == sum(len(timed_notes(song)) for song in songs)
