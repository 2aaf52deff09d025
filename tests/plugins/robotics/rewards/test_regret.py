"""The regret model of preferences."""

import math

import numpy as np
import pytest
import torch
from tests.plugins.robotics.rewards.conftest import record
from tests.plugins.robotics.rewards.test_tabular import chain, normal, random_tasks

from prefalign.interfaces import PrefalignError, RecordError, Response
from prefalign.objectives.reward_modelling import BradleyTerry
from prefalign_robotics.rewards.regret import ExactValues, RegretReward, SuccessorValues, step_judgements
from prefalign_robotics.rewards.tabular import TabularTask, after, optimal_policy, optimal_values, policy_sum


def walk(*steps):
    """A response of (state, action) steps."""
    states, actions = np.array(steps, dtype=np.int64).T
    return Response(arrays={"observations": states[:, None], "actions": actions[:, None]})


def judged(reward, *responses):
    one = record(*responses)
    return reward(reward.codec.collate([reward.codec.encode(one)]))


def weighted(link, weight=1.0, **options):
    reward = RegretReward(chain(), link, **options)
    with torch.no_grad():
        reward.weights.fill_(weight)
    return reward


def test_judgements_by_hand():
    """V = (0.5, 1, 0) on the chain. 0 → 1 → 2 earns 1: 1 + 0 − 0.5 = 0.5. 0 → 0 → 1 earns 0: 0 + 1 − 0.5 = 0.5.
    1 → 0 → 0 earns 0: 0 + 0.5 − 1 = −0.5. Partial return sees 1, 0 and 0."""
    walks = walk((0, 1), (1, 1)), walk((0, 0), (0, 1)), walk((1, 0), (0, 0))
    for link, expected in (("regret", [0.5, 0.5, -0.5]), ("partial_return", [1.0, 0.0, 0.0])):
        reward = weighted(link)
        found = [judged(reward, one, walk((0, 0))).totals().mean[0].item() for one in walks]
        assert found == pytest.approx(expected)
    first, second = judged(weighted("regret"), walks[0], walk((0, 0))).mean[..., 0].tolist()
    assert first == pytest.approx([0.5, 0.0])  # 0 + 1 − 0.5, then 1 + 0 − 1
    assert second[0] == pytest.approx(0.0)


def test_probability_by_hand():
    """P(0 → 1 → 2 beats 1 → 0 → 0) = σ(0.5 + 0.5)."""
    reward, one = weighted("regret"), record(walk((0, 1), (1, 1)), walk((1, 0), (0, 0)))
    batch = reward.codec.collate([reward.codec.encode(one)])
    loss = BradleyTerry()(reward(batch), batch.relations).loss
    assert loss.item() == pytest.approx(math.log1p(math.exp(-1)))


def test_after_the_end_nothing_counts():
    reward = weighted("regret")
    short, long = judged(reward, walk((1, 1)), walk((1, 1), (2, 0), (2, 1))).totals().mean[:, 0].tolist()
    assert short == long == pytest.approx(0.0)


def test_without_discount_it_is_the_sum_of_advantages():
    """Σ r + V(s_T) − V(s_0) = Σ (Q* − V*) as γ → 1, for tasks that end; the two differ by (1 − γ) Σ V(s_{t+1})."""
    for discount in (0.9, 0.999):
        task = random_tasks(2, discount=discount)
        rewards = task.rewards(normal(2, 5))
        values, _ = optimal_values(task, rewards)
        advantages = rewards + discount * after(task, values) - values.unsqueeze(-1)
        states, actions = torch.arange(6).expand(2, 1, 6), torch.tensor([0, 1, 2, 0, 1, 2]).expand(2, 1, 6)
        found = step_judgements(task, normal(2, 5), values, states, actions)
        for one in range(2):
            ahead = after(task, values)[one, states[one, 0], actions[one, 0]]
            expected = advantages[one, states[one, 0], actions[one, 0]] + (1 - discount) * ahead
            torch.testing.assert_close(found[one, 0], expected)


def test_the_library_s_values_are_below_the_best_and_reach_it_with_the_best_policy():
    task, weights = random_tasks(3, discount=0.95), normal(3, 5, seed=5)
    exact, _ = optimal_values(task, task.rewards(weights))
    library = SuccessorValues.of_random_rewards(task, policies=6, seed=1)
    found = library(weights)
    assert (found <= exact + 1e-9).all()
    assert (found < exact - 1e-3).any()
    best = policy_sum(task, optimal_policy(task, task.rewards(weights)), task.features)
    extended = SuccessorValues(task, torch.cat([library.successor_features, best.unsqueeze(-3)], -3), 1e-5)
    torch.testing.assert_close(extended(weights), exact, rtol=0, atol=1e-3)
    torch.testing.assert_close(ExactValues(task)(weights), exact)


