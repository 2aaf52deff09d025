"""The whole world at a reduced size, its judges and its evaluation."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from prefalign.interfaces.errors import PrefalignError
from prefalign_audio.demo.clips import Kind
from prefalign_audio.demo.evaluation import evaluate, mel_frechet
from prefalign_audio.demo.event_reward import train_head
from prefalign_audio.demo.randomness import generator_for, seeded
from prefalign_audio.demo.world import World, WorldSizes, make_world

ABSENT = [name for name in ("pretty_midi", "tinysoundfont") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(ABSENT), reason=f"{', '.join(ABSENT)} not installed")

SMALL = WorldSizes(pretraining=900, correct=150, detection=800, detector_steps=250)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(0, sizes=SMALL)


def by_caption(world: World, latents: torch.Tensor) -> torch.Tensor:
    """(clips, …) with the captions in turn, as (captions, samples, …)."""
    return latents.unflatten(0, (-1, len(world.captions))).transpose(0, 1)


def test_the_world_is_drawn_as_its_recipe_says(world: World) -> None:
    assert len(world.captions) == 30
    assert int(world.held_out.sum()) == 6
    assert world.codec.kept > 0.96
    assert world.pretraining.latents.shape == (900, 12, 16)
    assert torch.equal(world.pretraining.captions[:60], world.captions.repeat(2, 1))
    # Four standard errors of a share of 0.55 among 900.
    assert abs(float((world.pretraining.kinds == Kind.CORRECT).float().mean()) - 0.55) < 0.067
    assert set(world.correct.kinds.tolist()) == {Kind.CORRECT}
    assert world.caption(torch.tensor([0, 4])) == "bird, then trumpet"
    assert set(world.seconds) == {
        *("sounds", "clips and codec", "annotator", "judge", "second judge", "reward encoder"),
    }


def test_judges_hear_what_was_played(world: World) -> None:
    """Correct clips pass; of the noisy ones those that are correct do, and hardly any other."""
    figures = world.checks()
    for name in ("annotator", "judge", "second judge"):
        assert figures[f"{name}/events"] > 0.96
        assert figures[f"{name}/ceiling"] > 0.85
    right = world.pretraining.kinds == Kind.CORRECT
    for judge in (world.judge, world.second_judge):
        integrity, temporal = judge.judge(world.pretraining.latents, world.pretraining.captions)
        assert temporal[right].float().mean() > 0.85
        assert temporal[~right].float().mean() < 0.05
        assert integrity[world.pretraining.kinds == Kind.SWAPPED].float().mean() > 0.85
    labels = world.annotate(world.pretraining.latents, world.pretraining.captions)
    assert set(labels.tolist()) == {0.0, 1.0}
    assert (labels.bool() == right).float().mean() > 0.9


def test_the_reward_model_learns_the_annotator(world: World) -> None:
    """180 groups of 5 noisy clips, six to a caption; 144 are trained on and 36 measure."""
    latents = by_caption(world, world.pretraining.latents).unflatten(1, (6, 5)).flatten(0, 1)
    captions = world.captions.repeat_interleave(6, 0)
    labels = world.annotate(latents.flatten(0, 1), captions.repeat_interleave(5, 0)).unflatten(0, (-1, 5))
    quality = train_head(world.new_reward(), latents, captions, labels, generator_for(0, "head"))
    assert quality.clips == 180
    assert quality.accuracy > 0.85
    assert quality.auc > 0.93


def test_correct_clips_pass_and_noisy_ones_do_not(world: World) -> None:
    good = evaluate(world, by_caption(world, world.correct.latents))
    noisy = evaluate(world, by_caption(world, world.pretraining.latents)[:, :10])
    assert good.temporal > 0.85
    assert good.second_temporal > 0.85
    assert good.temporal <= good.integrity
    assert noisy.temporal < 0.65 < noisy.integrity < 0.9
    assert abs(noisy.temporal - noisy.second_temporal) < 0.07
    assert abs(good.mel_frechet) < 1e-6  # these clips are the reference
    assert noisy.mel_frechet > 0.1
    assert good.variance < noisy.variance
    assert set(good.as_mapping()) >= {"temporal", "mel_frechet", "variance"}


def test_held_out_figures_are_those_of_the_held_out_captions(world: World) -> None:
    """Right clips for the held-out captions and reversed ones for all others: 1 there, and 6 of 30 in all."""
    good = by_caption(world, world.correct.latents)
    swapped = [(world.captions == pair.flip(0)).all(1).nonzero().item() for pair in world.captions]
    mixed = torch.where(world.held_out[:, None, None, None], good, good[swapped])
    figures = evaluate(world, mixed)
    assert figures.temporal_held_out > 0.8
    assert figures.second_temporal_held_out > 0.8
    assert 0.15 < figures.temporal < 0.21
    assert figures.integrity > 0.85


def test_variance_is_within_captions(world: World) -> None:
    """One clip given as all samples of its caption has none, however much captions differ; the distance shows nothing
    of it."""
    good = by_caption(world, world.correct.latents)
    assert evaluate(world, good[:, :1].expand(-1, 4, -1, -1)).variance == 0


def test_the_distance_of_a_shift_by_hand() -> None:
    """A constant 0.5 on every channel moves 12 means by 0.5 and no deviation: 12 · 0.25 = 3."""
    latents = torch.randn(200, 12, 16, generator=torch.Generator().manual_seed(0))
    assert mel_frechet(latents + 0.5, latents) == pytest.approx(3.0, abs=1e-4)


def test_what_cannot_be_judged_is_refused(world: World) -> None:
    good = by_caption(world, world.correct.latents)
    with pytest.raises(PrefalignError, match="30 captions, 2 or more samples"):
        evaluate(world, good[:29])
    with pytest.raises(PrefalignError, match="2 or more samples"):
        evaluate(world, good[:, :1])
    broken = good.clone()
    broken[3, 1, 0, 0] = float("nan")
    with pytest.raises(PrefalignError, match=r"1 of 150 clips hold NaN .* diverge"):
        evaluate(world, broken)


def test_the_seed_decides_everything() -> None:
    """Two worlds of one seed are equal although the global generator stood elsewhere; another seed differs in all."""
    tiny = WorldSizes(pretraining=60, correct=30, detection=64, detector_steps=3)

    def drawn(seed: int, state: int) -> World:
        torch.manual_seed(state)
        return make_world(seed, 3, overlap=0.3, sizes=tiny)

    one, same, other = drawn(0, 1), drawn(0, 2), drawn(1, 1)
    assert torch.equal(one.pretraining.latents, same.pretraining.latents)
    assert torch.equal(one.held_out, same.held_out)
    for name in ("annotator", "judge", "second_judge"):
        assert torch.equal(*[getattr(w, name).hear(one.correct.latents).probabilities for w in (one, same)])
    assert torch.equal(one.curves.events, same.curves.events)
    assert torch.equal(one.new_reward().head[0].weight, same.new_reward().head[0].weight)
    assert not torch.equal(one.pretraining.latents, other.pretraining.latents)
    assert not torch.equal(one.curves.events, other.curves.events)
    assert one.annotator.by_onset
    assert not torch.equal(one.new_reward("a").head[0].weight, one.new_reward("b").head[0].weight)


def test_streams_are_apart_and_leave_the_global_generator_alone() -> None:
    assert generator_for(0, "a").initial_seed() == generator_for(0, "a").initial_seed()
    assert len({generator_for(seed, name).initial_seed() for seed in (0, 1) for name in ("a", "b")}) == 4
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded(0, "a"):
        torch.rand(5)
    assert torch.equal(torch.rand(2), expected)
