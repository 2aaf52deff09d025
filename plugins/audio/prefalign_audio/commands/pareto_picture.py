"""The Pareto picture: every pair of axes, with the front of each pair."""

from __future__ import annotations

import io
import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefalign.evaluation.pareto import mean_and_deviation, non_dominated
from prefalign_audio.commands.pareto_points import KINDS, Point, Points

# Colours that stay apart for colour-blind readers, and a marker each for those who print in grey.
_STYLES = {
    "base": ("#000000", "s"),
    "single": ("#0072b2", "o"),
    "merge": ("#d55e00", "D"),
    "rival": ("#009e73", "^"),
    "control": ("#cc79a7", "v"),
}
_REAL = "#666666"
_NAMED = 24  # more points than this are numbered in the picture and named in the table only


def picture(points: Points) -> bytes:
    """A PNG of 1,000 pixels' width: means over the seeds, bars of one standard deviation, the front of each pair.

    Filled markers are on the front of all axes together. A comparison of one axis is drawn over the points' numbers.
    """
    # Without pyplot, whose figures are global and whose backend may want a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pairs = list(itertools.combinations(range(len(points.axes)), 2)) or [(0, 0)]
    columns = min(3, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    listed = len(points.points) if len(points.points) <= _NAMED else len(KINDS)
    lines = math.ceil((listed + 1) / 3)
    key = 0.21 * lines + 0.15  # inches for the key under the panels
    height = 3.5 * rows + key
    figure = Figure(figsize=(10, height), dpi=100)
    FigureCanvasAgg(figure)
    on_front = dict(zip((p.name for p in points.models), non_dominated(_means(points), _ways(points)), strict=True))
    for place, (across, up) in enumerate(pairs, 1):
        _panel(figure.add_subplot(rows, columns, place), points, across, up, on_front)
    figure.legend(handles=_key(points), loc="lower center", ncols=3, fontsize=9, frameon=False, columnspacing=1.5)
    figure.tight_layout(rect=(0, key / height, 1, 1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _panel(axes: Any, points: Points, across: int, up: int, on_front: dict[str, np.bool_]) -> None:
    names, ways = list(points.axes), _ways(points)
    for number, point in enumerate(points.points, 1):
        mean, deviation = mean_and_deviation(point.values)
        x, y = (float(number) if across == up else mean[across]), mean[up]
        if point.kind == "real":
            axes.axhline(y, color=_REAL, linestyle=":", linewidth=1.2, zorder=1)
            if across != up:
                axes.axvline(x, color=_REAL, linestyle=":", linewidth=1.2, zorder=1)
            continue
        colour, marker = _STYLES[point.kind]
        bars = {"yerr": deviation[up], "xerr": None if across == up else deviation[across]}
        if len(point.values) > 1:
            axes.errorbar(x, y, **bars, fmt="none", ecolor=colour, alpha=0.6, linewidth=1, zorder=2)
        face = colour if on_front[point.name] else "white"
        axes.plot(x, y, marker, color=colour, markerfacecolor=face, markersize=7, zorder=3)
        axes.annotate(str(number), (x, y), (5, 4), textcoords="offset points", fontsize=9, color=colour, zorder=4)
    if across != up:
        front = _staircase(_means(points)[:, [across, up]], [ways[across], ways[up]])
        axes.plot(front[:, 0], front[:, 1], color="#999999", linewidth=1.2, zorder=1.5)
    axes.set_xlabel("point" if across == up else _labelled(names[across], ways[across], "←→"), fontsize=10)
    axes.set_ylabel(_labelled(names[up], ways[up], "↓↑"), fontsize=10)
    axes.tick_params(labelsize=9)
    axes.margins(0.1)


def _staircase(means: NDArray[np.float64], ways: list[str]) -> NDArray[np.float64]:
    """Corners of the border between what some mean (n, 2) reaches in this pair of axes and what none does."""
    front = np.unique(means[non_dominated(means, ways)], axis=0)  # by the first axis, ascending
    steps = [front[:1]]
    for here, there in itertools.pairwise(front):
        # The corner lies where both coordinates are the worse of the two.
        worse = [
            min(pair) if way == "max" else max(pair)
            for pair, way in zip(zip(here, there, strict=True), ways, strict=True)
        ]
        steps += [np.array([worse]), there[None]]
    return np.concatenate(steps)


def _key(points: Points) -> list[Any]:
    from matplotlib.lines import Line2D

    if len(points.points) > _NAMED:
        entries = [(kind, KINDS[kind]) for kind in KINDS if any(point.kind == kind for point in points.points)]
    else:
        entries = [(point.kind, f"{number}  {_entry(point)}") for number, point in enumerate(points.points, 1)]
    handles: list[Any] = []
    for kind, label in entries:
        if kind == "real":
            style: dict[str, Any] = {"color": _REAL, "linestyle": ":"}
        else:
            colour, marker = _STYLES[kind]
            style = {"color": colour, "marker": marker, "linestyle": "none"}
        handles.append(Line2D([], [], label=label, **style))
    handles.append(Line2D([], [], color="#999999", label="front of the two axes; filled: of all axes"))
    return handles


def _entry(point: Point) -> str:
    text = point.title if len(point.title) <= 40 else f"{point.title[:37]}..."
    return _plain(text)


def _labelled(axis: str, way: str, arrows: str) -> str:
    arrow = arrows[way == "max"]
    return _plain(f"{axis}  ({arrow} better)" if arrow in "←↓↑" else f"{axis}  (better {arrow})")


def _plain(text: str) -> str:
    """Text in which a dollar is a dollar, where matplotlib would start a formula."""
    return text.replace("$", r"\$")


def _means(points: Points) -> NDArray[np.float64]:
    """(M, A) of the models."""
    return np.stack([point.values.mean(axis=0) for point in points.models])


def _ways(points: Points) -> list[str]:
    return list(points.axes.values())
