"""What a small song model is told: syllables by their phonemes, and tags.

Axes: C prompts, P places, G ids of a place, which the network sums.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError, Prompt, unknown_name
from prefalign_audio.streams.conditions.quality import QUALITY, asked_quality, with_quality
from prefalign_audio.streams.model import Conditioner

#: File of a vocabulary beside saved weights.
VOCABULARY_FILE = "condition_words.json"

#: The tags and their values. A prompt may leave any of them out.
TAGS = {"mode": ("major", "minor"), "register": ("low", "middle", "high"), "quality": QUALITY}

#: Marks the syllable that ends a word.
WORD_END = "|"


class SongConditions(Conditioner):
    """The conditions `syllables`, `mode`, `register` and `quality` of a prompt.

    A place for each tag, then one for each syllable, in which its phonemes and the mark of a word's end are summed. A
    syllable is a mapping with `phonemes`, a list, and optionally `ends_word`. The empty prompt is one blank place.

    Args:
        vocabulary: file that `write_vocabulary` wrote, or a folder with it; or the phonemes themselves.

    Raises:
        PrefalignError: for a file that is none.
    """

    def __init__(self, vocabulary: str | list[str]) -> None:
        phonemes = _read(Path(vocabulary)) if isinstance(vocabulary, str) else list(vocabulary)
        tags = [f"{name}:{value}" for name, values in TAGS.items() for value in values]
        #: The words by id; 0 says nothing.
        self.words = ["", *tags, WORD_END, *phonemes]
        self._ids = {word: index for index, word in enumerate(self.words)}
        if len(self._ids) < len(self.words):
            raise PrefalignError("the phonemes of the vocabulary are not distinct")

    @property
    def ids(self) -> int:
        """How many ids there are."""
        return len(self.words)

    @property
    def _phonemes(self) -> list[str]:
        return self.words[self._ids[WORD_END] + 1 :]

    def encode(self, prompt: Prompt) -> dict[str, Tensor]:
        """`ids` (P, G), padded with 0.

        Raises:
            PrefalignError: for conditions that are not known, values that are none, and phonemes that the model has not
                met, with near ones; for text and media, which it does not read.
        """
        for name in prompt.conditions:
            if name != "syllables" and name not in TAGS:
                raise unknown_name("condition", name, (*TAGS, "syllables"))
        if prompt.text or prompt.messages or prompt.media:
            raise PrefalignError("the model reads conditions only; expected a prompt without text, messages and media")
        asked_quality(prompt)
        places = []
        for name, values in TAGS.items():
            if (value := prompt.conditions.get(name)) is not None:
                if value not in values:
                    raise unknown_name(name, str(value), values)
                places.append([self._ids[f"{name}:{value}"]])
        for number, syllable in enumerate(prompt.conditions.get("syllables") or ()):
            places.append(self._syllable(syllable, number))
        places = places or [[0]]
        width = max(map(len, places))
        return {"ids": torch.tensor([[*place, *[0] * (width - len(place))] for place in places])}

    def _syllable(self, syllable: Any, number: int) -> list[int]:
        phonemes = syllable.get("phonemes") if isinstance(syllable, Mapping) else None
        if not isinstance(phonemes, Sequence) or isinstance(phonemes, str) or not phonemes:
            raise PrefalignError(f"syllables[{number}]: expected a mapping with phonemes, a list of at least one")
        ids = [self._ids.get(str(phoneme), 0) for phoneme in phonemes]
        for phoneme, found in zip(phonemes, ids, strict=True):
            # Tags and marks have ids too, and are no phonemes.
            if found <= self._ids[WORD_END]:
                raise unknown_name(f"syllables[{number}]: phoneme", str(phoneme), self._phonemes)
        return ids + [self._ids[WORD_END]] * bool(syllable.get("ends_word"))

    def collate(self, encoded: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """`ids` (C, P, G) and `mask` (C, P), padded on the left so that all conditions end at the same place."""
        length = max(len(one["ids"]) for one in encoded)
        width = max(one["ids"].shape[1] for one in encoded)
        ids = torch.zeros(len(encoded), length, width, dtype=torch.long)
        mask = torch.zeros(len(encoded), length, dtype=torch.bool)
        for row, one in enumerate(encoded):
            count, size = one["ids"].shape
            ids[row, length - count :, :size] = one["ids"]
            mask[row, length - count :] = True
        return {"ids": ids, "mask": mask}

    def negative(self, prompt: Prompt) -> Prompt:
        """The lowest quality where the prompt asks for one (LeVo 2); the empty prompt elsewhere."""
        return Prompt() if asked_quality(prompt) is None else with_quality(prompt, QUALITY[0])

    def fingerprint(self) -> str:
        """Hash of the vocabulary."""
        return hashlib.sha256(json.dumps(self.words).encode()).hexdigest()

    def files(self) -> dict[str, str]:
        """The vocabulary."""
        return {VOCABULARY_FILE: _text(self._phonemes)}


def write_vocabulary(prompts: Iterable[Prompt], path: Path) -> None:
    """Write the phonemes of the prompts' syllables as a vocabulary for `SongConditions`."""
    found = {
        phoneme
        for prompt in prompts
        for syllable in prompt.conditions.get("syllables", ())
        for phoneme in syllable["phonemes"]
    }
    path.write_text(_text(sorted(found)), encoding="utf-8")


def _text(phonemes: Sequence[str]) -> str:
    return json.dumps({"phonemes": list(phonemes)}, ensure_ascii=False) + "\n"


def _read(path: Path) -> list[str]:
    path = path / VOCABULARY_FILE if path.is_dir() else path
    if not path.is_file():
        raise PrefalignError(f"{path}: no such vocabulary; expected a file that write_vocabulary wrote, or its folder")
    try:
        found = json.loads(path.read_text("utf-8"))["phonemes"]
    except (ValueError, KeyError, TypeError) as error:
        raise PrefalignError(f"{path}: expected JSON with a list 'phonemes': {error}") from None
    if not isinstance(found, list) or not all(isinstance(phoneme, str) for phoneme in found):
        raise PrefalignError(f"{path}: expected 'phonemes' to be a list of strings")
    return found
