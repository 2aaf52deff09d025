"""Where two texts differ, and which of their units decide between them.

Units are words and punctuation marks, or a tokenizer's tokens. A *change* replaces some units of the rejected text by
some of the chosen one; either side may be empty (a deletion, an insertion).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from prefalign.interfaces import PrefalignError

Span = tuple[int, int]

_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")


@dataclass(frozen=True)
class Units:
    """A text cut into what is compared.

    Attributes:
        keys: what makes two units equal.
        spans: half-open span of each in characters of the text.
        length: of the text in characters. Behind it stands the end of the answer, which a model decides on like on any
            token; its span is `[length, length + 1)`.
    """

    keys: Sequence[Hashable]
    spans: Sequence[Span]
    length: int

    def characters(self, start: int, stop: int) -> Span:
        """The characters of the units `[start, stop)`, of which there is at least one; one past the last is the end."""
        spans = [*self.spans, (self.length, self.length + 1)]
        return spans[start][0], spans[stop - 1][1]


def words(text: str) -> Units:
    """A text as words and punctuation marks; case matters."""
    found = list(_WORD.finditer(text))
    return Units([match.group() for match in found], [match.span() for match in found], len(text))


def tokens(text: str, tokenizer: Any) -> Units:
    """A text as tokens of a fast Transformers tokenizer.

    Raises:
        PrefalignError: for a tokenizer that does not say where its tokens stand.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise PrefalignError(f"{type(tokenizer).__name__} gives no places of tokens; use a fast tokenizer")
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return Units(found["input_ids"], [tuple(span) for span in found["offset_mapping"]], len(text))


@dataclass(frozen=True)
class Change:
    """Units `[start, stop)` of the rejected text that stand as `[start, stop)` in the chosen one."""

    rejected: Span
    chosen: Span

    @property
    def deletion(self) -> bool:
        """Whether nothing of the chosen text stands in this place."""
        return self.chosen[0] == self.chosen[1]

    @property
    def insertion(self) -> bool:
        """Whether nothing of the rejected text stood in this place."""
        return self.rejected[0] == self.rejected[1]


def changes(rejected: Sequence[Hashable], chosen: Sequence[Hashable], shortest: int = 1) -> list[Change]:
    """What differs between two sequences, from left to right.

    Args:
        rejected: units of one text.
        chosen: units of the other.
        shortest: equal runs of fewer units count as changed too, unless both texts begin with them: what stands before
            an answer, its prompt, is the same for both.
    """
    pairs = enumerate(zip(rejected, chosen, strict=False))
    prefix = next((i for i, (a, b) in pairs if a != b), min(len(rejected), len(chosen)))
    # Python's heuristic for long sequences would treat frequent tokens as if they were equal to none.
    matcher = difflib.SequenceMatcher(None, rejected[prefix:], chosen[prefix:], autojunk=False)
    blocks = [(block.a + prefix, block.b + prefix, block.size) for block in matcher.get_matching_blocks()]
    found, at, until = [], prefix, prefix
    for start, onset, size in (*(b for b in blocks if b[2] >= shortest), (len(rejected), len(chosen), 0)):
        if start > at or onset > until:
            found.append(Change((at, start), (until, onset)))
        at, until = start + size, onset + size
    return found


def settled(found: Sequence[Change], rejected: Sequence[Hashable], chosen: Sequence[Hashable]) -> list[Change]:
    """The changes with every deletion and insertion moved to the right as far as the texts allow.

    From `a cup and a pan and a plate` one may take `and a pan`, `a pan and` or `pan and a`, and get the same text. Only
    the last leaves a unit behind it, `plate`, that differs from the first one taken, `pan`: there the two texts part,
    after equal beginnings. A change that reaches the next one is joined with it.

    Args:
        found: changes in order, at least one unit apart on both sides.
        rejected: units of the rejected text.
        chosen: units of the chosen text.
    """
    done: list[Change] = []  # from right to left
    for change in reversed(found):
        while True:
            (start, stop), (onset, end) = change.rejected, change.chosen
            limits = done[-1] if done else Change((len(rejected),) * 2, (len(chosen),) * 2)
            if done and stop == limits.rejected[0] and end == limits.chosen[0]:
                change = Change((start, done[-1].rejected[1]), (onset, done[-1].chosen[1]))
                done.pop()
            elif (change.deletion and stop < limits.rejected[0] and rejected[start] == rejected[stop]) or (
                change.insertion and end < limits.chosen[0] and chosen[onset] == chosen[end]
            ):
                change = Change((start + 1, stop + 1), (onset + 1, end + 1))
            else:
                break
        done.append(change)
    return done[::-1]


def placed(
    rejected: Units, chosen: Units, rejected_spans: Sequence[Span], chosen_spans: Sequence[Span]
) -> list[Change]:
    """Annotated places as changes: span number i of each text, in characters; an empty span is a place between units.

    Raises:
        PrefalignError: unless both texts have as many spans, in order, apart from one another and inside their text.
    """
    if len(rejected_spans) != len(chosen_spans):
        raise PrefalignError(
            f"expected as many annotated spans in both answers, got {len(rejected_spans)} and {len(chosen_spans)}; "
            "where one answer has nothing in a place, give it an empty span there"
        )
    sides = zip(_covered(rejected, rejected_spans), _covered(chosen, chosen_spans), strict=True)
    return [Change(one, other) for one, other in sides if one[0] < one[1] or other[0] < other[1]]


def _covered(units: Units, spans: Sequence[Span]) -> list[Span]:
    found, last = [], 0
    for start, stop in spans:
        if not last <= start <= stop <= units.length:
            raise PrefalignError(
                f"annotated span [{start}, {stop}) is out of order or outside the answer's {units.length} characters"
            )
        inside = [i for i, (a, b) in enumerate(units.spans) if a < stop and b > start]
        before = sum(b <= start for _, b in units.spans)
        found.append((inside[0], inside[-1] + 1) if inside and start < stop else (before, before))
        last = stop
    return found
