"""Sorting integers together with where they came from.

NumPy sorts 64-bit integers several times faster than it finds their order, so the order travels in the low bits.
"""

from __future__ import annotations

import numpy as np

#: Bits of a non-negative int64.
BITS = 63


def bits_of(count: int) -> int:
    """Bits that hold every integer in [0, count)."""
    return max(int(count) - 1, 1).bit_length()


def sorted_with_order(keys: np.ndarray, bound: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) keys ascending and (n,) int64 where each came from; of equal keys the earlier one comes first.

    Args:
        keys: (n,) int64 in [0, bound).
    """
    bits = bits_of(len(keys))
    if bits_of(bound) + bits > BITS:
        order = np.argsort(keys, kind="stable")
        return keys[order], order
    packed = keys << bits
    packed |= np.arange(len(keys))
    packed.sort()
    order = packed & ((1 << bits) - 1)
    packed >>= bits
    return packed, order


def first_of_runs(ascending: np.ndarray) -> np.ndarray:
    """(n,) bool: whether a value differs from the one before it."""
    first = np.ones(len(ascending), bool)
    np.not_equal(ascending[1:], ascending[:-1], out=first[1:])
    return first


__all__ = ["BITS", "bits_of", "first_of_runs", "sorted_with_order"]
