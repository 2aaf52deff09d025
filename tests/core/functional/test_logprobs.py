"""The chunked primitive against the plain path."""

import math

import pytest
import torch
from torch import nn

from prefalign.functional.logprobs import gathered_logps, token_logps


def problem(dtype=torch.float64, tokens=13, width=6, vocabulary=17):
    torch.manual_seed(0)
    hidden = torch.randn(tokens, width, dtype=dtype, requires_grad=True)
    head = nn.Linear(width, vocabulary).to(dtype)
    return hidden, head, torch.randint(vocabulary, (tokens,))


def test_uniform_logits_give_minus_log_vocabulary():
    """Equal logits over 8 tokens: log(1/8) = -2.0794415416798357."""
    found = gathered_logps(torch.zeros(3, 8, dtype=torch.float64), torch.tensor([0, 3, 7]))
    assert found.tolist() == pytest.approx([-2.0794415416798357] * 3, abs=1e-15)


@pytest.mark.parametrize("chunk_size", [1, 4, 13, 100])
def test_equals_the_plain_path_in_value_and_gradient(chunk_size):
    hidden, head, targets = problem()
    weights = torch.randn(13, dtype=torch.float64)
    plain = gathered_logps(head(hidden), targets)
    expected = torch.autograd.grad((plain * weights).sum(), [hidden, *head.parameters()])
    chunked = token_logps(hidden, head, targets, chunk_size=chunk_size).logps
    found = torch.autograd.grad((chunked * weights).sum(), [hidden, *head.parameters()])
    torch.testing.assert_close(chunked, plain, rtol=0, atol=1e-14)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-13)


def test_gradcheck():
    hidden, head, targets = problem(tokens=4)
    assert torch.autograd.gradcheck(lambda h: token_logps(h, head, targets, chunk_size=3).logps, [hidden])


def test_bfloat16_logits_are_normalised_in_float32():
    hidden, head, targets = problem(torch.bfloat16, vocabulary=4096)
    found = token_logps(hidden, head, targets, chunk_size=5).logps
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, head(hidden).float().log_softmax(-1)[torch.arange(13), targets])


def test_statistics_of_a_known_distribution():
    """p = (1/2, 1/4, 1/4): sum of squares 3/8, entropy 1.5 log 2."""
    head = nn.Identity()
    hidden = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64).log()
    found = token_logps(hidden, head, torch.tensor([1]), statistics=True)
    assert found.logps.item() == pytest.approx(math.log(0.25))
    assert found.collision.item() == pytest.approx(math.log(3 / 8), abs=1e-6)
    assert found.entropy.item() == pytest.approx(1.5 * math.log(2), abs=1e-6)


def test_no_tokens_still_belong_to_the_graph():
    hidden, head, targets = problem(torch.float32)
    found = token_logps(hidden[:0], head, targets[:0], statistics=True)
    assert found.logps.shape == (0,)
    found.logps.sum().backward()


def test_the_full_matrix_never_exists():
    """Neither pass may hold more rows of logits than the chunk."""
    hidden, head, targets = problem(tokens=64)
    seen = []

    def watched(rows):
        seen.append(rows.shape[0])
        return head(rows)

    token_logps(hidden, watched, targets, chunk_size=16).logps.sum().backward()
    assert max(seen) == 16
    assert len(seen) == 8  # four chunks, each once forward and once again for its backward pass


def test_row_counts_must_match():
    hidden, head, targets = problem()
    with pytest.raises(ValueError, match="as many targets as hidden states"):
        token_logps(hidden, head, targets[:-1])
