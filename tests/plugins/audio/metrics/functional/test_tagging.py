"""KL of tags and the Inception Score by hand."""

import math

import pytest
import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign_audio.metrics.functional.tagging import inception_score, tag_divergences

NINE = math.log(9)  # the logit of 0.9


def test_softmax_by_hand() -> None:
    """q = (½, ½), p = (0.9, 0.1): ½ ln(5/9) + ½ ln 5 = 0.51083; equal clips give 0 but for the 10⁻⁶."""
    generated, reference = torch.tensor([[0.9, 0.1], [0.5, 0.5]]).log(), torch.tensor([[0.5, 0.5]] * 2).log()
    found = tag_divergences(generated, reference, "softmax")
    assert found.tolist() == pytest.approx([0.510826, -2e-6], abs=6e-6)
    assert found[1].item() == pytest.approx(-2e-6, rel=1e-3)


def test_sigmoid_by_hand() -> None:
    """q = ½, p = 0.9: ½ ln(5/9) = −0.29389, negative as the docstring says; two tags add: −0.29389 + ½ ln 5."""
    one = tag_divergences(torch.tensor([[NINE]]), torch.zeros(1, 1), "sigmoid")
    two = tag_divergences(torch.tensor([[NINE, -NINE]]), torch.zeros(1, 2), "sigmoid")
    assert one.item() == pytest.approx(-0.293893, abs=3e-6)
    assert two.item() == pytest.approx(0.510826, abs=6e-6)


def test_direction() -> None:
    """Missing what the reference holds costs the logarithm of the epsilon; q = (1, 0) against p = (0, 1): 6 ln 10."""
    sure = torch.tensor([[0.0, -torch.inf]])
    assert tag_divergences(sure.flip(1), sure, "softmax").item() == pytest.approx(6 * math.log(10))


@pytest.mark.oracle
@pytest.mark.parametrize("dialect", ["softmax", "sigmoid"])
def test_equals_torch(dialect: str) -> None:
    """The published figures are torch's kl_div of log(p + 10⁻⁶) and q."""
    generator = torch.Generator().manual_seed(0)
    generated, reference = (torch.randn(5, 7, generator=generator).double() for _ in range(2))
    p, q = (getattr(x, dialect)(**({"dim": 1} if dialect == "softmax" else {})) for x in (generated, reference))
    expected = torch.nn.functional.kl_div((p + 1e-6).log(), q, reduction="none").sum(1)
    torch.testing.assert_close(tag_divergences(generated, reference, dialect), expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("generated", "reference", "dialect", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(3, 3), "softmax", r"got \(2, 3\) and \(3, 3\)"),
        (torch.zeros(3), torch.zeros(3), "softmax", r"shape \(N, K\)"),
        (torch.zeros(2, 3), torch.zeros(2, 3), "sigmod", "expected the dialect 'softmax' or 'sigmoid', got 'sigmod'"),
    ],
)
def test_divergences_refuse(generated: Tensor, reference: Tensor, dialect: str, message: str) -> None:
    """Shapes and the dialect's name."""
    with pytest.raises(PrefalignError, match=message):
        tag_divergences(generated, reference, dialect)  # type: ignore[arg-type]


def test_inception_score_by_hand() -> None:
    """Split 1: two clips sure of the same class, exp 0 = 1. Split 2: of two classes, exp ln 2 = 2. Mean 1.5, sd 0.5."""
    sure = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).log()
    mean, spread = inception_score(sure, splits=2)
    assert (mean.item(), spread.item()) == pytest.approx((1.5, 0.5))


def test_inception_score_of_unsure_clips() -> None:
    """p = (¾, ¼) and (¼, ¾), p̄ = ½: KL = ¾ ln 1.5 + ¼ ln 0.5 = 0.13081, its exp 1.13975; equal clips give 1."""
    mean, spread = inception_score(torch.tensor([[0.75, 0.25], [0.25, 0.75]]).log(), splits=1)
    assert (mean.item(), spread.item()) == pytest.approx((math.exp(0.75 * math.log(1.5) + 0.25 * math.log(0.5)), 0))
    assert inception_score(torch.ones(6, 5), splits=3)[0].item() == pytest.approx(1)


def test_splits_cover_all_clips() -> None:
    """7 clips in 3 parts: 2, 2 and 3 of them, of which the last holds three classes and the others one."""
    logits = torch.full((7, 3), -torch.inf)
    logits[range(7), [0, 0, 1, 1, 0, 1, 2]] = 0
    assert inception_score(logits, splits=3)[0].item() == pytest.approx((1 + 1 + 3) / 3)


@pytest.mark.parametrize("splits", [0, 4])
def test_splits_refused(splits: int) -> None:
    """No part may be empty."""
    with pytest.raises(PrefalignError, match=f"as many as the 3 clips, got {splits}"):
        inception_score(torch.zeros(3, 2), splits)
