"""The geometry reward."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from prefalign.data.stages import Score
from prefalign.interfaces import Media, Pair, PrefalignError, PreferenceRecord, Prompt, Ranking, Response, StageReport
from prefalign_mesh3d.mesh.grid import canonical, dequantise
from prefalign_mesh3d.metrics.functional import sweep
from prefalign_mesh3d.metrics.functional.distances import chamfer, hausdorff, nearest
from prefalign_mesh3d.metrics.functional.fidelity import Cloud, cloud_from
from prefalign_mesh3d.metrics.functional.topology_score import topology_score
from prefalign_mesh3d.rewards.codec import GeometryRow
from prefalign_mesh3d.rewards.geometry import GeometryReward
from prefalign_mesh3d.rewards.measures import MEASURES
from prefalign_mesh3d.tokenizers.coord9 import Coord9

TOKENIZER = Coord9(levels=16)
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
FACES = np.array([face for a, b, c, d in SIDES for face in ((a, b, c), (a, c, d))])


def box(low=2, high=13):
    corners = np.array([[x, y, z] for x in (low, high) for y in (low, high) for z in (low, high)])
    return canonical(corners, FACES, 16)


def tokens(grid, ended=True):
    return Response(token_ids=(*TOKENIZER.encode(grid).tolist(), *([TOKENIZER.eos_id] if ended else [])))


def opened(grid):
    return canonical(grid.vertices, grid.faces[2:], 16)


def record(*responses, key="r"):
    drawn = cloud_from(dequantise(box()), 400, 9)
    out = io.BytesIO()
    np.save(out, np.concatenate([drawn.points, drawn.normals], 1).astype(np.float32))
    prompt = Prompt(media=(Media(kind="points", data=out.getvalue()),))
    return PreferenceRecord(id=key, prompt=prompt, responses=responses, verdict=Ranking((0,) * len(responses)))


def judged(reward, *responses):
    output = reward(reward.codec.collate([reward.codec.encode(record(*responses))]))
    return output.mean, output.valid


def test_the_numbers_are_those_of_the_metrics():
    reward = GeometryReward(TOKENIZER, criteria=tuple(MEASURES), samples=300, tau=0.2)
    mean, valid = judged(reward, tokens(opened(box()), ended=False))
    assert valid.tolist() == [True]
    assert mean.shape == (1, len(MEASURES))
    found = dict(zip(reward.criteria, mean[0].tolist(), strict=True))
    row = reward.codec.encode(record(tokens(opened(box())))).rows[0]
    mesh = row.mesh
    near = nearest(cloud_from(mesh, 300, 0).points, row.cloud.points)
    assert found["chamfer"] == pytest.approx(-chamfer(near))
    assert found["hausdorff"] == pytest.approx(-hausdorff(near))
    assert found["hausdorff_95"] == pytest.approx(-hausdorff(near, 95))
    assert found["ts"] == pytest.approx(topology_score(mesh).score)
    assert found["ber"] < 0
    assert (found["non_manifold"], found["watertight"], found["crossing"], found["ended"]) == (0, 0, 0, 0)
    assert 0 < found["f_score"] < 1
    assert 0.5 < found["normal_consistency"] < 1


def test_the_whole_shape_beats_the_broken_ones_in_everything():
    """A closed box at the right place; one without two faces; one that is too small."""
    criteria = ("chamfer", "hausdorff", "ber", "watertight", "ended")
    mean, valid = judged(
        GeometryReward(TOKENIZER, criteria), tokens(box()), tokens(opened(box()), False), tokens(box(5, 10), False)
    )
    assert valid.all()
    assert (mean[0, :4] > mean[1, :4]).all()
    assert (mean[0, :2] > mean[2, :2]).all()
    assert mean[:, 2].tolist() == [0, pytest.approx(-4 / 17), 0]
    assert mean[:, 4].tolist() == [1, 0, 0]


def test_unsigned_gives_measures():
    criteria = tuple(MEASURES)
    signed, _ = judged(GeometryReward(TOKENIZER, criteria), tokens(opened(box())))
    plain, _ = judged(GeometryReward(TOKENIZER, criteria, signed=False), tokens(opened(box())))
    torch.testing.assert_close(plain, signed.abs())
    assert (plain[0, 0] > 0) & (signed[0, 0] < 0)


def test_an_empty_mesh_is_not_valid():
    """Whatever is asked for: no tokens, no face among them, faces without area."""
    flat = canonical(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([[0, 1, 2]]), 16)
    responses = Response(token_ids=()), Response(token_ids=(3, 4, TOKENIZER.eos_id)), tokens(flat), tokens(box())
    mean, valid = judged(GeometryReward(TOKENIZER, ["chamfer"]), *responses)
    assert valid.tolist() == [False, False, False, True]
    assert mean.isnan().flatten().tolist() == [True, True, True, False]
    _, valid = judged(GeometryReward(TOKENIZER, ["ended"]), *responses)
    assert valid.tolist() == [False, False, True, True]
    mean, valid = judged(GeometryReward(TOKENIZER, ["chamfer"]), Response(token_ids=()))
    assert (mean.shape, valid.tolist()) == ((1, 1), [False])


def test_draws_are_seeded():
    one, again = (judged(GeometryReward(TOKENIZER, ["chamfer"], samples=99), tokens(box()))[0] for _ in range(2))
    other = judged(GeometryReward(TOKENIZER, ["chamfer"], samples=99, seed=5), tokens(box()))[0]
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_copy_of_the_reference_is_not_drawn_at_the_same_points():
    """Both sides from one mesh: the distance is that of two draws, not 0."""
    reward = GeometryReward(None, ["chamfer"], signed=False, samples=200)
    codec, mesh = reward.codec, dequantise(box())
    row = GeometryRow(mesh, cloud_from(mesh, codec.samples, codec.seed), True, "")
    assert reward.measure(row)[0] > 0.05


def test_scores_of_a_stage():
    """The stage of the core notes one criterion; the candidate that is not valid gets none."""
    reward = GeometryReward(TOKENIZER, ["chamfer", "ber"], signed=False)
    report = StageReport()
    made = record(tokens(opened(box())), Response(token_ids=(1,)))
    (scored,) = Score(reward, "edges", "ber")(iter([made]), 0, report)
    assert [dict(response.scores) for response in scored.responses] == [{"edges": pytest.approx(4 / 17)}, {}]


def test_settings_make_the_manifest():
    """A stage's identity of the reward differs where its numbers do."""
    variants = [
        GeometryReward(TOKENIZER),
        GeometryReward(TOKENIZER, ["chamfer"]),
        GeometryReward(TOKENIZER, signed=False),
        GeometryReward(TOKENIZER, samples=99),
        GeometryReward(TOKENIZER, seed=1),
        GeometryReward(TOKENIZER, tau=0.1),
        GeometryReward(Coord9(levels=32)),
    ]
    names = {str(Score(variant, "x").settings()) for variant in variants}
    assert len(names) == len(variants)


