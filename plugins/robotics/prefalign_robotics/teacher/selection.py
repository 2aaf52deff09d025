"""Which pairs to ask about: at random, where an ensemble of rewards disagrees or doubts, or across clusters."""

from __future__ import annotations

import numpy as np
from scipy.cluster.vq import ClusterError, kmeans2

from prefalign_robotics.segments.errors import SegmentError


def random_pairs(segments: int, count: int, seed: int = 0) -> np.ndarray:
    """(count, 2) int64 different pairs of `segments` segments, in random order within each pair.

    Raises:
        SegmentError: if there are not as many.
    """
    total = segments * (segments - 1) // 2
    if count > total:
        raise SegmentError(f"{segments} segments make {total} pairs, not {count}")
    generator = np.random.default_rng(seed)
    number = generator.choice(total, count, replace=False)
    # Pair n has first < second and n = second (second − 1) / 2 + first, so that no list of all pairs is needed.
    second = ((1 + np.sqrt(1 + 8 * number.astype(np.float64))) // 2).astype(np.int64)
    pairs = np.stack([number - second * (second - 1) // 2, second], 1)
    return np.asarray(generator.permuted(pairs, axis=1))


def disagreement(probabilities: np.ndarray) -> np.ndarray:
    """(Q,) standard deviation of P(second better) between the members of an ensemble.

    Args:
        probabilities: (M, Q) of M members for Q pairs (Christiano et al., arXiv 1706.03741).

    Raises:
        SegmentError: for other shapes, a single member, or numbers outside [0, 1].
    """
    return np.asarray(_checked(probabilities, 2).std(0))


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """(Q,) mean over members of the entropy of their answer, in nats, in [0, log 2].

    Args:
        probabilities: (M, Q) of M members for Q pairs (PEBBLE, Lee et al., arXiv 2106.05091).

    Raises:
        SegmentError: for other shapes, or numbers outside [0, 1].
    """
    p = _checked(probabilities, 1)
    tiny = np.finfo(np.float64).tiny
    return np.asarray(-(p * np.log(np.maximum(p, tiny)) + (1 - p) * np.log(np.maximum(1 - p, tiny))).mean(0))


def largest(scores: np.ndarray, count: int) -> np.ndarray:
    """(count,) int64 rows of the largest scores, largest first; of equal ones the earlier.

    Raises:
        SegmentError: if there are not as many, or scores are not numbers.
    """
    if scores.ndim != 1 or not 0 <= count <= len(scores):
        raise SegmentError(f"expected at least {count} scores in a row, got shape {scores.shape}")
    if np.isnan(scores).any():
        raise SegmentError(f"score {np.flatnonzero(np.isnan(scores))[0]} is not a number")
    return np.argsort(-scores, kind="stable")[:count]


def across_clusters(vectors: np.ndarray, pairs: np.ndarray, clusters: int = 2, seed: int = 0) -> np.ndarray:
    """(Q,) bool, whether the two segments of a pair lie in different clusters, so that they differ visibly.

    Args:
        vectors: (N, D) of each segment, in comparable units.
        pairs: (Q, 2) rows.
        clusters: of K-means.
        seed: of its starts.

    Raises:
        SegmentError: if there are fewer different vectors than clusters.
    """
    home = clusters_of(vectors, clusters, seed)
    return np.asarray(home[pairs[:, 0]] != home[pairs[:, 1]])


def clusters_of(vectors: np.ndarray, clusters: int, seed: int = 0, starts: int = 10) -> np.ndarray:
    """(N,) int cluster of each vector: K-means from `starts` spread starts, the tightest kept.

    Args, Raises: as `across_clusters`.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise SegmentError(f"expected finite vectors (segments, numbers), got shape {vectors.shape}")
    different = len(np.unique(vectors, axis=0))
    if not 1 <= clusters <= different:
        raise SegmentError(f"{different} different vectors cannot make {clusters} clusters")
    best, home = np.inf, None
    generator = np.random.default_rng(seed)
    for _ in range(starts):
        try:
            centres, found = kmeans2(vectors, clusters, iter=50, minit="++", missing="raise", rng=generator)
        except ClusterError:  # a cluster ran empty; another start may do better
            continue
        spread = float(((vectors - centres[found]) ** 2).sum())
        if spread < best:
            best, home = spread, np.asarray(found)
    if home is None:
        raise SegmentError(f"none of {starts} starts of K-means kept {clusters} clusters filled; ask for fewer")
    return home


def _checked(probabilities: np.ndarray, members: int) -> np.ndarray:
    if probabilities.ndim != 2 or len(probabilities) < members:
        raise SegmentError(f"expected probabilities ({members} or more members, pairs), got {probabilities.shape}")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # NaN included
        raise SegmentError("expected probabilities in [0, 1]")
    return probabilities.astype(np.float64)