def test_a_soft_maximum_by_hand():
    """Two policies worth 1 and 3 at temperature 2: weights σ(−1) and σ(1), so 1 · 0.2689414 + 3 · 0.7310586."""
    features = torch.tensor([[[1.0]] * 3, [[3.0]] * 3], dtype=torch.float64)
    found = SuccessorValues(chain(), features, temperature=2.0)(torch.ones(1))
    assert found.tolist() == pytest.approx([2.4621172] * 3, abs=1e-7)


@pytest.mark.parametrize("kind", ["exact", "successor"])
def test_gradients(kind):
    task = random_tasks(2)
    values = ExactValues(task) if kind == "exact" else SuccessorValues.of_random_rewards(task, 4, temperature=0.5)
    states, actions = torch.randint(7, (2, 3, 4)), torch.randint(3, (2, 3, 4))
    weights = normal(2, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: step_judgements(task, w, values(w), states, actions), weights)


def ring(size=6, discount=0.9):
    """States in a ring, actions back, stay and on; entering a state shows its own feature. State 0 is the end."""
    here = torch.arange(size)
    successors = torch.stack([(here - 1) % size, here, (here + 1) % size], 1)
    features = torch.nn.functional.one_hot(successors, size).double()
    return TabularTask(successors, features, here == 0, discount)


@pytest.mark.parametrize("provider", ["exact", "successor"])
def test_learns_to_act_from_preferences_by_regret(provider):
    """Every step costs, and the end pays: who judges by regret wants the shorter way to it, from everywhere."""
    task = ring()
    truth = torch.tensor([2.0, -0.3, -0.3, -0.3, -0.3, -0.3], dtype=torch.float64)
    best, policy = optimal_values(task, task.rewards(truth))
    states, actions = (grid.flatten() for grid in torch.meshgrid(torch.arange(1, 6), torch.arange(3), indexing="ij"))
    true = step_judgements(task, truth, best, states[:, None], actions[:, None]).squeeze(1)
    pairs = [(i, j) for i in range(15) for j in range(15) if true[i] > true[j] + 1e-9]
    steps = [walk((int(s), int(a))) for s, a in zip(states, actions, strict=True)]
    reward = RegretReward(task, provider=provider)
    examples = [
        reward.codec.encode(record(steps[i], steps[j], probability=torch.sigmoid(true[i] - true[j]).item()))
        for i, j in pairs
    ]
    batch, objective = reward.codec.collate(examples), BradleyTerry()
    optimizer = torch.optim.Adam(reward.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        objective(reward(batch), batch.relations).loss.backward()
        optimizer.step()
    found = optimal_policy(task, task.rewards(reward.weights))
    achieved = policy_sum(task, found, task.rewards(truth).unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(achieved, best)
    assert policy[1] == 0
    assert policy[5] == 2


def test_saved_and_loaded(tmp_path):
    task = ring()
    task.save(tmp_path / "task.safetensors")
    reward = RegretReward(str(tmp_path / "task.safetensors"))
    with torch.no_grad():
        reward.weights.copy_(normal(6))
    reward.save_pretrained(tmp_path / "out")
    loaded = RegretReward.from_pretrained(tmp_path / "out", task)
    assert torch.equal(loaded.weights, reward.weights)
    with pytest.raises(PrefalignError, match="6 weights, and the task has 1 features"):
        RegretReward.from_pretrained(tmp_path / "out", chain())
    with pytest.raises(PrefalignError, match="no weights of a tabular reward"):
        RegretReward.from_pretrained(tmp_path, task)


BAD = {
    "no such state": (walk((3, 0)), "observations", "below 3, got 3 at step 0"),
    "no such action": (walk((0, 0), (0, 2)), "actions", "below 2, got 2 at step 1"),
    "a negative state": (walk((-1, 0)), "observations", "got -1"),
    "between states": (
        Response(arrays={"observations": np.array([[0.5]]), "actions": np.array([[0]])}),
        "observations",
        r"got 0\.5",
    ),
    "a jump": (walk((0, 0), (1, 1)), "observations", "step 0 leads to state 0, but step 1 is in state 1"),
    "back from the end": (walk((2, 0), (0, 1)), "observations", "step 0 leads to state 2"),
}


@pytest.mark.parametrize("name", BAD)
def test_walks_that_cannot_be_are_refused(name):
    response, field, message = BAD[name]
    with pytest.raises(RecordError, match=message) as caught:
        RegretReward(chain()).codec.encode(record(walk((0, 0)), response))
    assert caught.value.field == f"responses[1].arrays.{field}"


def test_what_is_refused():
    with pytest.raises(PrefalignError, match="expected one task"):
        RegretReward(random_tasks(2))
    with pytest.raises(PrefalignError, match="temperature above 0"):
        SuccessorValues(chain(), torch.zeros(1, 3, 1), 0.0)
