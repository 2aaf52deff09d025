"""Lyrics as they stand under notes: which line is sung, which syllables make a word, and what of the text is none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prefalign_audio.songs.score import ScoreNote
from prefalign_audio.songs.song import Syllable

#: The number of a verse before its first word.
_VERSE = re.compile(r"^\s*\d+\s*[.)]?\s*")


def first_verse(notes: Sequence[ScoreNote]) -> dict[int, Syllable]:
    """The syllables that are sung, by the index of the note that begins each; empty without any.

    They are those of the first line that has one under the first note that has any. Chorales print a second text under
    what is repeated, and call a single line the second as often as the first.

    A word ends where its syllable says so, and with the last one. Where the next syllable says something else the first
    one is believed: in the chorales that is right oftener.
    """
    begun = next((note.lyrics for note in notes if note.lyrics), ())
    line = min((lyric.line for lyric in begun), key=lambda line: (len(line), line), default=None)
    sung = [(index, lyric) for index, note in enumerate(notes) for lyric in note.lyrics if lyric.line == line]
    # What is a verse's number and nothing else is none.
    texts = [(index, text, lyric.syllabic) for index, lyric in sung if (text := clean(lyric.text))]
    return {
        index: Syllable(text, (), syllabic in ("single", "end") or number == len(texts))
        for number, (index, text, syllabic) in enumerate(texts, start=1)
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
