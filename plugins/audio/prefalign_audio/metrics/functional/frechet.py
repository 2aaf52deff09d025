"""Fréchet distance between Gaussians fitted to embeddings (Heusel et al. 2017, 1706.08500; for audio 1812.08466)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError


@dataclass(frozen=True, eq=False)
class Moments:
    """A Gaussian fitted to embeddings, float64.

    Attributes:
        count: number N of embeddings.
        mean: (D,).
        covariance: (D, D), unbiased (divided by N − 1).
    """

    count: int
    mean: Tensor
    covariance: Tensor

    @staticmethod
    def of(features: Tensor) -> Moments:
        """The moments of (N, D) embeddings.

        Raises:
            PrefalignError: for fewer than 2, another shape, or embeddings that are not finite.
        """
        features = checked_features(features)
        centred = features - features.mean(0)
        return Moments.from_sums(len(features), centred.sum(0), centred.T @ centred).shifted(features.mean(0))

    @staticmethod
    def from_sums(count: int, total: Tensor, outer: Tensor) -> Moments:
        """The moments from Σ x, (D,), and Σ x xᵀ, (D, D), both float64.

        Raises:
            PrefalignError: for fewer than 2 embeddings.
        """
        if count < 2:
            raise PrefalignError(f"expected at least 2 embeddings to fit a Gaussian to, got {count}")
        mean = total / count
        return Moments(count, mean, (outer - count * torch.outer(mean, mean)) / (count - 1))

    def shifted(self, offset: Tensor) -> Moments:
        """The same Gaussian with `offset`, (D,), added to its mean."""
        return Moments(self.count, self.mean + offset, self.covariance)


def checked_features(features: Tensor, width: int | None = None) -> Tensor:
    """(N, D) embeddings as float64.

    Raises:
        PrefalignError: for another shape or width, or numbers that are not finite.
    """
    if features.ndim != 2 or (width is not None and features.shape[1] != width):
        raise PrefalignError(f"expected embeddings of shape (N, {width or 'D'}), got {tuple(features.shape)}")
    wrong = (~features.isfinite()).any(1).nonzero().flatten()
    if len(wrong):
        raise PrefalignError(f"embedding {int(wrong[0])} of {len(features)} holds NaN or infinity")
    return features.double()


def frechet_distance(first: Moments, second: Moments) -> Tensor:
    """‖μ₁ − μ₂‖² + tr C₁ + tr C₂ − 2 Σ √λᵢ with λᵢ the eigenvalues of C₁C₂ (Dowson and Landau 1982, eq. 4).

    Σ √λᵢ is taken as the sum of the singular values of C₁^½ C₂^½, which is the same number: both factors are symmetric,
    so that no eigenvalue comes out complex or negative, and equal Gaussians give 0 although their covariances may be
    singular, as those of fewer embeddings than dimensions are.

    Returns:
        Scalar float64, at least 0 up to rounding, in squared units of the embedding.

    Raises:
        PrefalignError: for embeddings of different widths.
    """
    if first.mean.shape != second.mean.shape:
        raise PrefalignError(
            f"expected embeddings of one width, got {len(first.mean)} and {len(second.mean)}; use the same encoder"
        )
    overlap = torch.linalg.svdvals(_root(first.covariance) @ _root(second.covariance)).sum()
    spread = first.covariance.trace() + second.covariance.trace()
    return (first.mean - second.mean).square().sum() + spread - 2 * overlap


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def per_clip_distances(clips: Sequence[Tensor], reference: Moments) -> Tensor:
    """(N,) distance of each clip's own frames, (Tᵢ, D) with Tᵢ >= 2, from the reference; large ones are outliers.

    Distances of clips compare with one another where the clips have the same number of frames (2311.01616, 3.4).

    Raises:
        PrefalignError: for a clip of fewer frames, or frames that are not finite.
    """
    distances = []
    for index, frames in enumerate(clips):
        try:
            distances.append(frechet_distance(Moments.of(frames), reference))
        except PrefalignError as error:
            raise PrefalignError(f"clip {index}: {error}") from None
    return torch.stack(distances) if distances else torch.empty(0, dtype=torch.float64)
