"""Songs as sounds: length, loudness, clipping, the same bytes again, and what happens without a voice."""

import importlib.util
import math
import warnings
from dataclasses import replace

import pytest
import torch

from prefalign_audio.songs import rendering as module
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.rendering import RATE, Rendering, play, render_song
from prefalign_audio.songs.song import Note, Song
from prefalign_audio.sound.files import wav_bytes


def needs(*packages: str) -> pytest.MarkDecorator:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


needs_voice = needs("espeakng_loader", "tinysoundfont", "pretty_midi")
needs_font = needs("tinysoundfont", "pretty_midi")
CHOIR = Rendering(voice="choir")


@needs_voice
@pytest.mark.parametrize("voice", ["sung", "choir"])
def test_a_song_is_rendered_loud_enough_unclipped_and_the_same_again(phrase: Song, voice: str) -> None:
    """16 steps of 1/3 s and 0.6 s to ring."""
    sound = render_song(phrase, Rendering(voice=voice))  # type: ignore[arg-type]
    assert (sound.channels, sound.rate) == (1, 22_050)
    assert sound.seconds == pytest.approx(16 / 3 + 0.6, abs=1e-3)
    assert sound.samples.abs().max() <= 10 ** (-1 / 20) + 1e-6
    sounding = sound.samples[sound.samples.abs() > 1e-4]
    assert 20 * math.log10(sounding.square().mean().sqrt()) == pytest.approx(-20, abs=0.5)
    assert wav_bytes(sound) == wav_bytes(render_song(phrase, Rendering(voice=voice)))  # type: ignore[arg-type]


@needs_voice
def test_auto_sings_where_it_can_and_says_where_it_cannot(phrase: Song, monkeypatch: pytest.MonkeyPatch) -> None:
    sung, choir = (render_song(phrase, Rendering(voice=voice)) for voice in ("sung", "choir"))
    assert torch.equal(render_song(phrase).samples, sung.samples)
    assert not torch.equal(sung.samples, choir.samples)
    monkeypatch.setattr(module, "voice_installed", lambda: False)
    with pytest.warns(UserWarning, match=r'a choir without words sings: pip install "prefalign-audio\[songs\]"'):
        found = render_song(phrase)
    assert torch.equal(found.samples, choir.samples)


@needs_font
def test_a_part_sounds_from_its_notes_on_and_stops_behind_them(phrase: Song, measured_hertz) -> None:  # type: ignore[no-untyped-def]
    """An organ on A3, 220 Hz, for steps 3 to 6 of 12; it sounds an octave below as well."""
    song = Song(length=12, vocal=(), parts={"bass": (Note(3, 3, 57),)})
    sound = play(song.parts["bass"], song, 19)
    step = song.seconds_per_step * RATE
    assert sound[: math.floor(3 * step)].abs().max() == 0
    middle = sound[round(4 * step) : round(4 * step) + 6_000]
    assert abs(1200 * math.log2(measured_hertz(middle.numpy()) / 110)) < 20
    assert sound[round(9 * step) :].abs().max() < 0.01 * middle.abs().max()


@needs_font
def test_a_repeated_note_begins_again() -> None:
    """A piano dies away; the second stroke of the same key is as loud as the first."""
    song = Song(length=8, vocal=(Note(0, 4, 60), Note(4, 4, 60)))
    sound = play(song.vocal, song, 0)
    step = song.seconds_per_step * RATE
    first, late, second = (
        sound[round(at * step) : round(at * step) + 2_000].square().mean() for at in (0.05, 3.5, 4.05)
    )
    assert second > 0.5 * first > late


@needs_font
def test_the_vocal_is_louder_than_the_rest(phrase: Song) -> None:
    """By 6 dB of RMS: without the parts the same vocal has 2/√5 of the whole's, if the two are not alike."""
    whole, alone = render_song(phrase, CHOIR), render_song(replace(phrase, parts={}), CHOIR)
    share = (whole.samples * alone.samples).sum() / alone.samples.square().sum()
    assert share.item() == pytest.approx(2 / math.sqrt(5), abs=0.12)


@needs_font
def test_loud_mixtures_do_not_clip(monkeypatch: pytest.MonkeyPatch, phrase: Song) -> None:
    """Asked for an RMS that only a square wave has."""
    monkeypatch.setattr(module, "_LEVEL", 1.0)
    assert render_song(phrase, CHOIR).samples.abs().max().item() == pytest.approx(10 ** (-1 / 20))


@needs_font
def test_a_song_without_notes_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sound = render_song(Song(length=4, vocal=()), CHOIR)
    assert sound.samples.abs().max() == 0
    assert sound.seconds == pytest.approx(4 / 3 + 0.6, abs=1e-3)


def test_settings_are_checked() -> None:
    with pytest.raises(SongError, match=r"unknown voice 'chior'.*choir"):
        Rendering(voice="chior")  # type: ignore[arg-type]
    for program in (-1, 128):
        with pytest.raises(SongError, match=f"0 to 127, got {program}"):
            Rendering(instrument=program)
