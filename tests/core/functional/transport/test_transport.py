"""Transport against POT, against theory, and under masks."""

import math
import warnings

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.functional.transport import gromov_cost, gromov_wasserstein, line_transport, sinkhorn, uniform_masses

DOUBLE = torch.float64


def masses(count, points, seed):
    drawn = torch.rand(count, points, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE) + 0.2
    return drawn / drawn.sum(-1, keepdim=True)


def costs(count, n, m, seed=0):
    return torch.rand(count, n, m, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def distances(count, points, dims=3, seed=0):
    cloud = torch.randn(count, points, dims, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    found = torch.cdist(cloud, cloud)
    return found / found.amax((1, 2), keepdim=True)


# Sinkhorn ------------------------------------------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize("domain", ["log", "exp"])
@pytest.mark.parametrize("epsilon", [0.02, 0.5])
@pytest.mark.parametrize("iterations", [1, 2, 25])
def test_couplings_are_pots(domain, epsilon, iterations):
    cost, a, b = costs(3, 7, 5), masses(3, 7, 1), masses(3, 5, 2)
    found = sinkhorn(cost, epsilon, a, b, iterations=iterations, domain=domain)
    for index in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # POT's, of iterations that were stopped
            expected = ot.sinkhorn(a[index], b[index], cost[index], epsilon, numItermax=iterations, stopThr=0)
        assert (found.coupling[index] - expected).abs().max() < 1e-12


def test_a_coupling_by_hand():
    """Two points each, cost 0 at home and c abroad: P_home/P_abroad = exp(c/eps), and rows sum to 1/2."""
    cost = torch.tensor([[[0.0, 2.0], [2.0, 0.0]]], dtype=DOUBLE)
    plan = sinkhorn(cost, 0.5)
    abroad = 0.5 / (1 + math.exp(4))
    assert plan.coupling[0, 0, 1].item() == pytest.approx(abroad, rel=1e-12)
    assert plan.cost.item() == pytest.approx(4 * abroad, rel=1e-12)
    home = 0.5 - abroad
    entropy = 2 * (abroad * math.log(abroad) + home * math.log(home))
    assert plan.regularised.item() == pytest.approx(4 * abroad + 0.5 * entropy, rel=1e-12)
    assert plan.marginal_error.item() < 1e-12


def test_many_small_problems_are_solved_as_each_alone():
    """Many problems take a path of their own; one alone never does."""
    generator = torch.Generator().manual_seed(0)
    cost = torch.rand(64, 5, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    a = torch.rand(64, 5, generator=generator, dtype=torch.float64) + 0.1
    b = torch.rand(64, 7, generator=generator, dtype=torch.float64) + 0.1
    a[::2, 1], b[::3, -1] = 0, 0
    a, b = a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True)
    options = {"iterations": 20, "domain": "exp", "unroll": True}
    together = sinkhorn(cost, 0.1, a, b, **options).coupling
    alone = [sinkhorn(cost[i, None], 0.1, a[i, None], b[i, None], **options).coupling for i in range(64)]
    alone = torch.cat(alone)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-14)
    assert not together[::2, 1].any()
    assert not together[::3, :, -1].any()
    weights = torch.rand(together.shape, generator=generator, dtype=torch.float64)
    gradients = [torch.autograd.grad((found * weights).sum(), cost)[0] for found in (together, alone)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)


def test_a_large_epsilon_gives_the_product():
    a, b = masses(2, 4, 1), masses(2, 6, 2)
    plan = sinkhorn(costs(2, 4, 6), 1e6, a, b)
    assert torch.allclose(plan.coupling, a[..., None] * b[..., None, :], atol=1e-6)


@pytest.mark.parametrize("domain", ["log", "exp"])
def test_a_small_epsilon_gives_the_exact_plan(domain):
    cost = costs(1, 6, 6)
    exact = ot.emd2([], [], cost[0].numpy())
    assert sinkhorn(cost, 0.002, iterations=3000, domain=domain).cost.item() == pytest.approx(exact, abs=2e-3)


@pytest.mark.parametrize("domain", ["log", "exp"])
def test_half_precision_of_floats_survives_small_epsilon(domain):
    plan = sinkhorn(costs(4, 20, 20).float(), 0.001, iterations=200, domain=domain)
    assert bool(plan.coupling.isfinite().all())
    assert plan.coupling.sum((1, 2)) == pytest.approx(1.0, abs=1e-4)


def test_an_unfinished_coupling_is_known_by_its_marginal_error():
    cost = costs(1, 8, 8)
    errors = [sinkhorn(cost, 0.01, iterations=count).marginal_error.item() for count in (1, 10, 1000)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[0] > 0.1
    first = sinkhorn(cost, 0.01, iterations=1)
    assert errors[0] == pytest.approx(
        (first.coupling.sum(-1) - 1 / 8).abs().sum().item() + (first.coupling.sum(-2) - 1 / 8).abs().sum().item()
    )


@pytest.mark.parametrize("domain", ["log", "exp"])
def test_a_tolerance_stops_when_the_worst_problem_fits(domain):
    cost = costs(2, 8, 8)
    short = sinkhorn(cost, 0.1, iterations=10_000, tolerance=1e-6, domain=domain)
    assert 1e-14 < short.marginal_error.max() < 1e-6


def test_the_gradient_is_the_coupling_where_iterations_converged():
    cost, a, b = costs(2, 4, 3).requires_grad_(), masses(2, 4, 1), masses(2, 3, 2)
    plan = sinkhorn(cost, 0.3, a, b, iterations=500)
    (gradient,) = torch.autograd.grad(plan.regularised.sum(), cost)
    assert torch.equal(gradient, plan.coupling)

    def regularised(value):
        return sinkhorn(value, 0.3, a, b, iterations=500, unroll=True).regularised

    (unrolled,) = torch.autograd.grad(regularised(cost).sum(), cost)
    assert torch.allclose(unrolled, gradient, atol=1e-10)


@pytest.mark.parametrize("domain", ["log", "exp"])
def test_unrolled_gradients_are_right(domain):
    cost = costs(2, 4, 3).requires_grad_()
    a = torch.tensor([[0.5, 0.3, 0.2, 0.0]] * 2, dtype=DOUBLE)
    assert torch.autograd.gradcheck(
        lambda value: sinkhorn(value, 0.3, a, iterations=6, domain=domain, unroll=True).coupling, cost
    )


@pytest.mark.parametrize("domain", ["log", "exp"])
def test_what_is_absent_changes_nothing(domain):
    cost = costs(1, 5, 4)
    alone = sinkhorn(cost, 0.1, iterations=7, domain=domain)
    padded = torch.full((1, 8, 6), 3.0, dtype=DOUBLE)
    padded[:, :5, :4] = cost
    a, b = (uniform_masses(torch.arange(size)[None] < present).double() for size, present in ((8, 5), (6, 4)))
    plan = sinkhorn(padded, 0.1, a, b, iterations=7, domain=domain)
    assert torch.allclose(plan.coupling[:, :5, :4], alone.coupling, atol=1e-15)
    assert plan.coupling.sum() == pytest.approx(1)
    assert torch.allclose(plan.cost, alone.cost)
    assert not plan.coupling[:, 5:].any()
    assert not plan.coupling[:, :, 4:].any()


# Gromov and Wasserstein ----------------------------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize("domain", ["log", "exp"])
@pytest.mark.parametrize("proximal", [False, True])
def test_gromov_couplings_are_pots(domain, proximal):
    source, target, a, b = distances(3, 8), distances(3, 6, seed=1), masses(3, 8, 1), masses(3, 6, 2)
    found = gromov_wasserstein(source, target, 0.02, a, b, proximal=proximal, outer=11, inner=40, domain=domain)
    for index in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, _ = ot.gromov.entropic_gromov_wasserstein(
                source[index].numpy(), target[index].numpy(), a[index].numpy(), b[index].numpy(),
                epsilon=0.02, solver="PPA" if proximal else "PGD", max_iter=11, tol=0, log=True,
                numItermax=40, stopThr=0,
            )  # fmt: skip
        assert np.abs(found.coupling[index].numpy() - expected).max() < 1e-12


@pytest.mark.oracle
def test_fused_couplings_are_pots():
    source, target, between = distances(2, 8), distances(2, 6, seed=1), costs(2, 8, 6)
    found = gromov_wasserstein(source, target, 0.05, between=between, alpha=0.3, outer=11, inner=40)
    for index in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = ot.gromov.entropic_fused_gromov_wasserstein(
                between[index].numpy(), source[index].numpy(), target[index].numpy(), epsilon=0.05, alpha=0.3,
                max_iter=11, tol=0, numItermax=40, stopThr=0, solver="PGD",
            )  # fmt: skip
        assert np.abs(found.coupling[index].numpy() - expected).max() < 1e-12
    linear = (found.coupling * between).sum((1, 2))
    squares = gromov_cost(found.coupling, source, target)
    assert torch.allclose(found.cost, 0.7 * linear + 0.3 * squares)


def test_the_cost_is_the_sum_that_defines_it():
    source, target = distances(1, 4), distances(1, 3, seed=1)
    coupling = masses(1, 12, 5).reshape(1, 4, 3)
    expected = sum(
        (source[0, i, k] - target[0, j, l]) ** 2 * coupling[0, i, j] * coupling[0, k, l]
        for i in range(4) for j in range(3) for k in range(4) for l in range(3)  # noqa: E741  # the papers' letters
    )  # fmt: skip
    assert gromov_cost(coupling, source, target).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("proximal", [False, True])
def test_a_shuffled_copy_is_recovered(proximal):
    source = distances(2, 12)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    target = source[:, order][:, :, order]
    plan = gromov_wasserstein(source, target, 0.003, proximal=proximal, outer=200)
    assert torch.equal(plan.coupling.argmax(1), order.expand(2, 12))
    if proximal:
        assert plan.cost.max() < 1e-6
        assert torch.allclose(plan.coupling.amax(1), torch.full((2, 12), 1 / 12, dtype=DOUBLE), atol=1e-3)


def test_a_set_costs_nothing_to_match_with_itself():
    source = distances(2, 10)
    start = torch.eye(10, dtype=DOUBLE).expand(2, 10, 10) / 10 + 1e-6
    plan = gromov_wasserstein(source, source, 0.001, proximal=True, start=start)
    assert plan.cost.abs().max() < 1e-8


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), epsilon=st.sampled_from([0.01, 0.05]))
def test_no_result_is_worse_than_the_product(seed, epsilon):
    source, target = distances(2, 7, seed=seed), distances(2, 9, seed=seed + 1)
    product = torch.full((2, 7, 9), 1 / 63, dtype=DOUBLE)
    plan = gromov_wasserstein(source, target, epsilon, proximal=True, outer=30)
    assert bool((plan.cost <= gromov_cost(product, source, target) + 1e-9).all())


