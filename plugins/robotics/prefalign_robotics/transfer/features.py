"""Segments as vectors. What is compared between two tasks has to mean the same in both."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from prefalign_robotics.segments.segments import Segments

#: Segments to (N, T, F) numbers per step.
StepFeatures = Callable[[Segments], np.ndarray]


def raw(segments: Segments) -> np.ndarray:
    """(N, T, O + A) observations and actions."""
    return np.concatenate([segments.observations, segments.actions], -1)


def standardised(values: np.ndarray) -> np.ndarray:
    """(N, T, F) values with mean 0 and deviation 1 over all segments and steps; what never moves becomes 0."""
    values = values.astype(np.float64)
    deviation = values.std((0, 1))
    moving = deviation > 1e-6 * np.maximum(1.0, np.abs(values).max((0, 1)))
    centred: np.ndarray = (values - values.mean((0, 1))) / np.where(moving, deviation, 1.0)
    return np.where(moving, centred, 0.0)


def flattened(values: np.ndarray) -> Tensor:
    """(N, T · F) float64 vectors that keep the order of time."""
    return torch.from_numpy(standardised(values).reshape(len(values), -1))


def time_means(values: np.ndarray) -> Tensor:
    """(N, F) float64 means over time, which a linear reward sums up."""
    return torch.from_numpy(standardised(values).mean(1))


def distances(vectors: Tensor) -> Tensor:
    """(…, N, N) Euclidean distances, divided by each task's largest.

    Raises:
        ValueError: where all vectors are equal, so that no segment can be told from another.
    """
    found = torch.cdist(vectors, vectors)
    largest = found.amax((-1, -2), keepdim=True)
    if not bool((largest > 0).all()):
        raise ValueError("all segments have the same features, so that none can be told from another")
    return found / largest
