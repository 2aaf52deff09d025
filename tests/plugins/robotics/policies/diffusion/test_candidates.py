"""What a chunk earns is what the simulator pays for it, from where the robot stands."""

import numpy as np
import pytest
import torch

from prefalign.interfaces import PrefalignError
from prefalign_robotics.policies.diffusion.acting import Planner
from prefalign_robotics.policies.diffusion.candidates import chunk_returns, compare_candidates
from prefalign_robotics.policies.diffusion.denoiser import ActionDenoiser
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.mixture import TRAINING_INSTANCES
from prefalign_robotics.simulator.world import World

pytest.importorskip("metaworld")
SIZES = {"observation": 39, "action": 4, "horizon": 4, "width": 8, "depth": 1, "heads": 1}


def planner(candidates=3):
    denoiser = ActionDenoiser(SIZES)
    denoiser.configure_model()
    # Beyond what the simulator takes, so that clipping is seen.
    denoiser.network.set_scales(torch.zeros(2, 39), torch.tensor([[-3.0] * 4, [3.0] * 4]))
    return Planner(denoiser, candidates=candidates, seed=5)


def replayed(world, instance, prefix, chunk):
    """The same without saved states: the episode from its start."""
    world.reset(instance)
    for action in prefix:
        world.step(action)
    return sum(world.step(action)[1] for action in np.clip(chunk, -1, 1))


def test_returns_are_those_of_the_replayed_episode_and_the_world_stays_where_it_was():
    generator = np.random.default_rng(0)
    prefix, chunks = generator.uniform(-1, 1, (9, 4)), generator.uniform(-3, 3, (3, 5, 4))
    world = World("window-open")
    world.reset(4)
    for action in prefix:
        world.step(action)
    found = chunk_returns(world, chunks)
    assert chunk_returns(world, chunks[::-1]).tolist() == found[::-1].tolist()
    assert found.tolist() == [replayed(world, 4, prefix, chunk) for chunk in chunks]
    assert len(set(found)) == 3


def test_candidates_are_compared_at_every_state_of_the_policys_own_episodes():
    records = list(compare_candidates(planner(), "window-open", 3, 6, 2, seed=2, slots=2))
    assert [record.id for record in records] == [
        f"window-open-2-{row:03}-{step:03}" for rows in ((0, 1), (2,)) for step in (0, 2, 4) for row in rows
    ]
    instances = np.random.default_rng(2).integers(TRAINING_INSTANCES, size=3)
    by_name, world = {record.id: record for record in records}, World("window-open")
    for row in range(3):
        executed = []
        for step in (0, 2, 4):
            record = by_name[f"window-open-2-{row:03}-{step:03}"]
            chunks = [response.arrays["actions"] for response in record.responses]
            expected = [replayed(world, instances[row], executed, chunk) for chunk in chunks]
            assert record.verdict.rewards == pytest.approx(expected, rel=1e-6)
            assert len(set(record.verdict.rewards)) == 3
            seen = {response.arrays["condition/observation"].tobytes() for response in record.responses}
            assert len(seen) == 1
            executed += list(np.clip(chunks[0][:2], -1, 1))
    first = by_name["window-open-2-000-000"].responses[0].arrays["condition/observation"]
    assert np.array_equal(first, world.reset(instances[0]).astype(np.float32))


def test_what_cannot_be_compared_is_refused():
    def compared(*arguments, candidates=2, task="reach"):
        return next(iter(compare_candidates(planner(candidates), task, *arguments)))

    with pytest.raises(SegmentError, match="a planner of at least 2 candidates, got 1"):
        compared(candidates=1)
    for wrong in ((0, 6, 2), (1, 0, 2), (1, 497, 2), (1, 6, 0), (1, 6, 5)):
        with pytest.raises(SegmentError, match=r"reach: expected episodes of 1 to 496 steps that execute 1 to 4 of"):
            compared(*wrong)
    with pytest.raises(PrefalignError, match="did you mean 'reach'"):
        compared(1, 6, 2, task="reech")