def test_turned_and_moved_points_are_matched_alike():
    cloud = torch.randn(1, 9, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=DOUBLE)
    plans = [
        gromov_wasserstein(torch.cdist(points, points), distances(1, 9, seed=4), 0.05).coupling
        for points in (cloud, cloud @ turn + 3)
    ]
    assert torch.allclose(*plans, atol=1e-10)


@pytest.mark.parametrize("domain", ["log", "exp"])
@pytest.mark.parametrize("proximal", [False, True])
def test_absent_points_of_a_matching_change_nothing(domain, proximal):
    source, target = distances(1, 6), distances(1, 5, seed=1)
    options = {"proximal": proximal, "domain": domain, "outer": 6, "inner": 9}
    alone = gromov_wasserstein(source, target, 0.05, **options)
    wide_source, wide_target = torch.full((1, 9, 9), 2.0).double(), torch.full((1, 7, 7), 3.0).double()
    wide_source[:, :6, :6], wide_target[:, :5, :5] = source, target
    a, b = (uniform_masses(torch.arange(size)[None] < present).double() for size, present in ((9, 6), (7, 5)))
    plan = gromov_wasserstein(wide_source, wide_target, 0.05, a, b, **options)
    assert torch.allclose(plan.coupling[:, :6, :5], alone.coupling, atol=1e-12)
    assert torch.allclose(plan.cost, alone.cost)


