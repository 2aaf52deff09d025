"""Captions as ordered events: "A then B", "A, followed by B and then C", "After A, B", "A while B", and their like.

This is a table of connecting words and not a grammar: it serves captions that were written to a template or nearly so.
What it does not understand it leaves in one piece, so that a caller can tell by the number of events.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Relation = Literal["then", "after", "with"]
"""How an event stands to the one before it in the text: it follows, it precedes, or no order is stated."""


@dataclass(frozen=True)
class Caption:
    """A caption taken apart.

    Attributes:
        events: E events in the order of the text, without connecting words.
        relations: E - 1 relations, of event i + 1 to event i.
        pieces: E + 1 texts before, between and behind the events; interleaved with them they give the caption.
    """

    events: tuple[str, ...]
    relations: tuple[Relation, ...]
    pieces: tuple[str, ...]

    @property
    def ranks(self) -> tuple[int, ...]:
        """Each event's place in time from 0; events whose order is not stated share a place.

        An event is placed beside the one before it in the text: of "A before B while C", B and C share a place.
        """
        places = [0] if self.events else []
        for relation in self.relations:
            places.append(places[-1] + {"then": 1, "after": -1, "with": 0}[relation])
        levels = sorted(set(places))
        return tuple(levels.index(place) for place in places)

    @property
    def text(self) -> str:
        """The caption as it was."""
        return self.pieces[0] + "".join(e + p for e, p in zip(self.events, self.pieces[1:], strict=True))

    def write(self, events: Sequence[str]) -> str:
        """The caption with other events in the same places; capitals follow the place and not the event."""
        starts = [number for number, piece in enumerate(self.pieces[:-1]) if _SENTENCE_START.search(piece)]
        plain = {self.events[number]: uncapitalised(self.events[number]) for number in starts}
        written = self.pieces[0]
        for number, (event, piece) in enumerate(zip(events, self.pieces[1:], strict=True)):
            event = plain.get(event, event)
            if number in starts and self.events[number][:1].isupper():
                event = event[:1].upper() + event[1:]
            written += event + piece
        return written


def uncapitalised(event: str) -> str:
    """The event as it stands inside a sentence: "A dog" becomes "a dog", "TV noise" stays."""
    return event[:1].lower() + event[1:] if not event[1:2].isupper() else event


MAX_LENGTH = 2000
"""Characters of the longest caption that is taken apart; longer ones stay in one piece."""

# Each is tried where the text between two events may stand; longer ones come first. A comma or "and" alone says nothing
# about order unless another word of the caption does.
_THEN = (
    *(r"and then", r"but then", r"then", r"(?:(?:and|is|are) )?followed by", r"before"),
    *(r"(?:and )?(?:afterwards?|later|subsequently)", r"preceding"),
)
_AFTER = (r"after", r"(?:is |are )?preceded by", r"following")
_WITH_AFTER_COMMA = (
    *(r"with", r"set against", r"surrounded by", r"punctuated by", r"overpowered by", r"met with", r"interrupted by"),
)
_WITH = (
    *(r"(?:(?:and|is|are) )?accompanied by", r"accompan(?:y|ies)", r"(?:(?:is|are) )?(?:inter)?mixed with"),
    *(r"(?:(?:is|are) )?paired with", r"(?:blends?|blending|mix(?:es)?|mixing|mingles?|overlaps?) with"),
    *(r"(?:(?:is|are) )?(?:interwoven|interspersed|intermixed) with", r"(?:coincides?|synchronizes?) with"),
    *(r"while", r"whilst", r"as(?! (?:it|they|he|she|if|well)\b)", r"during", r"amid(?:st)?", r"alongside"),
    *(r"(?:along|together) with", r"at the same time as", r"simultaneously with", r"interrupts", r"complements"),
    *(r"interferes with",),
)
_WEAK = (r"and", r"with", r"near", r"plus")
"""Words that join events only where nothing else does: "bird and bell", but also "birds chirp and tweet"."""

_BLANK = r"[ \t]+"
_COMMA = rf"[ \t]*,(?:{_BLANK}|(?=\w))"
_MARK = rf"(?P<mark>,?{_BLANK}(?:heard )?(?:(?:at )?first(?:ly)?|initially))?"
"""Words behind an event that say it is the first one; they stay in their place when events change theirs."""


def _any(words: Sequence[str]) -> str:
    return "|".join(words)


_LINK = re.compile(
    rf"{_MARK}(?:"
    rf"(?:{_COMMA}|{_BLANK})(?:(?P<then>{_any(_THEN)})|(?P<after>{_any(_AFTER)})|(?P<with>{_any(_WITH)}))\b"
    rf"(?:,?{_BLANK}(?=\w))"
    rf"|{_COMMA}(?P<set>{_any(_WITH_AFTER_COMMA)}){_BLANK}"
    rf"|{_COMMA}(?:and{_BLANK})?"
    rf"|[.;]{_BLANK}(?:(?P<late>[Tt]hen|[Aa]fterwards?),?{_BLANK})?(?=\w)"
    rf")",
    re.IGNORECASE,
)
_FALLBACK = re.compile(rf"{_BLANK}(?:{_any(_WEAK)}){_BLANK}", re.IGNORECASE)
_LEADING = re.compile(
    r"[ \t]*(?:(?P<first>(?:at )?first(?:ly)?|initially),?|(?P<after>after)|(?P<before>before)|(?:while|as|with))"
    rf"{_BLANK}",
    re.IGNORECASE,
)
_TRAILING = re.compile(rf"(?:{_BLANK}(?:follows|joins in))?[ \t]*[.!;,]?[ \t]*$", re.IGNORECASE)
_ENUMERATION = re.compile(r"\b(?:of|or) \w+(?:, \w+)+,? (?:and|or) \w+", re.IGNORECASE)
_EMPTY = re.compile(r"(?:\W|\b(?:and|but|then)\b)*", re.IGNORECASE)
_SENTENCE_START = re.compile(r"(?:^|[.;])\s*$")


def parse(caption: str) -> Caption:
    """Take a caption apart.

    A comma, or "and" behind one, joins events in time where another word of the caption speaks of time ("A, B and then
    C"), and without order elsewhere ("A, and B"). A bare "and" is looked at only where nothing else joins.

    Returns:
        The parts; a caption without connecting words is one event. A caption of nothing else has none.
    """
    if len(caption) > MAX_LENGTH:
        return Caption((caption,), (), ("", ""))
    if _EMPTY.fullmatch(caption):
        return Caption((), (), (caption,))
    end = _TRAILING.search(caption)
    stop = end.start() if end else len(caption)
    leading = _LEADING.match(caption, 0, stop)
    start = leading.end() if leading else len(caption) - len(caption.lstrip())
    links = _links(caption, start, stop, _LINK) or _links(caption, start, stop, _FALLBACK)
    first: Relation | None = None
    if leading and not leading["first"]:
        # "After A, B" says of its comma what "A then B" says in words.
        first = "after" if leading["before"] else "then" if leading["after"] else "with"
        if not links:
            start, leading, first = len(caption) - len(caption.lstrip()), None, None
    stated = [_stated(link) for link in links]
    if stated and stated[0] is None:
        stated[0] = first
    timed = bool(leading and leading["first"]) or any(link.groupdict().get("mark") for link in links)
    timed = timed or any(relation in ("then", "after") for relation in stated)
    relations = tuple(relation or ("then" if timed else "with") for relation in stated)
    bounds = [start, *(edge for link in links for edge in link.span()), stop]
    events = tuple(caption[a:b] for a, b in zip(bounds[::2], bounds[1::2], strict=True))
    between = tuple(link.group() for link in links)
    return Caption(events, relations, (caption[:start], *between, caption[stop:]))


def _links(caption: str, start: int, stop: int, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """The connecting texts that have words on both sides; commas inside "of dishes, pots and pans" are none."""
    closed = [match.span() for match in _ENUMERATION.finditer(caption, start, stop)]
    found: list[re.Match[str]] = []
    position = start
    for match in pattern.finditer(caption, start, stop):
        listed = any(a < match.start() < b for a, b in closed)
        sides = (caption[position : match.start()], caption[match.end() : stop])
        if not listed and not any(_EMPTY.fullmatch(side) for side in sides):
            found.append(match)
            position = match.end()
    return found


def _stated(link: re.Match[str]) -> Relation | None:
    """What a connecting text says of order; None for commas and the like."""
    groups = link.groupdict()
    if groups.get("then") or groups.get("late"):
        return "then"
    if groups.get("after"):
        return "after"
    return "with" if groups.get("with") or groups.get("set") else None
