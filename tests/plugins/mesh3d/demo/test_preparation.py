"""What the arms start from: parts that share no shape, prompts, and the rules by which pairs are made."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from prefalign.interfaces import Pair, PrefalignError, PreferenceRecord, Response, Unary
from prefalign_mesh3d.demo import preparation
from prefalign_mesh3d.demo.judging import Judgement
from prefalign_mesh3d.demo.preparation import (
    Judged,
    Plan,
    by_coin,
    candidates,
    describe,
    draw_parts,
    near_pairs,
    pairs_of,
    placed,
    prepare,
    prompt_of,
    sample_and_judge,
    shape_record,
    tokenizer,
)
from prefalign_mesh3d.demo.shapes import LEVELS, draw_shapes, shape_key
from prefalign_mesh3d.mesh.clouds import load_cloud
from prefalign_mesh3d.mesh.grid import face_keys, quantise

TOKENIZER = tokenizer()
SHAPES = [placed(shape) for shape in draw_shapes(3, 0)]


def answer(shape):
    return Response(token_ids=(*TOKENIZER.tokenize(shape).tolist(), TOKENIZER.eos_id))


def group(*judgements):
    """Meshes of one cloud with distinct tokens and given figures."""
    responses = [Response(token_ids=(i, TOKENIZER.eos_id)) for i in range(len(judgements))]
    return Judged(prompt_of(SHAPES[0], 0), responses, list(judgements))


def judged(chamfer, boundary=0.0, closed=1.0, ended=1.0, length=1.0):
    return Judgement(chamfer, boundary, closed, ended, length)


def test_parts_share_no_shape_and_lie_in_the_cube():
    drawn = draw_parts(0, Plan(shapes=300, clouds=40, held_out=50))
    parts = [drawn.trained, *drawn.rounds, drawn.held_out]
    assert [len(part) for part in parts] == [300, 40, 40, 50]
    keys = [{shape_key(shape) for shape in part} for part in parts]
    for index, mine in enumerate(keys):
        assert not any(mine & other for other in keys[:index])
    for shape in drawn.held_out:
        side = np.abs(shape.vertices).max()
        assert 0.9 < side <= 1


def test_parts_depend_on_the_seed_alone():
    plan = Plan(shapes=4, clouds=2, held_out=2)
    first, again, other = draw_parts(0, plan), draw_parts(0, plan), draw_parts(1, plan)
    assert [shape_key(s) for s in first.trained] == [shape_key(s) for s in again.trained]
    assert [shape_key(s) for s in first.trained] != [shape_key(s) for s in other.trained]


def test_prompts_are_clouds_with_normals():
    cloud = load_cloud(prompt_of(SHAPES[0], 3).media[0], 128)
    assert cloud.shape == (128, 6)
    assert np.abs(cloud[:, :3]).max() <= 1
    np.testing.assert_allclose(np.linalg.norm(cloud[:, 3:], axis=1), 1, atol=1e-5)
    # Furniture of boxes faces along the axes.
    np.testing.assert_allclose(np.abs(cloud[:, 3:]).max(1), 1, atol=1e-5)
    assert prompt_of(SHAPES[0], 3).media[0].data == prompt_of(SHAPES[0], 3).media[0].data
    assert prompt_of(SHAPES[0], 3).media[0].data != prompt_of(SHAPES[0], 4).media[0].data


def test_a_record_is_the_shape_as_the_one_good_answer():
    record = shape_record(SHAPES[0], "shape7", 0)
    (response,) = record.responses
    assert (record.id, record.verdict) == ("shape7", Unary((True,)))
    assert response.token_ids[-1] == TOKENIZER.eos_id
    read = TOKENIZER.decode(np.array(response.token_ids)).mesh
    np.testing.assert_array_equal(face_keys(read), face_keys(quantise(SHAPES[0], LEVELS)))
    # Records of one shape have clouds of their own.
    assert shape_record(SHAPES[0], "shape8", 0).prompt.media[0].data != record.prompt.media[0].data


def test_candidates_carry_their_figures():
    (record,) = candidates([group(judged(0.1), judged(0.2, 0.3, 0))])
    assert [dict(one.scores) for one in record.responses] == [asdict(judged(0.1)), asdict(judged(0.2, 0.3, 0))]


@pytest.mark.parametrize(
    ("better", "worse", "made"),
    [
        (judged(0.10), judged(0.12), True),  # 17 % nearer
        (judged(0.10), judged(0.11), False),  # 9 % nearer: not clearly
        (judged(0.10, 0.0), judged(0.10, 0.11), True),
        (judged(0.10, 0.0), judged(0.10, 0.09), False),
        (judged(0.1019, 0.0), judged(0.10, 0.2), True),  # farther within the slack of 2 %
        (judged(0.1021, 0.0), judged(0.10, 0.2), False),
        (judged(0.05, 0.01), judged(0.10, 0.0), False),  # no slack in boundary edges
        (judged(0.05, ended=0), judged(0.10), False),  # the chosen has to have ended
        (judged(0.05), judged(0.10, ended=0), True),
        (judged(0.05, closed=0), judged(0.10), True),  # closedness itself is no criterion
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_pairs_follow_the_rule(better, worse, made, turned):
    pairs = pairs_of([group(*((worse, better) if turned else (better, worse)))], 4, 0)
    assert [pair.responses[pair.verdict.chosen].scores["chamfer"] for pair in pairs] == [better.chamfer] * made
    assert [pair.responses[pair.verdict.rejected].scores["chamfer"] for pair in pairs] == [worse.chamfer] * made


def test_the_pairs_of_largest_gain_are_kept():
    pairs = pairs_of([group(*(judged(2.0**k) for k in range(4)))], 3, 0)
    ends = [tuple(pair.responses[i].scores["chamfer"] for i in (0, 1)) for pair in pairs]
    assert ends[0] == (1, 8)
    assert set(ends[1:]) == {(1, 4), (2, 8)}


def test_near_misses_are_of_the_nearest_closed_meshes():
    figures = [judged(0.3), judged(0.01, 0.2, 0), judged(0.1)]
    one = Judged(prompt_of(SHAPES[0], 0), [answer(shape) for shape in SHAPES], figures)
    (pair,) = near_pairs([one], 1, 0)
    chosen, rejected = pair.responses
    assert (pair.id, pair.verdict) == ("cloud0/0", Pair())
    assert chosen.token_ids == one.responses[2].token_ids
    assert rejected.token_ids[-1] == TOKENIZER.eos_id
    assert rejected.token_ids != chosen.token_ids
    both = near_pairs([one], 4, 0)
    assert [p.responses[0].token_ids for p in both] == [one.responses[i].token_ids for i in (2, 0)]
    assert near_pairs([one], 4, 0) == both
    assert near_pairs([one], 4, 1) != both


def test_a_fair_coin_turns_half_of_the_pairs():
    prompt = prompt_of(SHAPES[0], 0)
    responses = (Response(token_ids=(1,)), Response(token_ids=(2,)))
    pairs = [PreferenceRecord(id=f"p{i}", prompt=prompt, responses=responses, verdict=Pair()) for i in range(400)]
    thrown = by_coin(pairs, 0)
    assert [pair.id for pair in thrown] == [pair.id for pair in pairs]
    assert all(pair.responses == responses for pair in thrown)
    turned = [(pair.verdict.chosen, pair.verdict.rejected) for pair in thrown]
    assert set(turned) == {(0, 1), (1, 0)}
    # Five standard deviations.
    assert abs(turned.count((1, 0)) - 200) < 50
    # The coin is thrown for the pair, not for its place.
    assert by_coin(pairs[::-1], 0)[::-1] == thrown
    assert by_coin(pairs, 1) != thrown


def test_descriptions_are_means():
    groups = [group(judged(0.1), judged(0.3)), group(judged(0.2, 0.4, 0), judged(0.6, 0.8, 0))]
    facts = describe(pairs_of(groups, 4, 0), groups)
    assert facts["pairs"] == 2
    assert facts["candidates"]["chamfer"] == pytest.approx(0.3)
    assert facts["candidates"]["closed"] == 0.5
    assert facts["chosen"]["chamfer"] == pytest.approx(0.15)
    assert facts["rejected"]["boundary"] == pytest.approx(0.4)
    assert describe([], groups)["chosen"] == {}


class Copyist:
    """A policy that knows the answers, in the place of a trained one."""

    def sample(self, prompts, n, *, generator, temperature):
        self.prompts, self.drawn, self.temperature = prompts, generator.initial_seed(), temperature
        return [[answer(shape), *[Response(token_ids=())] * (n - 1)] for shape in SHAPES]


def test_samples_are_judged_against_the_shape_of_their_cloud():
    policy, again = Copyist(), Copyist()
    found = sample_and_judge(policy, SHAPES, 2, 0.5, 1)
    for one, prompt in zip(found, policy.prompts, strict=True):
        assert one.prompt == prompt
        right, empty = one.judgements
        assert (right.closed, right.chamfer < 0.1) == (1, True)
        assert (empty.chamfer, empty.boundary, empty.ended) == (1, 1, 0)
    assert policy.temperature == 0.5
    sample_and_judge(again, SHAPES, 2, 0.5, 1)
    assert (again.prompts, again.drawn) == (policy.prompts, policy.drawn)
    sample_and_judge(again, SHAPES, 2, 0.5, 2)
    assert again.prompts != policy.prompts
    assert again.drawn != policy.drawn


def test_a_prepared_folder_is_used_again_and_another_plan_is_refused(tmp_path, monkeypatch):
    def no_training(*args, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(preparation, "run_arm", no_training)
    plan = Plan(shapes=3, clouds=1, held_out=1)
    facts = {"plan": {"seed": 0, **asdict(plan)}, "pairs": 5}
    (tmp_path / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    assert prepare(tmp_path, 0, plan, print).facts == facts
    for seed, other in ((1, plan), (0, Plan(shapes=4, clouds=1, held_out=1))):
        with pytest.raises(PrefalignError, match="choose another --out"):
            prepare(tmp_path, seed, other, print)