def test_gradients_of_a_matching():
    source, target = distances(1, 4).requires_grad_(), distances(1, 3, seed=1)

    def coupling(value):
        both = (value + value.transpose(1, 2)) / 2
        return gromov_wasserstein(both, target, 0.2, outer=3, inner=4, unroll=True).coupling

    assert torch.autograd.gradcheck(coupling, source)
    plan = gromov_wasserstein(source, target, 0.2)
    (gradient,) = torch.autograd.grad(plan.cost.sum(), source)
    fixed = plan.coupling.clone()
    (expected,) = torch.autograd.grad(gromov_cost(fixed, source, target).sum(), source)
    assert torch.equal(gradient, expected)


# On a line -----------------------------------------------------------------------------------------------------------


@pytest.mark.oracle
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), power=st.sampled_from([1.0, 2.0, 3.0]))
def test_transport_on_a_line_is_pots(seed, power):
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(2, points, generator=generator, dtype=DOUBLE) for points in (5, 7))
    a, b = masses(2, 5, seed + 1), masses(2, 7, seed + 2)
    plan = line_transport(x, y, a, b, power)
    assert plan.marginal_error.max() < 1e-12
    for index in range(2):
        expected = ot.wasserstein_1d(*(v[index].numpy() for v in (x, y, a, b)), p=power)
        assert plan.cost[index].item() == pytest.approx(expected.item(), abs=1e-12)


