"""CHAIR: which objects of a caption are not in its image (Rohrbach et al. 2018, arXiv 1809.02156)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from prefalign_vision_llm.metrics.functional.errors import MetricInputError
from prefalign_vision_llm.metrics.functional.vocabulary import ObjectVocabulary, coco_vocabulary
from prefalign_vision_llm.metrics.functional.words import caption_words


def percent(part: float, whole: float) -> float:
    """`part` of `whole` in percent; 0 where `whole` is 0."""
    return 100.0 * part / whole if whole else 0.0


def mentioned_objects(caption: str, vocabulary: ObjectVocabulary | None = None) -> list[str]:
    """List the objects that a caption names, in order, repeated mentions included.

    Args:
        caption: the text, in any case.
        vocabulary: what counts as an object; the COCO table of CHAIR by default.

    Example:
        >>> mentioned_objects("A man holds two hot dogs. His dog waits by the toilet seat.")
        ['person', 'hot dog', 'dog', 'toilet']
    """
    return (vocabulary or coco_vocabulary()).mentions(caption_words(caption))


@dataclass
class ChairCounts:
    """What a set of captions mentions, object by object. Counts of disjoint sets add up to those of their union.

    Attributes:
        captions: captions counted, those without any object included.
        captions_hallucinated: captions with at least one hallucinated mention.
        mentions: object to its mentions; every repetition counts.
        hallucinated: object to its mentions in captions whose image lacks it.
        present: object to the captions whose image holds it.
        recalled: object to the captions that name it and whose image holds it.
    """

    captions: int = 0
    captions_hallucinated: int = 0
    mentions: Counter[str] = field(default_factory=Counter)
    hallucinated: Counter[str] = field(default_factory=Counter)
    present: Counter[str] = field(default_factory=Counter)
    recalled: Counter[str] = field(default_factory=Counter)

    def add(self, mentioned: Sequence[str], present: AbstractSet[str]) -> None:
        """Count one caption, given the objects that it mentions and those that its image holds."""
        invented = [name for name in mentioned if name not in present]
        self.captions += 1
        self.captions_hallucinated += bool(invented)
        self.mentions.update(mentioned)
        self.hallucinated.update(invented)
        self.present.update(present)
        self.recalled.update(present & set(mentioned))

    def __add__(self, other: ChairCounts) -> ChairCounts:
        return ChairCounts(
            self.captions + other.captions,
            self.captions_hallucinated + other.captions_hallucinated,
            self.mentions + other.mentions,
            self.hallucinated + other.hallucinated,
            self.present + other.present,
            self.recalled + other.recalled,
        )

    @property
    def chair_i(self) -> float:
        """Hallucinated mentions of all mentions, over the whole corpus, in percent (Rohrbach et al. 2018, eq. 1)."""
        return percent(self.hallucinated.total(), self.mentions.total())

    @property
    def chair_s(self) -> float:
        """Captions with a hallucinated mention of all captions, in percent (Rohrbach et al. 2018, eq. 2)."""
        return percent(self.captions_hallucinated, self.captions)

    @property
    def recall(self) -> float:
        """Present objects that their caption names of all present objects, each once a caption, in percent."""
        return percent(self.recalled.total(), self.present.total())


def chair(
    captions: Sequence[str], objects: Sequence[Iterable[str]], vocabulary: ObjectVocabulary | None = None
) -> ChairCounts:
    """Score captions against the objects of their images.

    Args:
        captions: N texts.
        objects: N sets of object names, those in the image of the caption at the same place.
        vocabulary: what counts as an object; the COCO table of CHAIR by default.

    Raises:
        MetricInputError: N differs, a caption is not text, or an object is not in the vocabulary; the place is named.
    """
    vocabulary = vocabulary or coco_vocabulary()
    captions, objects = checked_texts(captions, "captions"), list(objects)
    if len(captions) != len(objects):
        raise MetricInputError(
            f"{len(captions)} captions with {len(objects)} sets of objects; expected one set a caption"
        )
    counts = ChairCounts()
    for place, (caption, names) in enumerate(zip(captions, objects, strict=True)):
        try:
            present = vocabulary.check(names)
        except MetricInputError as error:
            raise MetricInputError(f"objects[{place}]: {error}") from None
        counts.add(vocabulary.mentions(caption_words(caption)), present)
    return counts


def checked_texts(texts: Sequence[str], what: str) -> list[str]:
    """Return `texts` as a list.

    Raises:
        MetricInputError: it is one text, or an element is not text; `what` names it in the message.
    """
    if isinstance(texts, str):
        raise MetricInputError(f"{what} is a single text; expected a list of texts")
    texts = list(texts)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise MetricInputError(f"{what}[{place}]: expected a text, found {type(text).__name__}")
    return texts
