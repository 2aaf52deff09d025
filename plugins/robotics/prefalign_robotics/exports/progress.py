"""Rewards as LeRobot's `rabc` sample weighting reads them: progress per frame, whose rise over an action chunk is good.

LeRobot weights frame t by d = progress[t + chunk] − progress[t], with the last frame in place of those beyond the end
(SARM, arXiv 2509.25358, equations 8 and 9): weight 1 above its `kappa`, 0 below nought, and in between by where d lies
among the deviations of all d. Progress is expected in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prefalign.data.atomic import atomic_path
from prefalign.interfaces import unknown_name
from prefalign_robotics.segments.errors import SegmentError

Scale = Literal["dataset", "episode"]


def write_progress(
    path: Path | str,
    rewards: Sequence[np.ndarray],
    scale: Scale = "dataset",
    centred: bool = False,
    reward_model: str | None = None,
) -> None:
    """Write the table that `lerobot-train` takes as `sample_weighting.progress_path`.

    Columns: `index` (frame in the data set), `episode_index`, `frame_index`, and `progress_sparse` and
    `progress_dense`, which are equal, so that either `head_mode` finds them.

    Args:
        path: of the table; beside the data as `sarm_progress.parquet`, LeRobot finds it unasked.
        rewards: (T,) per step of every episode of the data set, in its order.
        scale: as in `progress`.
        centred: as in `progress`.
        reward_model: noted in the table, as LeRobot notes its own models.

    Raises:
        SegmentError: naming episode and step, for rewards that are not finite, and as `progress`.
    """
    found = progress(rewards, scale, centred)
    lengths = [len(values) for values in found]
    values = np.concatenate(found).astype(np.float32)
    table = pa.table(
        {
            "index": np.arange(len(values)),
            "episode_index": np.repeat(np.arange(len(lengths)), lengths),
            "frame_index": np.concatenate([np.arange(length) for length in lengths]),
            "progress_sparse": values,
            "progress_dense": values,
        }
    )
    if reward_model is not None:
        table = table.replace_schema_metadata({"reward_model_path": reward_model})
    with atomic_path(Path(path)) as partial:
        pq.write_table(table, partial)


def progress(rewards: Sequence[np.ndarray], scale: Scale = "dataset", centred: bool = False) -> list[np.ndarray]:
    """(T,) float64 progress in [0, 1] of each episode: rewards cumulated and scaled.

    A frame holds what was earned before its action, so that a chunk's rise is what its own actions earn. The last
    frame holds the whole return, because that is where LeRobot looks for chunks that reach beyond the end: a success
    that is rewarded at the last step alone would otherwise be lost.

    Args:
        rewards: (T,) per step of each episode.
        scale: `dataset` puts the least and the greatest cumulated reward of all episodes at 0 and 1, so that an
            episode that fails stays below one that succeeds, as SARM's progress does; `episode` does so for each
            episode by itself, as TOPReward's does.
        centred: take the data set's mean reward from every step. A reward learned from preferences between segments of
            equal length is known up to such a constant, and one that happens to be below nought throughout would give
            every frame the weight 0. Rewards whose zero means something are to be left as they are.

    Raises:
        SegmentError: naming episode and step, for rewards of other shapes or not finite.
        PrefalignError: for another scale.
    """
    if scale not in ("dataset", "episode"):
        raise unknown_name("scale", scale, ("dataset", "episode"))
    steps = [_checked(number, values) for number, values in enumerate(rewards)]
    if not steps:
        raise SegmentError("expected the rewards of at least one episode, got none")
    mean = np.concatenate(steps).mean() if centred else 0.0
    curves = [_cumulated(values - mean) for values in steps]
    if scale == "episode":
        return [_scaled(curve, curve.min(), curve.max()) for curve in curves]
    low, high = min(curve.min() for curve in curves), max(curve.max() for curve in curves)
    return [_scaled(curve, low, high) for curve in curves]


def _checked(number: int, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or not len(values) or values.dtype.kind not in "biuf":
        found = f"{values.shape} {values.dtype}"
        raise SegmentError(f"episode {number}: expected rewards (steps,) of at least one step, got {found}")
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise SegmentError(f"episode {number}, step {wrong[0]}: expected a finite reward, got {values[wrong[0]]}")
    return values.astype(np.float64)


def _cumulated(values: np.ndarray) -> np.ndarray:
    total = np.cumsum(values)
    return np.append(total[:-1] - values[:-1], total[-1])


def _scaled(curve: np.ndarray, low: float, high: float) -> np.ndarray:
    return (curve - low) / (high - low) if high > low else np.zeros_like(curve)
