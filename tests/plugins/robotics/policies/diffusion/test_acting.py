"""Chunks are planned, ordered, executed in part, and forgotten when an episode begins."""

import numpy as np
import pytest
import torch

from prefalign.interfaces import PrefalignError
from prefalign_robotics.policies.diffusion.acting import ChunkPolicy, Planner
from prefalign_robotics.simulator.rollouts import Remembering, roll_out


class Counting:
    """A planner whose k-th plan for an observation starting with x is x + k/10, plus one hundredth a step."""

    def __init__(self, denoiser):
        self.denoiser, self.asked = denoiser, []

    def __call__(self, observations):
        self.asked.append(observations[:, 0].tolist())
        steps = torch.arange(4)[None, None, :, None] / 100
        start = torch.from_numpy(observations[:, :1]).float() + len(self.asked) / 10
        return (start[:, None, :, None] + steps).expand(-1, 2, -1, 3)


def seen(*values):
    return np.array([[value, 0, 0, 0, 0] for value in values], np.float32)


def test_a_chunk_is_executed_in_part_and_then_planned_anew(small):
    planner = Counting(small())
    policy = ChunkPolicy(planner, 2)
    acted = [policy(seen(step, 10 + step))[:, 0].tolist() for step in range(5)]
    # Plans 1, 2, 3 are made at steps 0, 2, 4, and followed for two steps each.
    expected = [[0.1, 10.1], [0.11, 10.11], [2.2, 12.2], [2.21, 12.21], [4.3, 14.3]]
    assert np.array(acted) == pytest.approx(np.array(expected), abs=1e-5)
    assert planner.asked == [[0, 10], [2, 12], [4, 14]]


def test_a_slot_whose_episode_begins_is_planned_anew_and_others_go_on(small):
    planner = Counting(small())
    policy = ChunkPolicy(planner, 3)
    policy(seen(0, 10, 20))
    policy.reset([1])
    assert policy(seen(1, 11, 21))[:, 0].tolist() == pytest.approx([0.11, 11.2, 20.11], abs=1e-5)
    policy(seen(2, 12, 22))
    assert policy(seen(3, 13, 23))[:, 0].tolist() == pytest.approx([3.3, 11.22, 23.3], abs=1e-5)
    assert planner.asked == [[0, 10, 20], [11], [3, 23]]
    policy.reset(range(2))
    assert policy(seen(5, 15)).shape == (2, 3)
    assert planner.asked[-1] == [5, 15]


def test_half_a_chunk_is_executed_unless_told(small):
    assert ChunkPolicy(Planner(small())).execute == 2
    for wrong in (0, 5, -1):
        with pytest.raises(PrefalignError, match=f"execute 1 to 4 actions of each chunk, got {wrong}"):
            ChunkPolicy(Planner(small()), wrong)


def test_candidates_are_actions_of_the_robot_and_differ(small, observations):
    denoiser = small()
    denoiser.network.set_scales(torch.from_numpy(observations), torch.tensor([[-1.0, 2, -3], [1, 5, 0]]))
    planner = Planner(denoiser, candidates=6, seed=3)
    found = planner.propose(observations)
    assert found.shape == (3, 6, 4, 3)
    low, high = found.amin((0, 1, 2)), found.amax((0, 1, 2))
    assert bool((low >= torch.tensor([-1.0, 2, -3])).all())
    assert bool((high <= torch.tensor([1.0, 5, 0])).all())
    assert found.std(1).mean() > 1e-3
    assert torch.equal(Planner(denoiser, candidates=6, seed=3).propose(observations), found)
    assert not torch.equal(planner.propose(observations), found)
    with pytest.raises(PrefalignError, match="at least one candidate, got 0"):
        Planner(denoiser, candidates=0)


def test_each_state_has_its_own_candidates(small, observations):
    """Row b of the candidates answers observation b: alone, with the same noise, it gets the same."""
    denoiser = small()
    together = Planner(denoiser, candidates=2, seed=0).propose(observations)
    noise = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0))
    planner = Planner(denoiser, candidates=2)
    for row in range(3):
        condition = denoiser.observed(observations[row : row + 1])
        alone = planner.policy.generate(noise[2 * row : 2 * row + 2], condition, 2, 10, 1.0)
        assert torch.allclose(denoiser.actions(alone), together[row], atol=1e-5)


def test_the_judge_decides_the_order(small, observations):
    asked = []

    def judge(seen, actions):
        asked.append((seen, actions))
        return actions[..., 0].sum(-1)

    found = Planner(small(), judge, candidates=5, seed=1)(observations)
    assert asked[0][0] is observations
    assert asked[0][1].shape == (3, 5, 4, 3)
    sums = found[..., 0].sum(-1)
    assert torch.equal(sums, sums.sort(-1, descending=True)[0])
    drawn = Planner(small(), None, candidates=5, seed=1)(observations)
    assert torch.equal(asked[0][1], drawn)
    # Whole chunks are moved, not numbers.
    for row in range(3):
        assert {tuple(c.flatten().tolist()) for c in found[row]} == {tuple(c.flatten().tolist()) for c in drawn[row]}


def test_rollouts_tell_it_when_episodes_begin():
    pytest.importorskip("metaworld")
    from prefalign_robotics.policies.diffusion.denoiser import ActionDenoiser

    sizes = {"observation": 39, "action": 4, "horizon": 4, "width": 8, "depth": 1, "heads": 1}
    policy = ChunkPolicy(Planner(ActionDenoiser(sizes)), 4)
    assert isinstance(policy, Remembering)
    asked, plan = [], policy.planner.__call__
    policy.planner = lambda observations: asked.append(observations) or plan(observations)
    found = roll_out(policy, "reach", 3, 6, slots=2)
    assert [len(rows) for rows in asked] == [2, 2, 1, 1]
    starts = found.observations[:, 0]
    assert np.array_equal(np.concatenate([asked[0], asked[2]]), starts)
