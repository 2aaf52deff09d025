"""FAD∞: the Fréchet distance without the bias of a finite sample (Chong and Forsyth 1911.07023; audio 2311.01616)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign_audio.metrics.functional.frechet import Moments, checked_features, frechet_distance


@dataclass(frozen=True)
class Extrapolation:
    """A line through the distances of subsets against 1 / size.

    Attributes:
        distance: its intercept, the estimate for endless samples; noise can take it a little below 0.
        slope: distance per unit of 1 / size.
        fit: R², the share of the distances' variance that the line explains.
        sizes, distances: the points.
    """

    distance: float
    slope: float
    fit: float
    sizes: tuple[int, ...]
    distances: tuple[float, ...]


def extrapolate(generated: Tensor, reference: Moments, *, steps: int = 15, seed: int = 0) -> Extrapolation:
    """Distances of growing random subsets of the generated embeddings from the reference, taken to size infinity.

    The sizes are evenly spaced from half of N to N. The bias is a multiple of 1 / size only where subsets are large
    beside the width. For standard normal samples, whose true distance is 0, the mean intercept is less than a tenth of
    the plain distance from N = 4 D on, and a fifth of it at N = 2 D; R² does not tell, so that fewer are refused.

    The subsets depend on the seed and on the set of embeddings, not on their order, so that a set that came in parts
    from several processes gives the same number.

    Args:
        generated: (N, D) embeddings.
        reference: moments of the reference set.
        steps: number of subsets, at least 3.
        seed: of the draws.

    Raises:
        PrefalignError: for fewer than 3 steps, or fewer than 4 · D or 2 · steps embeddings.
    """
    features = checked_features(generated)
    if steps < 3:
        raise PrefalignError(f"expected at least 3 steps to fit a line to, got {steps}")
    needed = max(4 * features.shape[1], 2 * steps)
    if len(features) < needed:
        raise PrefalignError(
            f"expected at least {needed} embeddings to extrapolate from (4 times their width, and 2 a step), got "
            f"{len(features)}; generate more, or take a narrower embedding"
        )
    generator = torch.Generator().manual_seed(seed)
    features = features[canonical_order(features)]
    sizes = torch.linspace((len(features) + 1) // 2, len(features), steps).round().long().tolist()
    distances = []
    for size in sizes:
        chosen = torch.randperm(len(features), generator=generator)[:size].to(features.device)
        distances.append(float(frechet_distance(Moments.of(features[chosen]), reference)))
    return fit_line(sizes, distances)


def fit_line(sizes: list[int], distances: list[float]) -> Extrapolation:
    """Least squares of distances against 1 / size; R² is 1 where all distances are equal."""
    inverse, values = 1 / torch.tensor(sizes, dtype=torch.float64), torch.tensor(distances, dtype=torch.float64)
    x, y = inverse - inverse.mean(), values - values.mean()
    slope = (x * y).sum() / x.square().sum()
    total, left = y.square().sum(), (y - slope * x).square().sum()
    fit = float(1 - left / total) if total > 0 else 1.0
    intercept = float(values.mean() - slope * inverse.mean())
    return Extrapolation(intercept, float(slope), fit, tuple(sizes), tuple(distances))


def canonical_order(features: Tensor) -> Tensor:
    """(N,) order of the rows of (N, D) that depends on their values and not on their places."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(features.shape[1], generator=generator, dtype=torch.float64).to(features.device)
    return (features.double() * direction).sum(1).argsort(stable=True)
