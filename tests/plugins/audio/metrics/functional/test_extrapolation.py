"""FAD∞."""

import pytest
import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign_audio.metrics.functional.extrapolation import canonical_order, extrapolate, fit_line
from prefalign_audio.metrics.functional.frechet import Moments, frechet_distance


def draw(seed: int, count: int, width: int) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).double()


def test_line() -> None:
    """2 + 30 / n exactly."""
    line = fit_line([10, 15, 30], [5.0, 4.0, 3.0])
    assert (line.distance, line.slope, line.fit) == pytest.approx((2, 30, 1))
    assert line.sizes == (10, 15, 30)


def test_line_through_noise() -> None:
    """At 1/n = 1, 1/2, 1/4 … by hand: x − x̄ = (1/4, −1/4) for two inverse sizes, twice each; values 3, 5, 1, 1.

    Means 3/4 and 2.5; slope (0.25 · 0.5 + 0.25 · 2.5 + 0.25 · 1.5 · 2) / (4/16) = 6; intercept 2.5 − 4.5 = −2;
    residuals −1, 1, 0, 0 of a total 0.25 + 6.25 + 2 · 2.25 = 11, R² = 1 − 2/11.
    """
    line = fit_line([1, 1, 2, 2], [3.0, 5.0, 1.0, 1.0])
    assert (line.distance, line.slope, line.fit) == pytest.approx((-2, 6, 1 - 2 / 11))
    assert fit_line([1, 2], [4.0, 4.0]).fit == 1


@pytest.mark.parametrize("seed", range(3))
def test_takes_the_bias_away(seed: int) -> None:
    """500 draws of the reference itself are about 500⁻¹ · const away, at infinity nearly 0: a fifth at most."""
    reference = Moments(1000, torch.zeros(32).double(), torch.eye(32).double())
    features = draw(seed, 500, 32)
    plain = frechet_distance(Moments.of(features), reference).item()
    line = extrapolate(features, reference, seed=seed)
    assert plain > 0.5
    assert abs(line.distance) < plain / 5
    assert line.fit > 0.95
    assert line.distances[-1] == pytest.approx(plain)
    assert line.sizes[0] == 250
    assert line.sizes[-1] == 500
    assert len(line.sizes) == 15


def test_seed_and_order() -> None:
    """The draws depend on the seed, and not on the order in which the embeddings came."""
    reference, features = Moments.of(draw(9, 100, 4)), draw(0, 60, 4)
    first = extrapolate(features, reference, seed=1)
    assert extrapolate(features, reference, seed=1) == first
    assert extrapolate(features, reference, seed=2).distance != first.distance
    mixed = extrapolate(features[torch.randperm(60, generator=torch.Generator().manual_seed(3))], reference, seed=1)
    assert mixed.distance == pytest.approx(first.distance, abs=1e-9)


def test_canonical_order() -> None:
    """Rows come out in one order whatever order they went in."""
    features = draw(0, 20, 3)
    again = features.flip(0)
    assert torch.equal(features[canonical_order(features)], again[canonical_order(again)])


def test_too_few() -> None:
    """4 · 16 = 64 are the least of width 16, 30 the least for 15 steps of width 2."""
    reference = Moments.of(draw(1, 100, 16))
    extrapolate(draw(0, 64, 16), reference)
    with pytest.raises(PrefalignError, match=r"expected at least 64 embeddings to extrapolate from .* got 63"):
        extrapolate(draw(0, 63, 16), reference)
    with pytest.raises(PrefalignError, match="at least 30 embeddings"):
        extrapolate(draw(0, 29, 2), Moments.of(draw(1, 100, 2)))
    with pytest.raises(PrefalignError, match="at least 3 steps"):
        extrapolate(draw(0, 64, 16), reference, steps=2)