def test_pairs_are_compared_by_the_first_criterion():
    reward = GeometryReward(TOKENIZER, ["ber", "chamfer"])
    made = replace(record(tokens(box()), tokens(opened(box()))), verdict=Pair())
    batch = reward.codec.collate([reward.codec.encode(made)])
    assert reward.compare(batch).item() == pytest.approx(1 / (1 + math.exp(-4 / 17)))


def test_a_heap_of_faces_is_not_valid(monkeypatch):
    monkeypatch.setattr(sweep, "MOST_CANDIDATES", 5)
    reward = GeometryReward(None, ["crossing"])
    row = GeometryRow(dequantise(box()), Cloud(np.zeros((1, 3)), np.zeros((1, 3))), True, "")
    assert reward.measure(row) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"criteria": ["chamfr"]}, "unknown criterion 'chamfr'.*chamfer"),
        ({"criteria": []}, "at least one criterion"),
        ({"criteria": ["ber", "ber"]}, "none twice"),
        ({"samples": 0}, "samples >= 1"),
        ({"seed": -1}, "seed >= 0"),
        ({"tau": 0}, "tau > 0"),
    ],
)
def test_settings_out_of_range(arguments, message):
    with pytest.raises(PrefalignError, match=message):
        GeometryReward(**arguments)
