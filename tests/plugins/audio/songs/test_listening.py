"""Comparisons as files and a page."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.listening import Comparison, lyric_text, write_comparisons
from prefalign_audio.songs.rendering import Rendering
from prefalign_audio.songs.song import Note, Song, Syllable
from prefalign_audio.sound.files import read_sound

needs_font = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("tinysoundfont", "pretty_midi")), reason="no soundfont"
)
CHOIR = Rendering(voice="choir")


def test_a_caption_says_what_was_asked_and_how_it_was_scored(phrase: Song) -> None:
    one = Comparison(
        name="a", before=phrase, after=phrase, mode="minor", register="low", scores={"lyric error": (0.4567, 0.0)}
    )
    assert one.caption == "Gna-de Herr dein · minor, low · lyric error 0.457 → 0"
    asked = (Syllable("Freu", ()), Syllable("de", (), False))
    assert Comparison(name="a", before=phrase, after=phrase, asked=asked).caption == "Freu de"
    assert Comparison(name="a", before=phrase, after=phrase, asked=()).caption == "a"
    assert lyric_text((Syllable("Gna", (), False), Syllable("de", ()))) == "Gna-de"


@needs_font
def test_sounds_captions_and_page(phrase: Song, tmp_path: Path) -> None:
    evil = (Syllable("<script>alert('x')</script>&\"", ()),)
    short = replace(phrase, length=4, vocal=(Note(0, 4, 60, True),), parts={})
    page = write_comparisons(
        tmp_path / "run",
        [
            Comparison(name="one", before=phrase, after=short, mode="major"),
            Comparison(name="two", before=short, after=phrase, asked=evil),
        ],
        CHOIR,
        title="<b>",
    )
    text = page.read_text("utf-8")
    assert page == tmp_path / "run" / "index.html"
    assert "<script" not in text
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;&quot;" in text
    assert "<h1>&lt;b&gt;</h1>" in text
    assert text.count("<audio ") == 4
    assert json.loads((tmp_path / "run" / "captions.json").read_text("utf-8"))["one.wav"] == "Gna-de Herr dein · major"
    before, after = (read_sound(tmp_path / "run" / side / "one.wav") for side in ("before", "after"))
    assert before.seconds > after.seconds
    assert before.rate == 22_050


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "-", "nul\0"])
def test_names_that_leave_the_folder_are_refused(phrase: Song, name: str) -> None:
    with pytest.raises(SongError, match="cannot name a file"):
        Comparison(name=name, before=phrase, after=phrase)


def test_comparisons_are_checked(phrase: Song, tmp_path: Path) -> None:
    with pytest.raises(SongError, match="expected comparisons"):
        write_comparisons(tmp_path, [])
    one, other = (Comparison(name=name, before=phrase, after=phrase) for name in ("a", "A"))
    with pytest.raises(SongError, match="none called like another"):
        write_comparisons(tmp_path, [one, other])  # one file on some systems
    high = Song(length=2, vocal=(Note(0, 2, 100, True),))
    with pytest.raises(SongError, match=r"^b, after: no voice sings"):
        write_comparisons(
            tmp_path, [Comparison(name="b", before=Song(length=1, vocal=()), after=high)], Rendering(voice="sung")
        )
