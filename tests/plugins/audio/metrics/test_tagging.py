"""Tags over batches."""

import math

import pytest
import torch

from prefalign.interfaces import PrefalignError
from prefalign_audio.metrics.functional.tagging import inception_score
from prefalign_audio.metrics.tagging import InceptionScore, TaggerKL

NINE = math.log(9)


def test_kl_names_its_dialect() -> None:
    """The values of the formula's test, 0.51083 and (nearly) 0 and 0.51083 again, averaged over batches."""
    metric = TaggerKL(2)
    half, sure = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.9, 0.1]]).log()
    metric.update(sure, half)
    metric.update(torch.cat([half, sure]), torch.cat([half, half]))
    found = metric.compute()
    assert found["kl_softmax"].item() == pytest.approx(2 * 0.510826 / 3, abs=5e-6)
    assert set(found) == {"kl_softmax", "clips"}
    assert found["clips"] == 3
    sigmoid = TaggerKL(1, "sigmoid")
    sigmoid.update(torch.tensor([[NINE]]), torch.zeros(1, 1))
    assert sigmoid.compute()["kl_sigmoid"].item() == pytest.approx(-0.293893, abs=3e-6)


def test_kl_refuses() -> None:
    """A misspelt dialect at once; unequal numbers of clips when they come."""
    with pytest.raises(PrefalignError, match="'softmax' or 'sigmoid', got 'Softmax'"):
        TaggerKL(2, "Softmax")  # type: ignore[arg-type]
    with pytest.raises(PrefalignError, match=r"\(2, 2\) and \(3, 2\)"):
        TaggerKL(2).update(torch.zeros(2, 2), torch.zeros(3, 2))


def test_inception_score() -> None:
    """One split needs no shuffle: ten sure clips of two classes give 2. More splits depend on the seed alone."""
    sure = torch.tensor([[50.0, 0.0], [0.0, 50.0]] * 5)
    metric = InceptionScore(2, splits=1)
    metric.update(sure[:3])
    metric.update(sure[3:])
    found = metric.compute()
    assert found["inception_score"].item() == pytest.approx(2)
    assert found["inception_score_sd"].item() == 0
    assert found["clips"] == 10


def test_inception_score_depends_on_the_set_and_the_seed() -> None:
    """Not on the order in which the clips came, which processes decide."""
    logits = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)) * 3

    def score(logits: torch.Tensor, seed: int) -> float:
        metric = InceptionScore(5, splits=4, seed=seed)
        metric.update(logits)
        return metric.compute()["inception_score"].item()

    assert score(logits, 1) == pytest.approx(score(logits.flip(0), 1), abs=1e-12)
    assert score(logits, 1) != pytest.approx(score(logits, 2), abs=1e-6)
    assert score(logits, 1) == pytest.approx(inception_score(logits, 4)[0].item(), rel=0.2)


def test_inception_score_refuses() -> None:
    """Ten splits of three clips."""
    metric = InceptionScore(2)
    metric.update(torch.zeros(3, 2))
    with pytest.raises(PrefalignError, match="as many as the 3 clips, got 10"):
        metric.compute()
