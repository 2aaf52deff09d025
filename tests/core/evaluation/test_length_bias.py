"""The length probe on judges of known bias."""

import pytest
import torch

from prefalign.evaluation.length_bias import length_bias
from prefalign.interfaces import PrefalignError


def test_by_hand():
    """Five pairs differ in length, three with the longer one chosen.

    Longer chosen: right, right, equal: 2.5 of 3. Shorter chosen: right, wrong: 1 of 2. The judge prefers the longer one
    in 2.5 of the first three and in the wrong one of the last two: 3.5 of 5.
    """
    margins = torch.tensor([1.0, 2.0, 0.0, 1.0, -1.0, -5.0])
    found = length_bias(margins, torch.tensor([3, 1, 4, -2, -6, 0]))
    assert found.pairs == 5
    assert found.people_prefer_longer == pytest.approx(3 / 5)
    assert found.judge_prefers_longer == pytest.approx(3.5 / 5)
    assert found.accuracy_longer == pytest.approx(2.5 / 3)
    assert found.accuracy_shorter == pytest.approx(0.5)


def test_a_judge_that_counts_words_is_found_out():
    differences = torch.tensor([5.0, 2.0, -3.0, -1.0, 4.0])
    found = length_bias(differences * 0.1, differences)
    assert (found.judge_prefers_longer, found.accuracy_longer, found.accuracy_shorter) == (1, 1, 0)
    assert found.people_prefer_longer == pytest.approx(0.6)


def test_bad_input_is_refused():
    with pytest.raises(PrefalignError, match="differ"):
        length_bias(torch.zeros(2), torch.zeros(3))
    with pytest.raises(PrefalignError, match="NaN"):
        length_bias(torch.tensor([float("nan")]), torch.ones(1))
    assert length_bias(torch.zeros(2), torch.zeros(2)).pairs == 0
