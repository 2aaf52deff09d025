"""Noise that is drawn again: equal for equal record and replay, independent of everything else."""

import numpy as np
import pytest
import torch

from prefalign.functional.levels import Levels
from prefalign.functional.replay import replay_generator, replayed_noise


def test_a_draw_depends_on_seed_record_and_replay_alone():
    uniform, noise = replayed_noise(0, ["a", "b", "a"], [0, 0, 1], (2, 3))
    again = replayed_noise(0, ["a"], [1], (2, 3))
    assert torch.equal(uniform[2:], again[0])
    assert torch.equal(noise[2:], again[1])
    other = replayed_noise(1, ["a"], [1], (2, 3))
    for first, second in ((noise[0], noise[1]), (noise[0], noise[2]), (noise[2], other[1][0])):
        assert not torch.equal(first, second)
    assert noise.shape == (3, 2, 3)
    assert noise.dtype == torch.float32


def test_the_values_stay_the_same_between_versions():
    """Cached reference errors outlive an installation, so the stream itself is pinned."""
    generator = replay_generator(7, "record 1", 2)
    assert generator.random() == pytest.approx(PINNED[0], abs=1e-12)
    assert generator.standard_normal(2, dtype=np.float32).tolist() == pytest.approx(PINNED[1:], abs=1e-6)


PINNED = [0.3470496508758174, 0.25184905529022217, -0.5603810548782349]


def test_noise_is_standard_normal_and_uncorrelated_between_replays():
    _, noise = replayed_noise(0, ["x"] * 8, list(range(8)), (20000,))
    assert noise.mean().abs() < 0.01
    assert noise.var().item() == pytest.approx(1.0, abs=0.02)
    off = torch.corrcoef(noise) - torch.eye(8)
    assert off.abs().max() < 0.03  # sd of a correlation of 20,000 pairs is 0.007


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_longer_padding_does_not_change_the_noise_of_the_first_frames(axis):
    shape = [3, 3]
    shape[axis] = 4
    short = replayed_noise(0, ["a"], [0], shape, axis)[1][0]
    shape[axis] = 9
    long = replayed_noise(0, ["a"], [0], shape, axis)[1][0]
    assert torch.equal(long.narrow(axis, 0, 4), short)


def test_levels_are_quantiles():
    uniform = torch.tensor([0.0, 0.25, 0.5, 0.75])
    assert Levels().quantile(uniform).tolist() == [0.0, 0.25, 0.5, 0.75]
    assert Levels(low=0.2, high=0.6).quantile(uniform).tolist() == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert Levels("fixed", values=(0.25, 0.5, 0.75, 1.0)).quantile(uniform).tolist() == [0.25, 0.5, 0.75, 1.0]
    # sigmoid of the standard normal's quartile 0.67449
    quartile = 1 / (1 + np.exp(0.6744897501960817))
    found = Levels("logit_normal").quantile(uniform)
    assert found[1:].tolist() == pytest.approx([quartile, 0.5, 1 - quartile], abs=1e-6)
    assert 0 <= found[0] < 1e-3
    assert Levels("logit_normal", mean=1.0, std=2.0).quantile(uniform)[3].item() == pytest.approx(
        1 / (1 + np.exp(-1 - 2 * 0.6744897501960817)), abs=1e-6
    )


@pytest.mark.parametrize(
    "wrong", [{"low": 0.5, "high": 0.5}, {"std": 0.0}, {"distribution": "fixed"}, {"values": (0.5,)}]
)
def test_impossible_levels_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        Levels(**wrong)
