"""Captions that ask for something else: events in another order, one fewer, or another one in its place.

Tango 2 (arXiv 2404.09956) makes its losing sounds from such captions. These need no language model, but a caption that
`parse` can take apart. Each function leaves the original alone and returns None where the change cannot be made.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence

from prefalign_audio.captions.parse import Caption, parse


def swap(caption: Caption, draw: random.Random) -> str | None:
    """Exchange two events whose order the caption states; to exchange others would say the same."""
    ranks, events = caption.ranks, [normal(event) for event in caption.events]
    pairs = [
        (i, j)
        for i, j in itertools.combinations(range(len(events)), 2)
        if ranks[i] != ranks[j] and events[i] != events[j]
    ]
    if not pairs:
        return None
    i, j = draw.choice(pairs)
    swapped = list(caption.events)
    swapped[i], swapped[j] = swapped[j], swapped[i]
    return caption.write(swapped)


def drop(caption: Caption, draw: random.Random) -> str | None:
    """Leave one of at least two events out; the rest keeps its order."""
    if len(caption.events) < 2:
        return None
    return without(caption, draw.randrange(len(caption.events)))


def without(caption: Caption, index: int) -> str:
    """The caption without event `index`, in its own words where these still tell the order of the rest.

    Args:
        caption: of at least two events.
        index: which one goes.
    """
    rest = [event for number, event in enumerate(caption.events) if number != index]
    ranks = [rank for number, rank in enumerate(caption.ranks) if number != index]
    pieces = list(caption.pieces)
    if index < 2:
        pieces[0] = ""  # "After A, B" without either is no longer after anything
    if caption.text[:1].isupper() and not pieces[0].strip():
        rest[0] = rest[0][:1].upper() + rest[0][1:]
    if len(rest) == 1:
        return pieces[0] + rest[0] + pieces[-1]
    # Either of the two connecting texts may be the one that tells the order of the events that become neighbours.
    for gone in (index, index + 1) if 0 < index < len(rest) else (index or 1,):
        text = _interleaved(rest, pieces[:gone] + pieces[gone + 1 :])
        if parse(text).ranks == _levels(ranks):
            return text
    between = [_JOINTS[(after > before) - (after < before)] for before, after in itertools.pairwise(ranks)]
    return _interleaved(rest, [pieces[0], *between, pieces[-1]])


_JOINTS = {1: ", then ", 0: " while ", -1: " after "}


def _interleaved(events: Sequence[str], pieces: Sequence[str]) -> str:
    return pieces[0] + "".join(event + piece for event, piece in zip(events, pieces[1:], strict=True))


def _levels(ranks: Sequence[int]) -> tuple[int, ...]:
    levels = sorted(set(ranks))
    return tuple(levels.index(rank) for rank in ranks)


def replace(caption: Caption, vocabulary: Sequence[str], draw: random.Random) -> str | None:
    """Put an event of the vocabulary that the caption does not name in the place of one of its own."""
    if not caption.events:
        return None
    named = {normal(event) for event in caption.events}
    others = [event for event in vocabulary if normal(event) not in named]
    if not others:
        return None
    index = draw.randrange(len(caption.events))
    events = list(caption.events)
    events[index] = draw.choice(others)
    return caption.write(events)


def normal(text: str) -> str:
    """A text by its words alone: captions that differ in capitals, blanks and punctuation ask for the same."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))
