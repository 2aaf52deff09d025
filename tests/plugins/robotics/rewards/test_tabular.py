"""Exact values of small tasks."""

import pytest
import torch

from prefalign.interfaces import PrefalignError
from prefalign_robotics.rewards.tabular import TabularTask, after, optimal_policy, optimal_values, policy_sum


def chain(discount=0.5):
    """0 ⇄ 1 → 2: action 1 goes on, action 0 stays or goes back; going on from 1 earns 1, and 2 is the end."""
    features = torch.zeros(3, 2, 1, dtype=torch.float64)
    features[1, 1] = 1.0
    features[2] = 9.0  # never earned
    return TabularTask(torch.tensor([[0, 1], [0, 2], [0, 0]]), features, torch.tensor([False, False, True]), discount)


def random_tasks(tasks=4, states=7, actions=3, size=5, seed=0, discount=0.9):
    generator = torch.Generator().manual_seed(seed)
    successors = torch.randint(states, (tasks, states, actions), generator=generator)
    features = torch.randn(tasks, states, actions, size, dtype=torch.float64, generator=generator)
    absorbing = torch.zeros(tasks, states, dtype=torch.bool)
    absorbing[:, -1] = True
    return TabularTask(successors, features, absorbing, discount)


def normal(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_chain_by_hand():
    """V(2) = 0, V(1) = 1, V(0) = γ · 1 = 0.5; the end earns nothing, whatever its features and actions say."""
    task = chain()
    values, policy = optimal_values(task, task.rewards(torch.ones(1)))
    assert values.tolist() == pytest.approx([0.5, 1.0, 0.0])
    assert policy[:2].tolist() == [1, 1]
    assert after(task, values).tolist() == [[0.5, 1.0], [0.5, 0.0], [0.5, 0.5]]
    values, policy = optimal_values(task, task.rewards(-torch.ones(1)))
    assert values.tolist() == pytest.approx([0.0, 0.0, 0.0])
    assert policy[1] == 0


def test_values_are_those_of_value_iteration():
    task, weights = random_tasks(), normal(4, 5)
    rewards = task.rewards(weights)
    values, _ = optimal_values(task, rewards)
    found = torch.zeros_like(values)
    for _ in range(400):
        found = (rewards + task.discount * after(task, found)).amax(-1).masked_fill(task.absorbing, 0.0)
    torch.testing.assert_close(values, found, rtol=1e-9, atol=1e-9)


def test_many_tasks_at_once_are_each_by_itself():
    task, weights = random_tasks(), normal(4, 5)
    together, policy = optimal_values(task, task.rewards(weights))
    for one in range(4):
        alone = TabularTask(task.successors[one], task.features[one], task.absorbing[one], task.discount)
        values, _ = optimal_values(alone, alone.rewards(weights[one]), policy[one].roll(1))
        torch.testing.assert_close(values, together[one])


def test_successor_features_times_weights_are_the_policy_s_value():
    task, weights = random_tasks(), normal(4, 5)
    policy = optimal_policy(task, task.rewards(weights))
    features = policy_sum(task, policy, task.features)
    values = (features @ weights[:, :, None]).squeeze(-1)
    torch.testing.assert_close(values, optimal_values(task, task.rewards(weights))[0])


def test_a_random_policy_earns_the_mean():
    """On the chain with equal probabilities: V(1) = ½ + ¼ V(0), V(0) = ¼ (V(0) + V(1)): V(1) = 6/11, V(0) = 2/11."""
    task = chain()
    values = policy_sum(task, torch.full((3, 2), 0.5), task.features).squeeze(-1)
    assert values.tolist() == pytest.approx([2 / 11, 6 / 11, 0.0])


def test_gradients_of_optimal_values():
    task = random_tasks(2)
    weights = normal(2, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: optimal_values(task, task.rewards(w))[0], weights)


def test_equal_actions_do_not_take_turns():
    task = chain()
    assert optimal_policy(task, torch.zeros(3, 2, dtype=torch.float64), torch.tensor([1, 0, 1])).tolist() == [1, 0, 1]


def test_saved_and_loaded(tmp_path):
    task = random_tasks(1)
    task.save(tmp_path / "task.safetensors")
    found = TabularTask.load(tmp_path / "task.safetensors")
    for name in ("successors", "features", "absorbing"):
        assert torch.equal(getattr(found, name), getattr(task, name))
    assert found.discount == task.discount
    (tmp_path / "junk").write_bytes(b"junk")
    for name in ("junk", "absent"):
        with pytest.raises(PrefalignError, match="no tabular task"):
            TabularTask.load(tmp_path / name)


def test_what_is_refused():
    good = chain()
    parts = good.successors, good.features, good.absorbing
    with pytest.raises(PrefalignError, match="discount < 1, got 1"):
        TabularTask(*parts, 1.0)
    with pytest.raises(PrefalignError, match="from 0 to 2"):
        TabularTask(parts[0] + 1, *parts[1:], 0.5)
    with pytest.raises(PrefalignError, match="finite features"):
        TabularTask(parts[0], parts[1] / 0, parts[2], 0.5)
    with pytest.raises(PrefalignError, match=r"got \(3, 2\), \(3, 2, 1\), \(2,\)"):
        TabularTask(*parts[:2], parts[2][:2], 0.5)