def test_a_line_by_hand_with_absent_points_and_gradient():
    x = torch.tensor([[3.0, 0.0, 99.0]], dtype=DOUBLE, requires_grad=True)
    y = torch.tensor([[1.0, 2.0]], dtype=DOUBLE)
    plan = line_transport(x, y, torch.tensor([[0.25, 0.75, 0.0]], dtype=DOUBLE))
    assert torch.allclose(plan.coupling, torch.tensor([[[0.0, 0.25], [0.5, 0.25], [0.0, 0.0]]], dtype=DOUBLE))
    assert plan.cost.item() == pytest.approx(0.25 * 1 + 0.5 * 1 + 0.25 * 2)
    (gradient,) = torch.autograd.grad(plan.cost.sum(), x)
    assert gradient.tolist() == [[0.25, -0.75, 0.0]]


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: sinkhorn(costs(1, 2, 2), 0.0), "epsilon > 0"),
        (lambda: sinkhorn(costs(1, 2, 2)[0], 0.1), "batch of matrices"),
        (lambda: sinkhorn(costs(1, 2, 2) * math.nan, 0.1), "problem 0, row 0, column 0"),
        (lambda: sinkhorn(costs(1, 2, 2), 0.1, torch.ones(1, 2)), "sum to 1, got 2"),
        (lambda: sinkhorn(costs(1, 2, 2), 0.1, torch.ones(1, 3)), r"masses a of shape \(1, 2\)"),
        (lambda: sinkhorn(costs(1, 2, 2), 0.1, torch.tensor([[1.5, -0.5]])), "at least 0, got -0.5"),
        (lambda: gromov_wasserstein(costs(1, 3, 3), distances(1, 3), 0.1), "symmetric distances source"),
        (lambda: gromov_wasserstein(costs(1, 3, 4), distances(1, 3), 0.1), "square matrices"),
        (lambda: gromov_wasserstein(distances(2, 3), distances(1, 3), 0.1), "as many targets"),
        (lambda: gromov_wasserstein(distances(1, 3), distances(1, 3), 0.1, start=-costs(1, 3, 3)), "start of at least"),
        (lambda: gromov_wasserstein(distances(1, 3), distances(1, 3), 0.1, start=costs(1, 2, 3)), "start of shape"),
        (lambda: gromov_wasserstein(distances(1, 3), distances(1, 3), 0.1, alpha=2.0), "alpha in"),
        (lambda: line_transport(torch.zeros(1, 2), torch.zeros(2, 2)), "as many targets"),
        (lambda: line_transport(torch.zeros(1, 2), torch.zeros(1, 2), power=0.5), "power >= 1"),
        (lambda: uniform_masses(torch.tensor([[True], [False]])), "problem 1 has no points"),
    ],
)
def test_bad_input_is_named(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
