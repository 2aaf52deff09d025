"""Judges averaged over views."""

import math

import pytest
import torch

from prefalign.data.build import run_stages
from prefalign.data.stages import Score
from prefalign.interfaces import PrefalignError, Response, StageReport
from prefalign_mesh3d.rewards.appearance import ViewAveraged
from prefalign_mesh3d.rewards.transformers_views import ClipJudge
from prefalign_mesh3d.rewards.views import Ring
from prefalign_mesh3d.tokenizers.coord9 import Coord9

RING = Ring(azimuths=(0, 90), size=16, supersample=1)


def judged(reward, *responses, record):
    reward.configure_model()
    codec = reward.codec
    output = reward(codec.collate([codec.encode(record(*responses))]))
    return output.mean, output.valid


def scripted(values):
    """A judge that gives rows of a list, and remembers what it was asked."""

    def judge(images, prompts):
        judge.asked = (images, list(prompts))
        return torch.tensor(values)[: len(images)]

    return judge


def test_mean_less_spread_by_hand(box, shown, viewed):
    """Views of 1 and 3: mean 2, population deviation 1. Views of 2 and 2: mean 2, deviation 0."""
    judge = scripted([[1.0, 3.0], [2.0, 2.0]])
    for weight, expected in ((0.0, [2, 2]), (0.5, [1.5, 2])):
        reward = ViewAveraged(judge, ring=RING, consistency=weight)
        mean, valid = judged(reward, shown(box()), shown(box(2)), record=viewed)
        assert mean.squeeze(1).tolist() == expected
        assert valid.tolist() == [True, True]
    images, prompts = judge.asked
    assert images.shape == (2, 2, 16, 16, 3)
    assert images.dtype == torch.uint8
    assert prompts == ["a box", "a box"]


def test_an_empty_mesh_and_a_judge_that_cannot_say_are_not_valid(box, shown, viewed):
    judge = scripted([[1.0, math.nan], [5.0, 7.0]])
    reward = ViewAveraged(judge, Coord9(levels=16), RING)
    mean, valid = judged(reward, Response(token_ids=()), shown(box()), shown(box(2)), record=viewed)
    assert valid.tolist() == [False, False, True]
    assert len(judge.asked[0]) == 2  # the judge never sees the empty one
    assert mean[:2].isnan().all()
    assert mean[2].item() == 6
    _, valid = judged(reward, Response(token_ids=()), record=viewed)
    assert valid.tolist() == [False]


def test_refuses_judges_that_give_something_else(box, shown, viewed):
    for found, got in ((torch.zeros(1), r"\(1,\)"), (torch.zeros(1, 3), r"\(1, 3\)"), ([[0.0, 0.0]], "list")):
        reward = ViewAveraged(lambda images, prompts, found=found: found, ring=RING)
        with pytest.raises(PrefalignError, match=rf"tensor of shape \(1, 2\), got {got}"):
            judged(reward, shown(box()), record=viewed)
    with pytest.raises(PrefalignError, match="consistency of at least 0"):
        ViewAveraged(scripted([]), consistency=-1)


def test_a_picture_judge_sees_what_is_missing(box, shown, viewed):
    """Back faces are red: a judge that dislikes red prefers the closed box to one without the side at azimuth 0."""

    def not_red(images, prompts):
        colours = images.float()
        return (colours[..., 2] - colours[..., 0]).mean((2, 3))

    reward = ViewAveraged(not_red, ring=RING)
    mean, _ = judged(reward, shown(box()), shown(box(missing=(5, 11))), record=viewed)
    assert mean[0] > mean[1] + 5


def test_clip_judges_and_scores_records(clip, box, shown, viewed):
    reward = ViewAveraged(ClipJudge(clip), ring=RING)
    mean, valid = judged(reward, shown(box()), shown(box(1, 1, 4)), record=viewed)
    assert valid.all()
    assert (mean.abs() <= 1).all()
    assert mean[0] != mean[1]
    record = viewed(shown(box()), shown(box(1, 1, 4)))
    (scored,) = run_stages([record], [Score(reward, "looks")], 0, [StageReport()])
    found = [response.scores["looks"] for response in scored.responses]
    assert found == pytest.approx(mean.squeeze(1).tolist(), abs=1e-6)


def test_a_config_names_the_judge(clip, box, shown, viewed):
    from jsonargparse import ArgumentParser

    judge = {"class_path": "prefalign_mesh3d.rewards.transformers_views.ClipJudge", "init_args": {"source": clip}}
    parser = ArgumentParser()
    parser.add_class_arguments(ViewAveraged, "reward")
    ring = {"azimuths": [0, 90], "size": 16, "supersample": 1}
    found = parser.parse_object({"reward": {"judge": judge, "ring": ring, "consistency": 0.5}})
    reward = parser.instantiate_classes(found).reward
    assert reward.codec.ring == RING
    mean, valid = judged(reward, shown(box()), record=viewed)
    assert valid.all()
    assert mean.isfinite().all()
