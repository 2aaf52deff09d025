"""What a Pareto report is made of: models with their measured axes, by seed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefalign.interfaces import PrefalignError
from prefalign.interfaces.errors import unknown_name

#: What a point may be, with the word for several of them.
KINDS = {
    "base": "the base",
    "single": "single criteria",
    "merge": "merges",
    "rival": "rival recipes",
    "control": "controls",
    "real": "real data",
}
FILE = "points.json"


@dataclass(frozen=True)
class Point:
    """One model, or the real data.

    Attributes:
        name, title: short and spoken.
        kind: one of `KINDS`.
        weights: of a merge, by model.
        values: (S, A) measured values, a row for each seed, a column for each axis.
    """

    name: str
    title: str
    kind: str
    weights: dict[str, float] | None
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """All points of a comparison.

    Attributes:
        axes: "min" or "max", what is better, by axis.
        base: name of the point that the others are compared with.
        seeds: of every point but the real data, in order.
        points: in the order of the file.
    """

    axes: dict[str, str]
    base: str
    seeds: tuple[str, ...]
    points: tuple[Point, ...]

    @property
    def models(self) -> tuple[Point, ...]:
        """The points that are models."""
        return tuple(point for point in self.points if point.kind != "real")

    @property
    def base_point(self) -> Point:
        """The base."""
        return next(point for point in self.points if point.name == self.base)


def read_points(run: Path) -> Points:
    """The points of a run.

    Args:
        run: a folder with `points.json`, or such a file.

    Raises:
        PrefalignError: if there is none, or it is not as `parse_points` wants it.
    """
    file = run / FILE if run.is_dir() else run
    if not file.is_file():
        raise PrefalignError(f"there is no {file}; expected a run's folder with {FILE}, which the demonstration writes")
    try:
        document = json.loads(file.read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise PrefalignError(f"{file}: not JSON: {error}") from error
    except RecursionError as error:
        raise PrefalignError(f"{file}: nested too deeply") from error
    return parse_points(document, str(file))


def parse_points(document: Any, where: str = "points") -> Points:
    """The points of a parsed document.

    Args:
        document: `{"axes": {name: "min" | "max"}, "base": name, "points": [{"name", "title", "kind", "weights",
            "seeds": {seed: {axis: number, …}}}]}`. A title and weights may be missing; other numbers are ignored. All
            points but real data have the seeds of the base.
        where: how messages call the document.

    Raises:
        PrefalignError: with the place, what was expected there, and what was found.
    """
    top = _mapping(document, where)
    axes = _mapping(_at(top, "axes", where), f"{where}: axes")
    if not axes:
        raise PrefalignError(f"{where}: axes: expected at least one axis with 'min' or 'max'")
    for axis, direction in axes.items():
        if direction not in ("min", "max"):
            raise PrefalignError(f"{where}: axes.{axis}: expected 'min' or 'max', got {direction!r}")
    rows = _at(top, "points", where)
    if not isinstance(rows, list) or not rows:
        raise PrefalignError(f"{where}: points: expected a list of at least one point, got {_short(rows)}")
    named: dict[str, Mapping[str, Any]] = {}
    for index, row in enumerate(rows):
        place = f"{where}: points[{index}]"
        name = _at(_mapping(row, place), "name", place)
        if not isinstance(name, str) or not name:
            raise PrefalignError(f"{place}.name: expected text, got {_short(name)}")
        if name in named:
            raise PrefalignError(f"{place}.name: {name!r} is the name of an earlier point too")
        named[name] = row
    base = str(_at(top, "base", where))
    if base not in named:
        raise PrefalignError(f"{where}: base: {unknown_name('point', base, named)}")
    places = {name: f"{where}: points[{index}] ({name})" for index, name in enumerate(named)}
    seeds = tuple(_mapping(_at(named[base], "seeds", places[base]), f"{places[base]}.seeds"))
    points = tuple(_point(name, row, axes, seeds, places[name]) for name, row in named.items())
    for point in points:
        if (point.kind == "base") != (point.name == base):
            raise PrefalignError(f"{places[point.name]}.kind: 'base' is for the point {base!r}, and for it alone")
    return Points(dict(axes), base, seeds, points)


def _point(name: str, row: Mapping[str, Any], axes: Mapping[str, str], seeds: tuple[str, ...], where: str) -> Point:
    kind = str(_at(row, "kind", where))
    if kind not in KINDS:
        raise PrefalignError(f"{where}.kind: {unknown_name('kind', kind, KINDS)}")
    title = row.get("title", name)
    if not isinstance(title, str):
        raise PrefalignError(f"{where}.title: expected text, got {_short(title)}")
    weights = row.get("weights")
    if weights is not None:
        weights = {
            model: _number(weight, f"{where}.weights.{model}")
            for model, weight in _mapping(weights, f"{where}.weights").items()
        }
    measured = _mapping(_at(row, "seeds", where), f"{where}.seeds")
    if not measured:
        raise PrefalignError(f"{where}.seeds: expected the values of at least one seed")
    if kind != "real" and measured.keys() != set(seeds):
        raise PrefalignError(
            f"{where}.seeds: expected the base's seeds {', '.join(seeds)}, since differences are taken seed by seed; "
            f"got {', '.join(measured)}"
        )
    values = []
    for seed in measured if kind == "real" else seeds:
        place = f"{where}.seeds.{seed}"
        found = _mapping(measured[seed], place)
        values.append([_number(_at(found, axis, place), f"{place}.{axis}") for axis in axes])
    return Point(name, " ".join(title.split()) or name, kind, weights, np.array(values, dtype=np.float64))


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PrefalignError(f"{where}: expected an object with names, got {_short(value)}")
    return value


def _at(values: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in values:
        raise PrefalignError(f"{where}: there is no {key!r}; there are {', '.join(map(repr, values)) or 'no names'}")
    return values[key]


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise PrefalignError(f"{where}: expected a finite number, got {_short(value)}")
    return float(value)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."
