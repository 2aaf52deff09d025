"""Plans by hand, gradients against finite differences, and what does not count."""

import math

import pytest
import torch

from prefalign.functional.transport import sinkhorn
from prefalign_robotics.rewards.alignment.transport import align

ONE, TWO = [1.0, 0.0], [0.0, 1.0]
DIAGONAL = [2.0, 2.0]


def aligned(first, second, epsilon=1.0, iterations=500, **masks):
    first, second = (torch.as_tensor(one, dtype=torch.float64) for one in (first, second))
    first_mask = masks.get("first_mask", torch.ones(first.shape[:2], dtype=torch.bool))
    second_mask = masks.get("second_mask", torch.ones(second.shape[:2], dtype=torch.bool))
    return align(first, second, first_mask, second_mask, epsilon=epsilon, iterations=iterations, tolerance=1e-13)


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("epsilon", [0.2, 1.0, 5.0])
def test_two_steps_against_the_same_two_by_hand(epsilon):
    """C = [[0, 1], [1, 0]] has the plan [[p, 1/2 − p], [1/2 − p, p]] with p / (1/2 − p) = exp(1/ε).

    So p = σ(1/ε)/2, each step pays 1/2 − p, and R = −σ(−1/ε): −0.2689 at ε = 1, although both are the same.
    """
    found = aligned([[ONE, TWO]], [[ONE, TWO]], epsilon)
    each = -0.5 / (1 + math.exp(1 / epsilon))
    assert found.rewards[0].tolist() == pytest.approx([each, each], abs=1e-12)
    assert found.converged.tolist() == found.defined.tolist() == [True]


def test_steps_are_charged_with_their_own_row():
    """Against one place, e1 twice, every plan is 1/4 everywhere: e1 pays nothing, e2 pays 1/2, −e1 pays 1.

    In the opposite direction the sum is the same, and every step of the second pays half of it.
    """
    third = [-1.0, 0.0]
    assert aligned([[ONE, TWO]], [[ONE, ONE]]).rewards[0].tolist() == pytest.approx([0, -0.5])
    assert aligned([[third, TWO]], [[ONE, ONE]]).rewards[0].tolist() == pytest.approx([-1, -0.5])
    assert aligned([[ONE, ONE]], [[ONE, TWO]]).rewards[0].tolist() == pytest.approx([-0.25, -0.25])


def test_weights_are_equal_within_each_trajectory_of_its_own_length():
    """Two steps against one: each gives its half, e1 to the diagonal at 1 − 1/√2."""
    found = aligned([[ONE, TWO]], [[DIAGONAL]])
    assert found.rewards[0].tolist() == pytest.approx([-(1 - math.sqrt(0.5)) / 2] * 2)


def test_lengths_of_embeddings_do_not_count():
    first, second = drawn(3, 5, 4), drawn(3, 6, 4, seed=1)
    scaled = first * torch.linspace(0.1, 9, 5, dtype=torch.float64)[:, None]
    torch.testing.assert_close(aligned(scaled, second).rewards, aligned(first, second).rewards)


def test_the_same_trajectory_costs_nothing_where_epsilon_is_small_in_any_order():
    """Order in time plays no part: backwards is as good. At ε = 1 the plan is too blurred to see either."""
    steps = drawn(2, 12, 6)
    for other in (steps, steps.flip(1), steps[:, torch.randperm(12, generator=torch.Generator().manual_seed(0))]):
        assert aligned(steps, other, 0.005, 2000).rewards.sum(-1).min() > -1e-3
    assert aligned(steps, steps, 1.0).rewards.sum(-1).max() < -0.2


@pytest.mark.parametrize("epsilon", [0.3, 1.0])
def test_gradients_run_through_the_plan(epsilon):
    """Against finite differences, ragged; a plan held constant has another gradient."""
    first, second = drawn(2, 3, 2).requires_grad_(), drawn(2, 4, 2, seed=1).requires_grad_()
    masks = {
        "first_mask": torch.tensor([[True] * 3, [True] * 2 + [False]]),
        "second_mask": torch.tensor([[True] * 4, [True] * 2 + [False] * 2]),
    }
    weights = drawn(2, 3, seed=2)
    assert torch.autograd.gradcheck(
        lambda a, b: (aligned(a, b, epsilon, 2000, **masks).rewards * weights).sum(-1), (first, second)
    )
    aligned(first, second, epsilon, **masks).rewards.sum().backward()
    assert first.grad[1, 2].tolist() == [0, 0]
    assert (second.grad[1, 2:] == 0).all()


