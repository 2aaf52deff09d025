"""Mixtures of runs, and which one a search takes."""

import pytest
import torch

from prefalign_audio.song_demo.merges import FIXED, SPREADS, choose, merged

BASE = {"w": torch.zeros(3)}
MODELS = {
    "lyric": {"w": torch.tensor([1.0, 0.0, 0.0])},
    "prompt": {"w": torch.tensor([0.0, 1.0, 0.0])},
    "musicality": {"w": torch.tensor([0.0, 0.0, 1.0])},
}


def test_weights_of_sum_one_interpolate_and_others_add_up():
    assert torch.equal(merged(MODELS, BASE, (1.0, 0.0, 0.0))["w"], MODELS["lyric"]["w"])
    assert merged(MODELS, BASE, (0.5, 0.25, 0.25))["w"].tolist() == [0.5, 0.25, 0.25]
    shifted = {"w": torch.ones(3)}
    assert merged(MODELS, shifted, (1.0, 1.0, 1.0))["w"].tolist() == [-1.0, -1.0, -1.0]


def test_the_search_takes_the_largest_smallest_gain():
    """Gains in units of their spreads are the weights themselves, so that a third of each is best and the next grid
    points are those around it."""

    def validate(weights):
        gains = {axis: SPREADS[axis] * weight for axis, weight in zip(SPREADS, weights, strict=True)}
        return {
            "lyric_error": 0.5 - gains["lyric_error"],
            "prompt": 0.5 + gains["prompt"],
            "musicality": gains["musicality"],
        }

    chosen = choose(validate, {"lyric_error": 0.5, "prompt": 0.5, "musicality": 0.0})
    assert min(chosen.worst) == 0.25
    assert chosen.lyric == (1.0, 0.0, 0.0)
    assert len({tuple(row["weights"]) for row in chosen.tried}) == len(chosen.tried) > 15


def test_mixtures_that_lose_somewhere_are_left_out_of_the_search_for_the_lyric():
    def validate(weights):
        return {"lyric_error": 0.5 - weights[0], "prompt": 0.6 - 0.2 * weights[0], "musicality": 1.0}

    chosen = choose(validate, {"lyric_error": 0.5, "prompt": 0.5, "musicality": 0.0})
    assert chosen.lyric[0] == 0.5


def test_the_fixed_mixtures_are_those_of_the_comparison():
    sums = {name: sum(weights) for name, weights in FIXED.items()}
    assert [name for name, total in sums.items() if total == pytest.approx(1)] == [
        "thirds",
        "lyric_half",
        "prompt_half",
        "musicality_half",
    ]
