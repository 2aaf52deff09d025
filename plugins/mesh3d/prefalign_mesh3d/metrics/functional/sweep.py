"""Which boxes overlap, by sort and sweep: the first half of finding triangles that cross."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError

#: Candidates that are looked at in one go; bounds the memory to about 100 MB.
CHUNK = 1 << 20
#: Most candidates in all. Surfaces have tens per box; a heap of boxes that all overlap has n² / 2.
MOST_CANDIDATES = 1 << 28
#: Entries that the columns may make per box, on average.
MOST_ENTRIES = 8


def overlapping(low: np.ndarray, high: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs of boxes that overlap or touch.

    The boxes are laid into columns that run along the longest axis, and each column is sorted and swept by itself. Two
    boxes that meet in several columns are given in the first of them.

    Args:
        low, high: (n, 3) corners of the boxes.

    Yields:
        (m, 2) int64 pairs, none twice, in chunks.

    Raises:
        MeshError: if more than `MOST_CANDIDATES` pairs overlap along the sweep.
    """
    if len(low) < 2:
        return
    axis = int((high.max(0) - low.min(0)).argmax())
    columns = _columns(np.delete(low, axis, 1), np.delete(high, axis, 1))
    starts, entries = low[columns.box, axis], columns.box
    # Positions as ranks, so that column and position make one integer to sort and search by.
    ranks = np.sort(starts)
    count = len(ranks) + 1
    keys = columns.number * count + np.searchsorted(ranks, starts, side="left")
    ends = columns.number * count + np.searchsorted(ranks, high[entries, axis], side="right")
    order = np.argsort(keys, kind="stable")
    # Partners of an entry are those behind it, in its column, that begin before it ends.
    partners = np.searchsorted(keys[order], ends[order], side="left") - np.arange(1, count)
    if (total := int(partners.sum())) > MOST_CANDIDATES:
        raise MeshError(
            f"{total} pairs of {len(low)} boxes would have to be looked at, more than {MOST_CANDIDATES}: the faces lie "
            "in one heap rather than on a surface"
        )
    entries, number = entries[order], columns.number[order]
    done = np.concatenate([[0], np.cumsum(partners)])
    begin = 0
    while begin < len(entries):
        stop = max(begin + 1, int(np.searchsorted(done, done[begin] + CHUNK, side="right")) - 1)
        first = np.repeat(np.arange(begin, stop), partners[begin:stop])
        second = np.arange(len(first)) + done[begin] - done[first] + first + 1
        yield _meeting(entries[first], entries[second], number[first], low, high, columns)
        begin = stop


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """Boxes in columns: entry e says that box[e] reaches into column number[e]; first[b] are b's lowest two indices."""

    box: np.ndarray
    number: np.ndarray
    first: np.ndarray
    side: int


def _columns(low: np.ndarray, high: np.ndarray) -> _Columns:
    """Columns about as wide as a box is, or wider if that would make too many entries.

    Args:
        low, high: (n, 2) corners of the boxes across the sweep.
    """
    origin, extent, size = low.min(0), high.max(0) - low.min(0), (high - low).mean(0)
    most = len(low) ** 0.5
    cells = np.clip(np.where(size > 0, extent / np.where(size > 0, size, 1), most), 1, most).astype(np.int64)
    scale = np.where(extent > 0, extent, 1)
    while True:
        first, last = (np.minimum((ends - origin) / scale * cells, cells - 1).astype(np.int64) for ends in (low, high))
        spans = last - first + 1
        number = spans.prod(1)
        if number.sum() <= MOST_ENTRIES * len(low) or cells.max() == 1:
            break
        cells = np.maximum(cells // 2, 1)
    box = np.repeat(np.arange(len(low)), number)
    within = np.arange(len(box)) - np.repeat(np.cumsum(number) - number, number)
    u, v = first[box, 0] + within // spans[box, 1], first[box, 1] + within % spans[box, 1]
    return _Columns(box, u * cells[1] + v, first, int(cells[1]))


def _meeting(
    a: np.ndarray, b: np.ndarray, number: np.ndarray, low: np.ndarray, high: np.ndarray, columns: _Columns
) -> np.ndarray:
    """Those of the pairs whose boxes overlap along every axis and for which this column is the first in common."""
    for axis in range(3):
        kept = np.flatnonzero((low[a, axis] <= high[b, axis]) & (low[b, axis] <= high[a, axis]))
        a, b, number = a[kept], b[kept], number[kept]
    common = np.maximum(columns.first[a], columns.first[b])
    kept = np.flatnonzero(common[:, 0] * columns.side + common[:, 1] == number)
    return np.stack([a[kept], b[kept]], axis=1)


__all__ = ["MOST_CANDIDATES", "overlapping"]
