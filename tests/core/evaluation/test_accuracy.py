"""Pair accuracy by hand."""

import math
import pickle

import pytest
import torch

from prefalign.evaluation.accuracy import PairAccuracy, pair_accuracy
from prefalign.interfaces import PrefalignError


def plain(values):
    return {name: value.item() for name, value in values.items()}


def test_the_share_of_pairs_ranked_as_judged():
    """Two of four right, one equal: (2 + 1/2) / 4."""
    assert pair_accuracy(torch.tensor([2.0, 0.1, 0.0, -3.0])).item() == 0.625
    assert pair_accuracy(torch.zeros(7)).item() == 0.5
    assert pair_accuracy(torch.tensor([])).isnan()
    assert pair_accuracy(torch.tensor([1e-7, 1e-7], dtype=torch.bfloat16)).item() == 1


def test_subsets_over_batches():
    """a: 1 of 2 right; b: 3 of 3; the pair of no subset is wrong. All: 4 of 6. Macro: (1/2 + 1) / 2. c has none."""
    metric = PairAccuracy(subsets=["a", "b", "c"])
    metric.update(torch.tensor([1.0, -1.0, 2.0]), ["a", "a", "b"])
    metric.update(torch.tensor([1.0, 3.0, -1.0]), ["b", "b", None])
    found = plain(metric.compute())
    assert math.isnan(found.pop("c"))
    assert found == pytest.approx({"accuracy": 4 / 6, "coverage": 1, "macro_accuracy": 0.75, "a": 0.5, "b": 1})
    metric.reset()
    metric.update(torch.tensor([-1.0]))
    assert metric.compute()["accuracy"] == 0


def test_pairs_that_could_not_be_judged_are_no_mistakes():
    """Of four pairs two could be judged, both rightly."""
    metric = PairAccuracy()
    metric.update(torch.tensor([1.0, float("nan"), -1.0, 2.0]), valid=torch.tensor([True, False, False, True]))
    assert plain(metric.compute()) == {"accuracy": 1.0, "coverage": 0.5}


def test_counts_add_up_over_processes():
    """What torchmetrics does after a sync: states summed."""
    parts = [PairAccuracy(["a"]), PairAccuracy(["a"])]
    parts[0].update(torch.tensor([1.0]), ["a"])
    parts[1].update(torch.tensor([-1.0, -1.0, 1.0]), ["a", "a", None])
    whole = pickle.loads(pickle.dumps(parts[0]))
    for name, how in whole._reductions.items():
        setattr(whole, name, how(torch.stack([getattr(part, name) for part in parts])))
    assert plain(whole.compute()) == pytest.approx(
        {"accuracy": 0.5, "coverage": 1, "macro_accuracy": 1 / 3, "a": 1 / 3}
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subsets": ["helpfull"]}, "did you mean 'helpful'"),
        ({"subsets": ["helpful", "helpful"]}, "1 margins with 2 subsets"),
        ({"valid": torch.tensor([True, True])}, "2 valid flags"),
        ({"margins": torch.tensor([float("nan")])}, "margin is NaN"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    metric = PairAccuracy(subsets=["helpful"])
    with pytest.raises(PrefalignError, match=message):
        metric.update(**{"margins": torch.tensor([1.0]), **arguments})


def test_subsets_have_names_of_their_own():
    for names in (["accuracy"], ["a", "a"]):
        with pytest.raises(PrefalignError, match="names of their own"):
            PairAccuracy(subsets=names)
