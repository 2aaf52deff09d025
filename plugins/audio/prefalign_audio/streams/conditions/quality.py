"""Quality tags: a preference that a model is told, and that guidance can ask for.

LeVo's second version labels its training songs with five levels, asks for the highest, and leads guidance away from the
lowest in the place of the empty prompt.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from prefalign.interfaces import PrefalignError, Prompt, unknown_name

#: From worst to best.
QUALITY = ("very-low", "low", "medium", "high", "very-high")


def asked_quality(prompt: Prompt) -> str | None:
    """The level that a prompt's condition `quality` names.

    Raises:
        PrefalignError: for a level that is none, with near ones.
    """
    level = prompt.conditions.get("quality")
    if level is not None and level not in QUALITY:
        raise unknown_name("quality", str(level), QUALITY)
    return level


def with_quality(prompt: Prompt, level: str) -> Prompt:
    """The prompt with this level in the place of its own."""
    return dataclasses.replace(prompt, conditions={**prompt.conditions, "quality": level})


def levels(scores: Sequence[float]) -> list[str]:
    """The level of each score by its rank: equal fifths, equal scores share a level.

    Raises:
        PrefalignError: for fewer scores than levels, and for scores that are no numbers.
    """
    if len(scores) < len(QUALITY):
        raise PrefalignError(f"expected at least {len(QUALITY)} scores to tell {len(QUALITY)} levels apart")
    if not all(map(math.isfinite, scores)):
        raise PrefalignError("expected finite scores: NaN and infinity have no rank")
    ordered = sorted(scores)
    place = {score: index for index, score in reversed(list(enumerate(ordered)))}
    return [QUALITY[place[score] * len(QUALITY) // len(ordered)] for score in scores]
