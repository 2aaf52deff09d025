"""Sorting with the order packed in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefalign_mesh3d.mesh.sorting import bits_of, first_of_runs, sorted_with_order


@pytest.mark.parametrize(
    ("count", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (1 << 20, 20), ((1 << 20) + 1, 21)]
)
def test_bits_hold_every_smaller_integer(count, bits):
    assert bits_of(count) == bits


@pytest.mark.parametrize("bound", [10, 1 << 50, 1 << 62, 1 << 63])
@given(values=st.lists(st.integers(0, 9), max_size=50))
def test_it_is_the_stable_order_however_large_the_keys(bound, values):
    keys = np.array(values, np.int64) + (bound - 10)
    ascending, order = sorted_with_order(keys, bound)
    expected = np.argsort(keys, kind="stable")
    np.testing.assert_array_equal(order, expected)
    np.testing.assert_array_equal(ascending, keys[expected])


def test_runs():
    assert first_of_runs(np.array([1, 1, 2, 5, 5, 5])).tolist() == [True, False, True, True, False, False]
    assert first_of_runs(np.array([], int)).tolist() == []
