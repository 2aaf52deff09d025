"""Which words a correction changed: edits of a rejected text, and the segments that tell it from the chosen one."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Edit:
    """Replace the words [start, stop) of the rejected text by ``words``; none of them means a deletion."""

    start: int
    stop: int
    words: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Segment:
    """One changed place: words [start, stop) of the rejected and of the chosen text, empty there for a deletion."""

    rejected: tuple[int, int]
    chosen: tuple[int, int]

    @property
    def is_deletion(self) -> bool:
        """Whether the chosen text has nothing in place of the rejected words."""
        return self.chosen[0] == self.chosen[1]


def apply_edits(rejected: Sequence[str], edits: Sequence[Edit]) -> tuple[list[str], list[Segment]]:
    """The chosen words, and the changed segments from left to right.

    A deletion is described ambiguously by its words: from "a cup and a pan and a plate" one may take "and a pan",
    "a pan and" or "pan and a". It is slid to the right as far as the result stays the same, so that the word after it,
    where the two texts decide differently, differs from what was removed: "plate" against "pan", where without sliding
    it would be "and" in both. A deletion that ends where the next segment begins becomes part of it.

    Raises ValueError for edits out of order or range, and for an edit that neither removes nor adds words.
    """
    chosen: list[str] = []
    segments: list[Segment] = []
    copied = 0
    for edit in edits:
        if not copied <= edit.start <= edit.stop <= len(rejected) or (edit.start == edit.stop and not edit.words):
            raise ValueError(f"edit {edit} of {len(rejected)} words is empty, out of range or overlaps the one before")
        chosen += rejected[copied : edit.start]
        segments.append(Segment((edit.start, edit.stop), (len(chosen), len(chosen) + len(edit.words))))
        chosen += edit.words
        copied = edit.stop
    chosen += rejected[copied:]

    settled: list[Segment] = []  # from right to left, since a deletion slides up to the segment after it
    for segment in reversed(segments):
        limit = settled[-1].rejected[0] if settled else len(rejected)
        while segment.is_deletion:
            (start, stop), (at, _) = segment.rejected, segment.chosen
            if stop == limit and settled:
                after = settled.pop()
                segment = Segment((start, after.rejected[1]), (at, after.chosen[1]))
                limit = settled[-1].rejected[0] if settled else len(rejected)
            elif stop < limit and rejected[start] == rejected[stop]:
                segment = Segment((start + 1, stop + 1), (at + 1, at + 1))
            else:
                break
        settled.append(segment)
    return chosen, settled[::-1]


def character_span(words: Sequence[str], span: tuple[int, int]) -> tuple[int, int]:
    """Characters [start, stop) of the words [start, stop) in the text that joins ``words`` by single spaces.

    Raises ValueError for an empty span, which has no characters.
    """
    first, last = span
    if not 0 <= first < last <= len(words):
        raise ValueError(f"words [{first}, {last}) of {len(words)} are no segment with characters")
    start = len(" ".join([*words[:first], ""]))
    return start, start + len(" ".join(words[first:last]))
