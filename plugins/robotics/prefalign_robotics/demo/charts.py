"""Pictures of a run as PNG: rewards along an episode, a coupling, and confidence beside accuracy."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

_BLUE, _RED, _GREY = "#4c72b0", "#c44e52", "#888888"


def reward_chart(
    mean: np.ndarray, deviation: np.ndarray, reward: np.ndarray, success: np.ndarray, titles: Sequence[str]
) -> bytes:
    """The learned reward with its deviation above the true one, over the steps of a few episodes side by side.

    Args:
        mean, deviation: (K, T) of the learned reward.
        reward: (K, T) true.
        success: (K, T) bool, whether the task was done; the first such step is marked.
        titles: K of them.
    """
    steps = np.arange(1, mean.shape[1] + 1)
    figure = Figure(figsize=(4.5 * len(mean), 4), layout="constrained")
    panels = figure.subplots(2, len(mean), sharex=True, sharey="row", squeeze=False)
    for column, title in enumerate(titles):
        above, below = panels[:, column]
        low, high = mean[column] - deviation[column], mean[column] + deviation[column]
        above.fill_between(steps, low, high, color=_BLUE, alpha=0.25, linewidth=0)
        above.plot(steps, mean[column], color=_BLUE)
        above.set_title(title)
        below.plot(steps, reward[column], color=_GREY)
        below.set_xlabel("step")
        if success[column].any():
            for axes in (above, below):
                axes.axvline(steps[success[column].argmax()], color=_RED, linestyle="--", linewidth=1)
    panels[0, 0].set_ylabel("learned ± deviation")
    panels[1, 0].set_ylabel("true")
    return _png(figure)


def coupling_chart(coupling: np.ndarray, source_returns: np.ndarray, target_returns: np.ndarray) -> bytes:
    """A coupling (n, m) with the windows of both tasks in the order of their returns, (n,) and (m,), lowest first."""
    ordered = coupling[np.argsort(source_returns, kind="stable")][:, np.argsort(target_returns, kind="stable")]
    figure = Figure(figsize=(5, 4.2), layout="constrained")
    axes = figure.subplots()
    # In the mass of a uniform coupling, so that 1 means "no more than by chance" at any size; by its root, since a few
    # cells hold most of it.
    mass = ordered * ordered.size / ordered.sum()
    image = axes.imshow(mass, norm=PowerNorm(0.5, vmin=0), origin="lower", cmap="magma", aspect="auto")
    axes.set_xlabel("target windows, by return")
    axes.set_ylabel("source windows, by return")
    figure.colorbar(image, label="mass, in that of a uniform coupling")
    return _png(figure)


def confidence_chart(curve: Sequence[float]) -> bytes:
    """Accuracy of transferred labels from the least to the most confident share of the pairs, all equally many."""
    places = np.arange(1, len(curve) + 1)
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(places, curve, marker="o", color=_BLUE)
    axes.axhline(0.5, color=_GREY, linestyle="--", linewidth=1)
    axes.set_xticks(places, ["least", *[""] * (len(curve) - 2), "most"] if len(curve) > 1 else ["all"])
    axes.set_ylim(min(0.45, *curve), 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("confidence, in equal parts of the pairs")
    axes.set_ylabel("right labels")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without metadata, whose version number would make the same picture another file.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
