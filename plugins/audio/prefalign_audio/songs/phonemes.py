"""How syllables are spoken: phonemes in IPA by espeak-ng (package espeakng_loader, extra `songs`).

A whole word is given to espeak-ng, and its phonemes are divided over the syllables as they are written: a syllable
spoken alone would have its vowel long and its end unvoiced where the word has not.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.lyrics import spelling, words
from prefalign_audio.songs.song import Song, Syllable

GERMAN = "de"

Phonemes = tuple[str, ...]

# Letters of the IPA that a vowel begins with; diphthongs are phonemes of their own.
_VOWELS = frozenset("iyɨʉɯuɪʏʊeøɘɵɤoəɛœɜɞʌɔæɐaɶɑɒɚɝᵻ")
_SYLLABIC = "\u0329"  # the stroke below a consonant that makes a syllable
_COMMAND = ("-m", "prefalign_audio.songs.g2p_process")
_LONGEST = 120.0  # seconds; ten thousand words take a few


@dataclass(frozen=True)
class PhonemeReport:
    """How the syllables of some songs got their phonemes.

    Attributes:
        syllables: how many there are.
        by_word: those of words whose phonemes have as many vowels as the word has syllables.
        alone: those of other words, spoken one by one.
        silent: those without any phoneme.
        words: the words whose syllables were spoken one by one, with hyphens, and how often they occur.
    """

    syllables: int = 0
    by_word: int = 0
    alone: int = 0
    silent: int = 0
    words: Mapping[str, int] = field(default_factory=dict)

    @property
    def coverage(self) -> float:
        """Share of syllables that have phonemes, from 0 to 1; 1 if there are none."""
        return 1 - self.silent / self.syllables if self.syllables else 1.0


def speak_lyrics(songs: Sequence[Song], language: str = GERMAN) -> tuple[list[Song], PhonemeReport]:
    """The songs with the phonemes of their syllables.

    Args:
        songs: whose words end where their syllables say so, and with the song.
        language: name of one of espeak-ng's voices, such as `de` or `en-us`.

    Raises:
        SongError: if espeakng_loader is not installed, or espeak-ng has no such voice.
    """
    asked = [words(song.lyric) for song in songs]
    spelt = {tuple(spelling(s.text, language) for s in word) for lyric in asked for word in lyric}
    # Every word, and every syllable: alone it tells where a cluster of consonants is divided.
    texts = sorted({"".join(word) for word in spelt} | {syllable for word in spelt for syllable in word})
    spoken = dict(zip(texts, phonemes_of(texts, language), strict=True))
    counts: Counter[str] = Counter()
    told: Counter[str] = Counter()
    done = []
    for song, lyric in zip(songs, asked, strict=True):
        syllables: list[Syllable] = []
        for word in lyric:
            written = [spelling(s.text, language) for s in word]
            alone = [spoken[text] for text in written]
            found = divided(_without_glide(spoken["".join(written)], written), alone)
            way = "alone" if found is None else "by_word"
            if found is None:
                found = alone
                told["-".join(s.text for s in word)] += 1
            counts[way] += len(word)
            counts["silent"] += sum(not phonemes for phonemes in found)
            syllables += [dataclasses.replace(s, phonemes=f) for s, f in zip(word, found, strict=True)]
        done.append(dataclasses.replace(song, lyric=tuple(syllables)))
    total = counts["alone"] + counts["by_word"]
    return done, PhonemeReport(total, counts["by_word"], counts["alone"], counts["silent"], dict(told))


def phonemes_of(texts: Sequence[str], language: str = GERMAN) -> list[Phonemes]:
    """Phonemes of texts, in IPA without stress; none for a text without letters.

    Raises:
        SongError: as `speak_lyrics`.
    """
    if not texts:
        return []
    request = json.dumps({"language": language, "words": list(texts)})
    try:
        ended = subprocess.run(
            [sys.executable, *_COMMAND], input=request.encode(), capture_output=True, timeout=_LONGEST, check=True
        )
        found = json.loads(ended.stdout)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        said = (getattr(error, "stderr", None) or b"").decode("utf-8", "replace").strip()[-300:]
        raise SongError(f"espeak-ng does not run here ({error}) {said}".rstrip()) from None
    if "error" in found:
        mend = 'pip install "prefalign-audio[songs]"' if found["missing"] else "expected one such as 'de' or 'en-us'"
        raise SongError(f"{found['error']}: {mend}")
    return [tuple(phonemes) for phonemes in found["phonemes"]]


def divided(word: Phonemes, alone: Sequence[Phonemes]) -> list[Phonemes] | None:
    """A word's phonemes over its syllables, one vowel each; None if it has another number of vowels than syllables.

    Consonants between two vowels are divided where they fit best what the two syllables end and begin with when they
    are spoken alone; of equal fits the one that gives the later syllable the most (the maximal onset).

    Args:
        word: its phonemes.
        alone: those of each of its written syllables.
    """
    vowels = [index for index, phoneme in enumerate(word) if is_vowel(phoneme)]
    if len(vowels) != len(alone) or not vowels:
        return None
    cuts = [0]
    for (here, there), (left, right) in zip(pairwise(vowels), pairwise(alone), strict=True):
        cluster = word[here + 1 : there]
        coda, onset = _coda(left), _onset(right)
        costs = [_distance(cluster[:cut], coda) + _distance(cluster[cut:], onset) for cut in range(len(cluster) + 1)]
        cuts.append(here + 1 + costs.index(min(costs)))
    return [word[begin:end] for begin, end in zip(cuts, [*cuts[1:], len(word)], strict=True)]


def is_vowel(phoneme: str) -> bool:
    """Whether a phoneme in IPA makes a syllable."""
    return phoneme[:1] in _VOWELS or _SYLLABIC in phoneme


def _without_glide(word: Phonemes, written: Sequence[str]) -> Phonemes:
    """A word without the schwa that espeak-ng speaks inside a written `gn`."""
    if not any("gn" in syllable.lower() for syllable in written):
        return word
    places = range(len(word) - 2)
    glides = {i + 1 for i in places if word[i : i + 3] == ("ɡ", "ə", "n")}
    surplus = sum(map(is_vowel, word)) - len(written)
    return tuple(p for i, p in enumerate(word) if not (i in glides and surplus > 0))


def _coda(phonemes: Phonemes) -> Phonemes:
    last = max((i for i, phoneme in enumerate(phonemes) if is_vowel(phoneme)), default=len(phonemes) - 1)
    return phonemes[last + 1 :]


def _onset(phonemes: Phonemes) -> Phonemes:
    first = min((i for i, phoneme in enumerate(phonemes) if is_vowel(phoneme)), default=0)
    return phonemes[:first]


def _distance(one: Phonemes, other: Phonemes) -> int:
    """Levenshtein's distance of two short clusters."""
    row = list(range(len(other) + 1))
    for i, phoneme in enumerate(one, start=1):
        before, row[0] = row[0], i
        for j, wanted in enumerate(other, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (phoneme != wanted))
    return row[-1]
