"""What all seeds share: phrases of chorales, the vocabularies of their codes and prompts, and who learns from which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prefalign.interfaces import Prompt
from prefalign_audio.songs.chorales import Chorales, Split, load_chorales
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.prompts import prompt_of
from prefalign_audio.songs.song import Song
from prefalign_audio.songs.tokens import SongTokens
from prefalign_audio.streams.conditions.song import VOCABULARY_FILE, write_vocabulary

#: Steps of the longest phrase.
MOST_STEPS = 24


@dataclass(frozen=True)
class Item:
    """A phrase as the demonstration uses it: the song, what asks for it, its codes (3, T), and its chorale."""

    song: Song
    prompt: Prompt
    codes: np.ndarray
    chorale: str


@dataclass(frozen=True)
class World:
    """The corpus.

    Attributes:
        folder: that holds the vocabularies.
        tokens: vocabulary of the codes.
        trained: phrases that models may learn from.
        held_out: phrases of other chorales, without those whose melody is among the trained.
    """

    folder: Path
    tokens: SongTokens
    trained: Sequence[Item]
    held_out: Sequence[Item]

    @property
    def words(self) -> Path:
        """The vocabulary of the prompts."""
        return self.folder / VOCABULARY_FILE

    def halves(self) -> tuple[list[Item], list[Item]]:
        """The trained phrases of every other chorale, and of those between; what stands in both is left to the first.

        What one judge learns from the other never sees.
        """
        numbers = {name: place for place, name in enumerate(sorted({item.chorale for item in self.trained}))}
        first, second = ([item for item in self.trained if numbers[item.chorale] % 2 == which] for which in (0, 1))
        known = {item.codes.tobytes() for item in first}
        return first, [item for item in second if item.codes.tobytes() not in known]


def open_world(folder: Path) -> World:
    """Read the chorales, from the cache where they were read before, and write the vocabularies into the folder."""
    chorales = load_chorales().without_leaks()
    tokens = SongTokens.build(chorales.songs("train"))
    trained, held_out = _items(chorales, "train", tokens), _items(chorales, "held-out", tokens)
    folder.mkdir(parents=True, exist_ok=True)
    tokens.save(folder / "song_tokens.json")
    # The phonemes of all prompts that will be asked for: a model that has not met one of them sings on regardless.
    write_vocabulary([item.prompt for item in (*trained, *held_out)], folder / VOCABULARY_FILE)
    return World(folder, tokens, trained, held_out)


def _items(chorales: Chorales, split: Split, tokens: SongTokens) -> list[Item]:
    """The phrases of a split that have a lyric and stay inside the vocabulary's ranges."""
    items = []
    for phrase in chorales.phrases:
        if phrase.split != split or not phrase.song.lyric:
            continue
        try:
            codes = tokens.encode(phrase.song)
        except SongError:
            continue
        items.append(Item(phrase.song, prompt_of(phrase.song, tokens), codes, phrase.chorale))
    return items
