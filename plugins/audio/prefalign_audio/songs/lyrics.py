"""Lyrics as they stand under notes: which line is sung, which syllables make a word, and what of the text is none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prefalign_audio.songs.score import LyricText, ScoreNote
from prefalign_audio.songs.song import Syllable

#: The number of a verse before its first word.
_VERSE = re.compile(r"^\s*\d+\s*[.)]?\s*")


@dataclass(frozen=True)
class Line:
    """One line of a lyric.

    Attributes:
        name: of the line.
        syllables: by the index of the note that begins each.
    """

    name: str
    syllables: Mapping[int, Syllable]


def choose_line(notes: Sequence[ScoreNote]) -> Line | None:
    """The line that is sung: the first of those that have a syllable under the first note that has any; None without.

    Chorales print a second text under what is repeated, and call a single line the second as often as the first.
    """
    begun = next((note.lyrics for note in notes if note.lyrics), None)
    if begun is None:
        return None
    name = min((lyric.line for lyric in begun), key=lambda line: (len(line), line))
    texts = {n: lyric for n, note in enumerate(notes) for lyric in note.lyrics if lyric.line == name}
    return Line(name, syllables_of(texts))


def syllables_of(texts: Mapping[int, LyricText]) -> dict[int, Syllable]:
    """Syllables with the ends of words, by the keys of `texts`, whose order is that of the song.

    A word ends where its syllable says so, and with the last one. Where the next syllable says something else the first
    one is believed: in the chorales that is right oftener.
    """
    keys = list(texts)
    return {
        key: Syllable(clean(text.text), (), text.syllabic in ("single", "end") or key == keys[-1])
        for key, text in texts.items()
    }


def clean(text: str) -> str:
    """A syllable's text without the verse's number, hyphens, extender lines and spaces around."""
    return " ".join(_VERSE.sub("", text).replace("_", " ").strip(" -‐‑–—").split())


def words(lyric: Sequence[Syllable]) -> list[list[Syllable]]:
    """The syllables of each word; the last word ends with the lyric."""
    found: list[list[Syllable]] = [[]]
    for syllable in lyric:
        found[-1].append(syllable)
        if syllable.ends_word:
            found.append([])
    return [word for word in found if word]


def spelling(text: str, language: str) -> str:
    """A syllable as it is given to be spoken: letters only, in German those of today.

    An apostrophe stands for a letter that is not sung; what is left, such as `gscheh`, is spoken as one word.
    """
    letters = "".join(character for character in text if character.isalpha() or character == " ")
    if language.startswith("de"):
        letters = re.sub("[tT][hH]", lambda found: found[0][0], letters.replace("ſ", "s"))
    return " ".join(letters.split())
