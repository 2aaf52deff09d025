"""The Fréchet distance over batches."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.metrics.frechet import FrechetDistance
from prefalign_audio.metrics.functional.extrapolation import extrapolate
from prefalign_audio.metrics.functional.frechet import Moments, frechet_distance


def draw(seed: int, count: int, width: int) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_batches_add_up() -> None:
    """In parts and interleaved, the value of the whole; the offset of 1,000 costs no digits that matter."""
    generated, reference = draw(0, 40, 5) + 1000, 2 * draw(1, 30, 5) + 1000
    metric = FrechetDistance(5)
    metric.update(generated[:7], real=False)
    metric.update(reference[:1], real=True)
    metric.update(generated[7:], real=False)
    metric.update(reference[1:], real=True)
    found = metric.compute()
    expected = frechet_distance(Moments.of(generated), Moments.of(reference))
    assert found["frechet"].item() == pytest.approx(expected.item(), rel=1e-7)
    assert found["frechet"].dtype == torch.float64
    assert (found["generated"].item(), found["reference"].item()) == (40, 30)
    assert set(found) == {"frechet", "generated", "reference"}


def test_through_an_encoder(floats: Callable[..., Any], packed: Callable[[Tensor], list[Media]]) -> None:
    """{0, 2} against {2, 6}: 11, as the formula's own test has it."""
    metric = FrechetDistance(floats(1))
    metric.update(packed(torch.tensor([[0.0], [2.0]])), real=False)
    metric.update(packed(torch.tensor([[2.0], [6.0]])), real=True)
    assert metric.compute()["frechet"].item() == pytest.approx(11)


def test_infinity() -> None:
    """The extrapolation of all generated features, with its R²."""
    generated, reference = draw(0, 60, 4), draw(1, 80, 4)
    metric = FrechetDistance(4, infinity=True, steps=10, seed=3)
    for part in generated.split(25):
        metric.update(part, real=False)
    metric.update(reference, real=True)
    found = metric.compute()
    expected = extrapolate(generated, Moments.of(reference), steps=10, seed=3)
    assert found["frechet_infinity"].item() == pytest.approx(expected.distance)
    assert found["frechet_infinity_fit"].item() == pytest.approx(expected.fit)


def test_refuses(packed: Callable[[Tensor], list[Media]]) -> None:
    """Too few, of another width, and sounds where nothing can hear them; the side is named."""
    metric = FrechetDistance(2)
    metric.update(torch.zeros(3, 2), real=True)
    with pytest.raises(PrefalignError, match=r"generated sounds: expected at least 2 embeddings .* got 0"):
        metric.compute()
    with pytest.raises(PrefalignError, match=r"expected embeddings of shape \(N, 2\), got \(3, 3\)"):
        metric.update(torch.zeros(3, 3), real=False)
    with pytest.raises(PrefalignError, match=r"without an encoder, expected features of shape \(N, 2\)"):
        metric.update(packed(torch.zeros(1, 2)), real=False)
