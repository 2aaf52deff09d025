"""The algebra of carried-over labels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign_robotics.transfer.preferences import literal, preference_matrix, transferred

DOUBLE = torch.float64


def test_a_uniform_coupling_turns_the_literal_sum_of_certainty_into_a_ninth():
    """The objection of a reviewer of PEARL; with normalised mixtures a certain answer stays certain."""
    certain = torch.ones(3, 3, dtype=DOUBLE)
    uniform = torch.eye(3, dtype=DOUBLE) / 3
    assert literal(uniform, certain)[0, 1].item() == pytest.approx(1 / 9)
    margins = transferred(uniform, certain - 0.5, torch.ones(3, 3, dtype=DOUBLE))
    assert margins[0, 1].item() == pytest.approx(0.5)


def test_labels_become_an_antisymmetric_matrix():
    pairs = torch.tensor([[0, 1], [2, 0], [0, 1]])
    signed, observed = preference_matrix(pairs, torch.tensor([1.0, 0.25, 0.5], dtype=DOUBLE), 3)
    assert signed.tolist() == [[0, 0.5, 0.25], [-0.5, 0, 0], [-0.25, 0, 0]]
    assert observed.tolist() == [[0, 2, 1], [2, 0, 0], [1, 0, 0]]


def test_a_permutation_carries_labels_over_as_they_are():
    pairs, labels = torch.tensor([[0, 1], [1, 2], [0, 2]]), torch.tensor([1.0, 0.0, 0.7], dtype=DOUBLE)
    signed, observed = preference_matrix(pairs, labels, 3)
    coupling = torch.eye(3, dtype=DOUBLE)[[2, 0, 1]].T / 3  # target j is source order[j]
    margins = transferred(coupling, signed, observed)
    order = [2, 0, 1]
    for (first, second), label in zip(pairs.tolist(), labels.tolist(), strict=True):
        assert margins[order.index(first), order.index(second)].item() == pytest.approx(label - 0.5)
    assert margins.diagonal().isnan().all()  # nobody compared a segment with itself


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_answers_are_probabilities_and_the_other_way_round_is_the_complement(seed):
    generator = torch.Generator().manual_seed(seed)
    coupling = torch.rand(5, 4, generator=generator, dtype=DOUBLE)
    pairs = torch.tensor([[0, 1], [1, 2], [3, 4], [2, 4]])
    signed, observed = preference_matrix(pairs, torch.rand(6, 4, generator=generator, dtype=DOUBLE), 5)
    margins = transferred(coupling, signed, observed)
    assert margins.shape == (6, 4, 4)
    assert margins.abs().max() <= 0.5 + 1e-12
    assert torch.allclose(margins, -margins.transpose(1, 2))


def test_two_pairs_by_hand():
    """Target 0 is all source 0; target 1 is half source 1, half source 2: a mean of labels 1 and 0.2."""
    coupling = torch.tensor([[0.5, 0.0], [0.0, 0.25], [0.0, 0.25]], dtype=DOUBLE)
    signed, observed = preference_matrix(torch.tensor([[0, 1], [0, 2]]), torch.tensor([1.0, 0.2], dtype=DOUBLE), 3)
    assert transferred(coupling, signed, observed)[0, 1].item() == pytest.approx(0.6 - 0.5)
