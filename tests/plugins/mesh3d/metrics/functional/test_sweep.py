"""Overlapping boxes, against all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.metrics.functional import sweep
from prefalign_mesh3d.metrics.functional.sweep import overlapping


def all_pairs(low, high):
    meet = ((low[:, None] <= high[None]) & (low[None] <= high[:, None])).all(2)
    return set(map(tuple, np.argwhere(np.triu(meet, 1)).tolist()))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.sampled_from([0.5, 3, 30]), st.booleans())
def test_every_pair_once(seed, count, size, whole):
    """Boxes of all sizes, flat ones, equal ones and ones that only touch, in chunks of a few candidates."""
    random = np.random.default_rng(seed)
    low = random.uniform(-9, 9, (count, 3)) * random.choice([0, 1, 1], 3)
    high = low + random.exponential(size, (count, 3)) * random.choice([0, 1], (count, 3))
    if whole:
        low, high = np.round(low), np.round(high)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "CHUNK", 7)
        found = [tuple(sorted(pair)) for chunk in overlapping(low, high) for pair in chunk.tolist()]
    assert len(found) == len(set(found))
    assert set(found) == all_pairs(low, high)


def test_few_boxes_that_span_all_among_many_small_ones():
    """Their entries would fill every column; columns become wider instead."""
    random = np.random.default_rng(0)
    low = random.uniform(0, 100, (400, 3))
    high = low + 0.1
    low[:40], high[:40] = 0, 100
    found = {tuple(sorted(pair)) for chunk in overlapping(low, high) for pair in chunk.tolist()}
    assert found == all_pairs(low, high)
    columns = sweep._columns(low[:, :2], high[:, :2])
    assert len(columns.box) <= sweep.MOST_ENTRIES * 400


def test_a_surface_has_few_candidates(monkeypatch):
    """10,000 boxes on a plane: 49 in the closed neighbourhood of columns would be 490,000, all pairs 50,000,000."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(100.0), np.arange(100.0)))
    low = np.stack([x, y, np.zeros(10_000)], 1)
    monkeypatch.setattr(sweep, "MOST_CANDIDATES", 490_000)
    assert sum(len(chunk) for chunk in overlapping(low, low + 1)) == 9900 * 2 + 2 * 99 * 99


def test_a_heap_is_refused(monkeypatch):
    monkeypatch.setattr(sweep, "MOST_CANDIDATES", 44)
    assert sum(len(chunk) for chunk in overlapping(np.zeros((9, 3)), np.ones((9, 3)))) == 36
    with pytest.raises(MeshError, match=r"45 pairs of 10 boxes .* one heap"):
        list(overlapping(np.zeros((10, 3)), np.ones((10, 3))))