def test_gradients_stay_finite_in_float32_with_padding():
    first, second = drawn(2, 4, 3).float().requires_grad_(), drawn(2, 5, 3, seed=1).float()
    mask = torch.tensor([[True] * 4, [True, False, False, False]])
    found = align(first, second, mask, torch.ones(2, 5, dtype=torch.bool), epsilon=0.01, iterations=200, tolerance=0)
    found.rewards.sum().backward()
    assert first.grad.isfinite().all()
    assert first.grad[0].abs().sum() > 0


def test_what_stands_beyond_the_end_changes_nothing():
    first, second = drawn(1, 4, 3), drawn(1, 5, 3, seed=1)
    alone = aligned(first, second).rewards
    padded, others = torch.full((1, 7, 3), 1e6, dtype=torch.float64), torch.zeros(1, 9, 3, dtype=torch.float64)
    padded[:, :4], others[:, :5] = first, second
    found = aligned(padded, others, first_mask=torch.arange(7)[None] < 4, second_mask=torch.arange(9)[None] < 5)
    torch.testing.assert_close(found.rewards[:, :4], alone, rtol=1e-10, atol=1e-12)
    assert (found.rewards[:, 4:] == 0).all()
    assert found.defined.tolist() == [True]


@pytest.mark.parametrize("side", [0, 1])
def test_a_step_without_direction_is_said_to_have_none_and_breaks_no_gradient(side):
    pair = [drawn(2, 3, 2).requires_grad_(), drawn(2, 3, 2, seed=1)]
    pair[side] = pair[side].detach().clone()
    pair[side][1, 2] = 0
    pair[side].requires_grad_()
    found = aligned(*pair)
    assert found.defined.tolist() == [True, False]
    found.rewards.sum().backward()
    assert pair[side].grad.isfinite().all()


def test_plans_that_were_stopped_early_are_known():
    first, second = drawn(2, 20, 3), drawn(2, 30, 3, seed=1)
    assert not aligned(first, second, 0.002, 2).converged.any()
    assert aligned(first, second, 0.05, 1000).converged.all()


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_gradients_are_those_of_unrolled_iterations(epsilon):
    """The core's own Sinkhorn, differentiated through a thousand of its iterations."""
    first, second = drawn(3, 6, 4).requires_grad_(), drawn(3, 7, 4, seed=1)
    mask = torch.arange(6) < torch.tensor([[6], [4], [1]])
    weights = drawn(3, 6, seed=2)
    found = aligned(first, second, epsilon, 1000, first_mask=mask).rewards
    (slope,) = torch.autograd.grad((found * weights).sum(), first)
    cost = 1 - torch.nn.functional.normalize(first, dim=-1) @ torch.nn.functional.normalize(second, dim=-1).mT
    masses = mask / mask.sum(-1, keepdim=True)
    plan = sinkhorn(cost, epsilon, masses.double(), iterations=1000, unroll=True).coupling
    (unrolled,) = torch.autograd.grad((-(plan * cost).sum(-1) * weights).sum(), first)
    torch.testing.assert_close(slope, unrolled, rtol=1e-6, atol=1e-9)


def test_gradients_of_a_plan_that_is_a_permutation_are_those_of_its_costs():
    """So sharp a plan does not move: of r_t = −(1 − cos) / n for the one partner of each step, nothing else is left."""
    first = torch.eye(4, dtype=torch.float64) + 0.1
    second = first[[2, 0, 3, 1]] + 0.05 * drawn(4, 4)
    first.requires_grad_()
    (slope,) = torch.autograd.grad(aligned(first[None], second[None], 0.002, 5000).rewards.sum(), first)
    partners = second[[1, 3, 0, 2]]
    cosines = torch.nn.functional.cosine_similarity(first, partners, dim=-1)
    (expected,) = torch.autograd.grad((cosines / 4).sum(), first)
    torch.testing.assert_close(slope, expected, rtol=1e-6, atol=1e-9)
