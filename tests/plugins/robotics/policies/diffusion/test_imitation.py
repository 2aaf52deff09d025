"""Imitation learns what was done where, and keeps two ways of doing it apart."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from prefalign_robotics.policies.diffusion.acting import Planner
from prefalign_robotics.policies.diffusion.imitation import ImitationSettings, chunks, imitate
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.episodes import Episodes

QUICK = ImitationSettings(steps=250, batch=64, learning_rate=5e-3)


def episodes(count=40, steps=12, seed=0):
    """The first action is the first observation's sign, halved; the second is 0.8 or −0.8, by chance for a whole
    episode."""
    generator = np.random.default_rng(seed)
    observations = np.repeat(generator.standard_normal((count, 1, 3)), steps, 1).astype(np.float32)
    way = generator.choice([-0.8, 0.8], count)
    actions = np.stack([np.sign(observations[..., 0]) / 2, np.repeat(way[:, None], steps, 1)], -1).astype(np.float32)
    blank = np.zeros((count, steps), np.float32)
    kinds = np.full(count, "toy")
    return Episodes(
        observations, actions, blank, blank > 0, kinds, np.zeros(count, np.float32), np.arange(count), "toy"
    )


def test_chunks_begin_at_every_step_that_has_enough_left():
    found = episodes(2, 5)
    found = replace(found, observations=np.arange(30, dtype=np.float32).reshape(2, 5, 3))
    observations, actions = chunks(found, 3)
    assert observations.shape == (6, 3)
    assert actions.shape == (6, 3, 2)
    for row in range(6):
        episode, start = divmod(row, 3)
        assert np.array_equal(observations[row], found.observations[episode, start])
        assert np.array_equal(actions[row], found.actions[episode, start : start + 3])
    assert len(chunks(found, 5)[0]) == 2


@pytest.mark.parametrize(("prediction", "share"), [("sample", 0.8), ("epsilon", 0.6)])
def test_two_ways_are_kept_apart_and_observations_are_heeded(prediction, share):
    """The mean of both ways, 0, was never done; nor is it proposed by most chunks."""
    state = torch.get_rng_state()
    denoiser = imitate(episodes(), 4, prediction=prediction, width=32, depth=1, settings=QUICK)
    assert torch.equal(torch.get_rng_state(), state)
    assert denoiser.path.prediction == prediction
    assert denoiser.network.observation_mean[0] == pytest.approx(episodes().observations[:, :9, 0].mean(), abs=1e-5)
    assert denoiser.network.action_low.tolist() == pytest.approx([-0.5, -0.8])
    seen = np.array([[1.5, 0, 0], [-1.5, 0, 0]], np.float32)
    found = Planner(denoiser, candidates=40).propose(seen)
    assert found[0, ..., 0].median() == pytest.approx(0.5, abs=0.1)
    assert found[1, ..., 0].median() == pytest.approx(-0.5, abs=0.1)
    second = found[..., 1].mean(-1).flatten()
    near = ((second.abs() - 0.8).abs() < 0.25).float().mean()
    assert near > share
    assert 0.2 < (second > 0).float().mean() < 0.8


def test_a_seed_gives_the_same_policy():
    settings = ImitationSettings(steps=3, batch=8)
    first, again, other = (
        imitate(episodes(4), 4, width=8, depth=1, seed=seed, settings=settings) for seed in (1, 1, 2)
    )
    weights = [torch.cat([p.flatten() for p in made.network.parameters()]) for made in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_averaged_weights_are_kept():
    """With an average that never moves from the first step's weights, later steps change nothing."""
    made = [
        imitate(episodes(4), 4, width=8, depth=1, settings=ImitationSettings(steps, 8, average=1.0))
        for steps in (20, 40)
    ]
    # What is kept is the first step's. Adam's first step is its rate, 0.001 without and half of it in a warm-up of two.
    drawn = imitate(episodes(4), 4, width=8, depth=1, settings=ImitationSettings(40, 8, average=0.0))
    first, second, last = (torch.cat([p.flatten() for p in one.network.parameters()]) for one in (*made, drawn))
    assert (first - second).detach().abs().max().item() == pytest.approx(5e-4, rel=0.02)
    assert (last - second).abs().max() > 1e-2


def test_what_cannot_be_imitated_is_refused():
    with pytest.raises(SegmentError, match="toy: expected episodes of at least 13 steps, got 40 of 12"):
        imitate(episodes(), 13)
    with pytest.raises(SegmentError, match="at least 4 steps, got 0 of 12"):
        imitate(episodes().select(np.arange(0)), 4)
    with pytest.raises(SegmentError, match="expected steps and a batch to imitate with, got 0 of 8"):
        imitate(episodes(), 4, settings=ImitationSettings(0, 8))
