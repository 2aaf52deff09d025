"""The Fréchet distance against hand values, torchaudio and its own invariances."""

import math

import pytest
import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign_audio.metrics.functional.frechet import Moments, frechet_distance, per_clip_distances


def gaussian(mean: list[float], covariance: list[list[float]]) -> Moments:
    return Moments(10, torch.tensor(mean, dtype=torch.float64), torch.tensor(covariance, dtype=torch.float64))


def draw(seed: int, count: int, width: int) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_one_dimension() -> None:
    """{0, 2} has mean 1 and variance 2, {2, 6} has 4 and 8: 3² + 2 + 8 − 2√16 = 11."""
    first, second = Moments.of(torch.tensor([[0.0], [2.0]])), Moments.of(torch.tensor([[2.0], [6.0]]))
    assert (first.mean.item(), first.covariance.item()) == (1.0, 2.0)
    assert (second.mean.item(), second.covariance.item()) == (4.0, 8.0)
    assert frechet_distance(first, second).item() == pytest.approx(11)


def test_two_gaussians_that_do_not_commute() -> None:
    """C₁C₂ = [[2, 4], [1, 8]] has trace 10 and determinant 12, so Σ√λ = √(10 + 2√12); 4 + 5 − 2Σ√λ = 0.77122; and
    means 3 and 4 apart along the axes add 25."""
    first, second = gaussian([0, 0], [[2, 1], [1, 2]]), gaussian([3, 4], [[1, 0], [0, 4]])
    expected = 25 + 9 - 2 * math.sqrt(10 + 2 * math.sqrt(12))
    assert expected == pytest.approx(25.77122, abs=1e-5)
    assert frechet_distance(first, second).item() == pytest.approx(expected)
    assert frechet_distance(second, first).item() == pytest.approx(expected)


@pytest.mark.parametrize("count", [5, 200])
def test_equal_sets(count: int) -> None:
    """0 also where 5 embeddings of width 20 leave the covariance singular, and far from the origin."""
    features = 100 + draw(0, count, 20)
    assert abs(frechet_distance(Moments.of(features), Moments.of(features.flip(0))).item()) < 1e-9


def test_shift_and_rotation() -> None:
    """A shift of one set by v adds |v|² where the covariances are equal; a rotation of both changes nothing."""
    first, second = draw(1, 100, 6).double(), draw(2, 80, 6).double() * 2 + 1
    shift = torch.arange(6, dtype=torch.float64)
    assert frechet_distance(Moments.of(first), Moments.of(first + shift)).item() == pytest.approx(55)  # 1+4+9+16+25
    turn = torch.linalg.qr(draw(3, 6, 6).double()).Q
    plain, turned = (
        frechet_distance(Moments.of(a), Moments.of(b)).item()
        for a, b in ((first, second), (first @ turn, second @ turn))
    )
    assert turned == pytest.approx(plain)


@pytest.mark.oracle
def test_equals_torchaudio() -> None:
    """torchaudio takes the eigenvalues of the product as they are."""
    from torchaudio.functional import frechet_distance as theirs

    first, second = Moments.of(draw(1, 300, 32)), Moments.of(draw(2, 200, 32) * 1.5 + 0.3)
    expected = theirs(first.mean, first.covariance, second.mean, second.covariance)
    torch.testing.assert_close(frechet_distance(first, second), expected, rtol=1e-9, atol=0)


def test_moments_from_sums() -> None:
    """Added up over two parts, the same moments."""
    features = draw(0, 50, 4).double()
    whole, sums = Moments.of(features), Moments.from_sums(50, features.sum(0), features.T @ features)
    torch.testing.assert_close(sums.mean, whole.mean)
    torch.testing.assert_close(sums.covariance, whole.covariance)
    torch.testing.assert_close(whole.covariance, torch.cov(features.T))


def test_per_clip() -> None:
    """The clip that is 10 off in each of 4 dimensions stands out by 400 against itself in place."""
    frames = draw(0, 30, 4)
    reference = Moments.of(draw(1, 500, 4))
    distances = per_clip_distances([frames, frames + 10], reference)
    offset = frames.double().mean(0) - reference.mean
    assert (distances[1] - distances[0]).item() == pytest.approx(400 + 20 * offset.sum().item())
    assert distances.argmax() == 1
    assert per_clip_distances([], reference).shape == (0,)
    with pytest.raises(PrefalignError, match="clip 1: expected at least 2 embeddings"):
        per_clip_distances([frames, frames[:1]], reference)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.zeros(1, 3), "expected at least 2 embeddings to fit a Gaussian to, got 1"),
        (torch.zeros(3), r"expected embeddings of shape \(N, D\), got \(3,\)"),
        (torch.tensor([[0.0], [math.nan]]), "embedding 1 of 2 holds NaN or infinity"),
    ],
)
def test_refuses(features: Tensor, message: str) -> None:
    """Each by name."""
    with pytest.raises(PrefalignError, match=message):
        Moments.of(features)


def test_widths_differ() -> None:
    """Distances between two encoders' spaces do not exist."""
    with pytest.raises(PrefalignError, match="one width, got 2 and 3; use the same encoder"):
        frechet_distance(Moments.of(draw(0, 5, 2)), Moments.of(draw(0, 5, 3)))
