"""Which words name which object: the COCO table of CHAIR, and tables of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import Literal

from prefalign_vision_llm.metrics.functional.errors import MetricInputError, hint
from prefalign_vision_llm.metrics.functional.words import caption_words, singular

Inflection = Literal["published", "known_first", "none"]


@dataclass(frozen=True, eq=False)
class ObjectVocabulary:
    """Objects, the words and terms that name them, and how a word of a caption is brought to its entry.

    Attributes:
        names: the objects, in the order of tables and of per-object counts.
        entries: lower-cased word or joined term to object name.
        terms: consecutive words to the one word they count as, which need not be an entry (`train track` keeps its
            `train` from counting as a train). The longest term that fits wins, from left to right.
        shadows: where the key occurs anywhere in a caption, the value is not counted (`toilet`, `seat`).
        inflection: `published` makes every word singular before it is looked up, as released CHAIR code does, which
            loses the
            words that the singulariser damages: in the COCO table singular `bus`, `airbus` and `minibus`, plural
            `ties`, `canoes` and `magpies`. `known_first` looks a word up as it stands before it makes it singular, and
            loses none. `none` looks words up as they stand, so that plurals do not count.
    """

    names: tuple[str, ...]
    entries: Mapping[str, str]
    terms: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    shadows: Mapping[str, str] = field(default_factory=dict)
    inflection: Inflection = "known_first"

    @classmethod
    def of(
        cls, objects: Iterable[str] | Mapping[str, Iterable[str]], inflection: Inflection = "known_first"
    ) -> ObjectVocabulary:
        """Build the vocabulary of the given object names, or of a mapping from object names to their further synonyms.

        Raises:
            MetricInputError: no objects, a blank name or synonym, something that is not text, or a word of two objects.
        """
        if isinstance(objects, str):
            raise MetricInputError(f"the vocabulary is the single text {objects!r}; expected a list of object names")
        table = dict(objects) if isinstance(objects, Mapping) else dict.fromkeys(objects, ())
        entries: dict[str, str] = {}
        terms: dict[tuple[str, ...], str] = {}
        for name, synonyms in table.items():
            if isinstance(synonyms, str) or not isinstance(synonyms, Iterable):
                raise MetricInputError(f"object {name!r}: expected a list of synonyms, found {synonyms!r}")
            for word in (name, *synonyms):
                if not isinstance(word, str) or not word.strip():
                    raise MetricInputError(f"object {name!r}: expected a word, found {word!r}")
                parts = tuple(caption_words(word))
                entry = " ".join(parts)
                if entries.setdefault(entry, name) != name:
                    raise MetricInputError(
                        f"{word!r} names two objects, {entries[entry]!r} and {name!r}; keep it at one"
                    )
                if len(parts) > 1:
                    terms[parts] = entry
        if not table:
            raise MetricInputError("the vocabulary is empty; expected at least one object name")
        return cls(tuple(table), entries, terms, inflection=inflection)

    @cached_property
    def _known_words(self) -> frozenset[str]:
        return frozenset(self.entries) | {word for term in self.terms for word in term}

    @cached_property
    def _longest_term(self) -> int:
        return max(map(len, self.terms), default=1)

    @cached_property
    def _name_set(self) -> frozenset[str]:
        return frozenset(self.names)

    def form(self, word: str) -> str:
        """Return the form under which a lower-cased word of a caption is looked up."""
        if self.inflection == "none":
            return word
        if self.inflection == "published":
            return singular(word)
        return self._known_form(word)

    def _known_form(self, word: str) -> str:
        if word in self._known_words:
            return word
        form = singular(word)
        # The rules of the singulariser turn some plain plurals in -s into no word at all (ties, canoes).
        if form not in self._known_words and word.endswith("s") and word[:-1] in self._known_words:
            return word[:-1]
        return form

    def mentions(self, words: Sequence[str]) -> list[str]:
        """List the objects that the words of one caption name, in order, repeated mentions included.

        Args:
            words: the words of one caption, as `caption_words` gives them.
        """
        forms = [self.form(word) for word in words]
        joined: list[str] = []
        start = 0
        while start < len(forms):
            for length in range(min(self._longest_term, len(forms) - start), 1, -1):
                term = self.terms.get(tuple(forms[start : start + length]))
                if term is not None:
                    joined.append(term)
                    start += length
                    break
            else:
                joined.append(forms[start])
                start += 1
        hidden = {shadowed for word, shadowed in self.shadows.items() if word in joined}
        return [self.entries[word] for word in joined if word in self.entries and word not in hidden]

    def overlooked(self, words: Sequence[str]) -> list[str]:
        """List the words of one caption that name an object but that `published` inflection loses (`bus`)."""
        if self.inflection != "published":
            return []
        return [word for word in words if self._known_form(word) in self.entries and singular(word) not in self.entries]

    def check(self, objects: Iterable[str]) -> frozenset[str]:
        """Return the objects of one image as a set.

        Raises:
            MetricInputError: one of them is not an object of this vocabulary; the message names the nearest ones.
        """
        if isinstance(objects, str):
            raise MetricInputError(f"the objects of an image are the single text {objects!r}; expected a list of names")
        present = frozenset(objects)
        for name in present - self._name_set:
            if not isinstance(name, str):
                raise MetricInputError(f"expected the name of an object, found {name!r}")
            known = self.entries.get(name.strip().lower())
            advice = f"its object is {known!r}" if known else hint(name, self.names)
            raise MetricInputError(f"unknown object {name!r}; {advice}")
        return present


@cache
def coco_vocabulary(*, strict: bool = False, known_first: bool = False) -> ObjectVocabulary:
    """The 80 objects of COCO with the synonyms and joined terms of CHAIR (Rohrbach et al. 2018, section 3).

    Args:
        strict: leave dead the three entries that the released table spells so that they never match (`motor bike`,
            `cheesecake`, `iPhone`), for figures that are comparable to the last mention.
        known_first: read words by `known_first` inflection. It finds the singular `bus` that published figures lack,
            and so is not comparable with them (recall rises by up to 0.7 points on long captions).
    """
    table = json.loads((files("prefalign_vision_llm") / "data" / "coco_objects.json").read_text(encoding="utf-8"))
    dead = set(table["dead_as_released"]) if strict else set()
    entries = {
        word: name for name, synonyms in table["objects"].items() for word in (name, *synonyms) if word not in dead
    }
    terms = {tuple(term.split()): term for term in table["terms"]["alone"]}
    terms |= {(first, second): second for first, seconds in table["terms"]["after"].items() for second in seconds}
    terms |= {tuple(term.split()): word for term, word in table["terms"]["becomes"].items()}
    inflection: Inflection = "known_first" if known_first else "published"
    return ObjectVocabulary(tuple(table["objects"]), entries, terms, table["shadows"], inflection)
