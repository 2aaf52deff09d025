"""The error for captions, answers, objects and vocabularies that cannot be scored."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MetricInputError(ValueError):
    """An input of a metric that cannot be used; the message names the place, what was found and what was expected."""


def hint(name: str, known: Iterable[str]) -> str:
    """Name up to three of `known` that resemble `name`; all of them where none does and they are few.

    Returns:
        A clause to end an error message with, such as `did you mean 'dog'?`.
    """
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return f"did you mean {', '.join(map(repr, near))}?"
    if len(names) <= 12:
        return f"there is {', '.join(map(repr, names)) or 'nothing'}"
    return f"none of the {len(names)} that there are resembles it"
