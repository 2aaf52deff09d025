"""The order of a comparison: arms are checked, trained, sampled, judged; second rounds get pairs of their own."""

import json
from dataclasses import asdict

import pyarrow.parquet as pq
import pytest

from prefalign.interfaces import PrefalignError, Response
from prefalign_mesh3d.demo import arms, runs
from prefalign_mesh3d.demo.arms import ARMS
from prefalign_mesh3d.demo.judging import Judgement
from prefalign_mesh3d.demo.pictures import draw_comparison
from prefalign_mesh3d.demo.preparation import Judged, Plan, Prepared, draw_parts, prompt_of
from prefalign_mesh3d.demo.report import verdicts
from prefalign_mesh3d.demo.runs import check_arms, run_seed, shown

PLAN = Plan(shapes=3, clouds=2, candidates=2, held_out=2)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["coin", "dpoo"], "unknown arm 'dpoo'; did you mean 'dpo'"),
        ([""], "unknown arm ''; known: coin, dpo"),
        (["dpo_2"], "dpo_2 starts from dpo, which has to stand before it"),
        (["rft_2", "rft"], "rft_2 starts from rft, which has to stand before it"),
    ],
)
def test_arms_that_cannot_run_are_refused(names, message):
    with pytest.raises(PrefalignError, match=message):
        check_arms(names)


def test_all_arms_stand_in_an_order_that_runs():
    check_arms(list(ARMS))
    check_arms(["dpo", "dpo_2"])
    check_arms([])


@pytest.fixture
def untrained(tmp_path, monkeypatch):
    """A seed without learning: every call is written down, and the second mesh of a cloud is the worse one."""
    calls = []
    shapes = draw_parts(0, PLAN)

    def prepare(folder, seed, plan, log):
        (folder / "base" / "export").mkdir(parents=True, exist_ok=True)
        return Prepared(folder, shapes, {})

    def train(name, prepared, folder, seed):
        calls.append(("train", name, (folder / name / "fresh.parquet").exists()))
        (folder / name / "export").mkdir(parents=True, exist_ok=True)
        return {"seconds": 2.0, "alarm": 0.0}

    def sample(policy, drawn, n, temperature, seed):
        part = "held out" if drawn is shapes.held_out else "second" if drawn is shapes.rounds[1] else "other"
        calls.append(("sample", policy, part, n, temperature))
        figures = [Judgement(0.1 * (k + 1), 0.0, 1.0, 1.0, 100.0) for k in range(n)]
        responses = [Response(token_ids=(k, 89)) for k in range(n)]
        return [Judged(prompt_of(shape, 0), responses, figures) for shape in drawn]

    monkeypatch.setattr(runs, "prepare", prepare)
    monkeypatch.setattr(runs, "train", train)
    monkeypatch.setattr(runs, "sample_and_judge", sample)
    monkeypatch.setattr(runs, "open_policy", lambda folder: folder.relative_to(tmp_path).as_posix())
    return calls


def test_a_second_round_learns_from_meshes_of_the_first_ones_model(untrained, tmp_path):
    said = []
    prepared, results = run_seed(tmp_path, 0, ["dpo", "dpo_2"], PLAN, said.append)
    evaluation = [("held out", 6, 1.0), ("held out", 2, 0.7)]
    assert untrained == [
        *(("sample", "base/export", *one) for one in evaluation),
        ("train", "dpo", False),
        *(("sample", "arms/dpo/export", *one) for one in evaluation),
        ("sample", "arms/dpo/export", "second", 2, 0.8),
        ("train", "dpo_2", True),
        *(("sample", "arms/dpo_2/export", *one) for one in evaluation),
    ]
    assert list(results) == ["base", "dpo", "dpo_2"]
    assert results["base"]["chamfer@1.0"] == pytest.approx(0.35)
    assert results["base"]["chamfer@0.7"] == pytest.approx(0.15)
    assert (results["dpo"]["seconds"], results["dpo"]["alarm"]) == (2.0, 0.0)
    assert prepared.folder == tmp_path
    facts = json.loads((tmp_path / "arms" / "dpo_2" / "fresh.json").read_text("utf-8"))
    assert (facts["plan"], facts["pairs"]) == (asdict(PLAN), 2)
    assert pq.read_metadata(tmp_path / "arms" / "dpo_2" / "fresh.parquet").num_rows == 2
    assert "dpo_2: 2 pairs of the meshes of dpo" in said


def test_what_was_judged_is_not_sampled_again(untrained, tmp_path):
    first = run_seed(tmp_path, 0, ["rft", "rft_2"], PLAN, print)[1]
    untrained.clear()
    assert run_seed(tmp_path, 0, ["rft", "rft_2"], PLAN, print)[1] == first
    assert [call[0] for call in untrained] == ["train", "train"]


def test_figures_are_shown_at_temperature_1():
    figures = {f"{name}@{t}": t + i for t in (1.0, 0.7) for i, name in enumerate(("chamfer", "boundary", "closed"))}
    line = shown({**figures, "length@1.0": 123.456})
    assert line == "Chamfer 1, boundary edges 2, closed 3, tokens 123.5"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_tiny_comparison_runs_from_end_to_end(tmp_path, monkeypatch):
    """Six steps teach nothing; every file is there, and a second run makes none of them again."""
    original = arms.run_arm

    def brief(change, run, *, preset):
        return original({**change, "trainer": {**change["trainer"], "max_steps": 2}}, run, preset=preset)

    monkeypatch.setattr(arms, "run_arm", brief)
    plan = Plan(shapes=60, steps=6, clouds=4, candidates=3, held_out=3)
    prepared, results = run_seed(tmp_path, 0, ["coin", "dpo"], plan, print)
    pairs = pq.read_metadata(tmp_path / "pairs.parquet").num_rows
    assert prepared.facts["pairs"] == pairs
    assert pq.read_metadata(tmp_path / "shapes.parquet").num_rows == 60
    assert pq.read_metadata(tmp_path / "coin.parquet").num_rows == pairs
    for name in ("base", "coin", "dpo"):
        assert 0 < results[name]["chamfer@1.0"] <= 1
        assert 0 <= results[name]["boundary@0.7"] <= 1
    assert len(verdicts({name: [row] for name, row in results.items()})) == 7
    picture = draw_comparison(prepared, tmp_path / "arms" / "dpo" / "export", tmp_path / "meshes", 0)
    assert picture.stat().st_size > 1000
    assert run_seed(tmp_path, 0, ["coin", "dpo"], plan, print)[1] == results
