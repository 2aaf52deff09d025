"""Weights between the runs on single criteria: fixed mixtures, a search on validation prompts, and steps beyond."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from prefalign.merging import interpolate, task_arithmetic
from prefalign.merging.search import best_on, search, worst_gain
from prefalign_audio.song_demo.arms import CRITERIA
from prefalign_audio.song_demo.judging import AXES

State = Mapping[str, Tensor]

#: Mixtures that every seed has, by the weights of lyric, prompt and musicality. Those of another sum than 1 add up what
#: the runs changed.
FIXED = {
    "thirds": (1 / 3, 1 / 3, 1 / 3),
    "lyric_half": (0.5, 0.25, 0.25),
    "prompt_half": (0.25, 0.5, 0.25),
    "musicality_half": (0.25, 0.25, 0.5),
    "sum_06": (0.6, 0.6, 0.6),
    "sum_1": (1.0, 1.0, 1.0),
}

#: What the axes' gains are divided by before they are compared: about three standard errors of the validation figures.
SPREADS = {"lyric_error": 0.02, "prompt": 0.03, "musicality": 0.4}


@dataclass(frozen=True)
class Chosen:
    """What a search chose, and all that it tried.

    Attributes:
        worst: weights of the largest smallest gain (maximin).
        lyric: weights of the lowest lyric error among those that are nowhere worse than the base.
        tried: every candidate with its validation figures.
    """

    worst: tuple[float, ...]
    lyric: tuple[float, ...]
    tried: list[dict[str, Any]]


def merged(models: Mapping[str, State], base: State, weights: tuple[float, ...]) -> dict[str, Tensor]:
    """The runs on single criteria with these weights: between them for a sum of 1, else what they changed added up."""
    runs = [models[name] for name in CRITERIA]
    return interpolate(runs, weights) if abs(sum(weights) - 1) < 1e-9 else task_arithmetic(base, runs, weights)


def choose(validate: Callable[[tuple[float, ...]], dict[str, float]], base: dict[str, float]) -> Chosen:
    """Search the simplex in steps of a quarter, then an eighth around the best, by the figures of validation prompts.

    Args:
        validate: weights to the figures of the merged model.
        base: those of the base.
    """
    known: dict[tuple[float, ...], dict[str, float]] = {}

    def cached(weights: tuple[float, ...]) -> dict[str, float]:
        if weights not in known:
            known[weights] = validate(weights)
        return known[weights]

    rules = {
        "worst": worst_gain(base, SPREADS, AXES),
        "lyric": best_on("lyric_error", base, SPREADS, AXES),
    }
    found = {
        name: search(cached, len(CRITERIA), rule, step=0.25, refinements=1).best.weights for name, rule in rules.items()
    }
    tried = [{"weights": list(weights), **{axis: row[axis] for axis in AXES}} for weights, row in known.items()]
    return Chosen(found["worst"], found["lyric"], tried)
