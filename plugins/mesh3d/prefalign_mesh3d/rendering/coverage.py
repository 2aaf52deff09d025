"""Which pixels triangles cover, decided in integers: triangles that share an edge leave no crack and no pixel twice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

#: Steps per pixel to which corners are rounded.
SUBPIXELS = 256
#: How far from the origin a corner may lie, in steps: products of two such lengths fit 64 bits.
FARTHEST = 1 << 28
_HALF = SUBPIXELS // 2
#: Rows and pixels that are held at once; about 100 bytes each.
_ROWS, _PIXELS = 1 << 19, 1 << 21


class Covered(NamedTuple):
    """Pixels that faces cover, n of them.

    Attributes:
        face: (n,) int64 the face.
        x, y: (n,) int64 pixel of that face; a pixel comes once for each face that covers its centre.
    """

    face: Tensor
    x: Tensor
    y: Tensor


def twice_areas(corners: Tensor) -> Tensor:
    """(F,) twice the signed areas of (F, 3, 2) corners, positive where x turns to y."""
    (ax, ay), (bx, by), (cx, cy) = corners.permute(1, 2, 0)
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


def covered(corners: Tensor, size: int) -> Iterator[Covered]:
    """The pixels of a square picture whose centres triangles cover, some at a time.

    A centre on an edge belongs to the triangle on one side of it, whichever way the edge runs; so does one on a corner.

    Args:
        corners: (F, 3, 2) int64 x and y in 1/256 pixels, y downwards, within ±2²⁸, of positive `twice_areas`.
        size: pixels along a side.
    """
    y = corners[..., 1]
    # Row j has its centres at y = 256 j + 128.
    first = (-((_HALF - _least(y)) // SUBPIXELS)).clamp(min=0)
    last = ((_most(y) - _HALF) // SUBPIXELS).clamp(max=size - 1)
    heights = (last - first + 1).clamp(min=0)
    seen = heights.nonzero().squeeze(1)
    first, heights, edges = first[seen], heights[seen], _edges(corners[seen])
    for faces in _pieces(heights, _ROWS):
        face, row = _expanded(heights[faces])
        row += first[faces][face]
        face += faces.start
        left, width = _spans(edges, face, row, size)
        for rows in _pieces(width, _PIXELS):
            span, x = _expanded(width[rows])
            yield Covered(seen[face[rows][span]], x + left[rows][span], row[rows][span])


class _Edges(NamedTuple):
    """The inside of an edge is a·x + b·y + c >= 0; all are (F, 3) int64."""

    a: Tensor
    b: Tensor
    c: Tensor


def _edges(corners: Tensor) -> _Edges:
    start, end = corners, corners.roll(-1, 1)
    dx, dy = (end - start).unbind(-1)
    # An edge runs the other way in the face beyond it, so exactly one of both owns the centres on it.
    owned = (dy > 0) | ((dy == 0) & (dx < 0))
    return _Edges(-dy, dx, dy * start[..., 0] - dx * start[..., 1] - (~owned).long())


def _spans(edges: _Edges, face: Tensor, row: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """First pixel and number of pixels of each row of a face: where all three inequalities hold, solved for x."""
    a, b, c = (part[face] for part in edges)
    rest = b * (row * SUBPIXELS + _HALF)[:, None] + c + a * _HALF
    step = SUBPIXELS * a.abs().clamp(min=1)
    bounds = torch.div(rest, step, rounding_mode="floor")
    # Column by column: torch reduces a short last axis several times slower.
    left = reduce(torch.maximum, torch.where(a > 0, -bounds, 0).unbind(1))
    right = reduce(torch.minimum, torch.where(a < 0, bounds, size - 1).unbind(1))
    empty = reduce(torch.logical_or, ((a == 0) & (rest < 0)).unbind(1))
    return left, (right - left + 1).clamp(min=0).masked_fill(empty, 0)


def _least(values: Tensor) -> Tensor:
    """(n,) smallest of the three columns; over rows so short torch's `amin` takes a hundred times as long."""
    first, second, third = values.unbind(1)
    return first.minimum(second).minimum(third)


def _most(values: Tensor) -> Tensor:
    """(n,) largest of the three columns."""
    first, second, third = values.unbind(1)
    return first.maximum(second).maximum(third)


def _expanded(counts: Tensor) -> tuple[Tensor, Tensor]:
    """For counts (2, 0, 3): which one, 0 0 2 2 2, and the how manieth of it, 0 1 0 1 2."""
    which = torch.repeat_interleave(counts)
    return which, torch.arange(len(which), device=counts.device) - (counts.cumsum(0) - counts)[which]


def _pieces(counts: Tensor, limit: int) -> Iterator[slice]:
    """Slices of counts, each with a sum below limit plus its last count."""
    heaped = counts.cumsum(0)
    total = int(heaped[-1]) if len(counts) else 0
    marks = torch.arange(limit, max(total, limit), limit, device=counts.device)
    ends = [0, *(torch.searchsorted(heaped, marks) + 1).tolist(), len(counts)]
    yield from (slice(start, end) for start, end in pairwise(ends) if end > start)


__all__ = ["FARTHEST", "SUBPIXELS", "Covered", "covered", "twice_areas"]
