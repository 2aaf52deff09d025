"""`prefalign robotics simulate` as people call it."""

import json

import numpy as np
import pytest

from prefalign.cli.main import main
from prefalign.data.sources import open_records
from prefalign_robotics.simulator.episodes import load_episodes, windows

CALL = ["robotics", "simulate", "window-open", "--episodes", "4", "--steps", "40", "--length", "10", "--pairs", "30"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("metaworld")
    found = tmp_path_factory.mktemp("window-open")
    assert main([*CALL, "--out", str(found)]) == 0
    return found


def test_the_teacher_prefers_the_larger_return(folder):
    episodes, records = load_episodes(folder / "episodes.npz"), list(open_records(str(folder / "pairs.parquet")))
    assert len(episodes) == 4
    assert len(records) == 30
    cut = windows(episodes.settled(), 60, 10, 0)
    for number, record in enumerate(records):
        first, second = 2 * number, 2 * number + 1
        for response, row in zip(record.responses, (first, second), strict=True):
            assert np.array_equal(response.arrays["observations"], cut.segments.observations[row])
            assert np.array_equal(response.arrays["actions"], cut.segments.actions[row])
        if not record.verdict.tie:
            assert record.verdict.chosen == int(cut.returns[second] > cut.returns[first])
    assert {record.provenance["source"] for record in records} == {"scripted"}


def test_mistakes_turn_labels_round(folder, tmp_path, capsys):
    pytest.importorskip("metaworld")
    assert main([*CALL, "--out", str(tmp_path), "--mistakes", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["mistaken"] == said["pairs"] - said["ties"] > 20
    for right, wrong in zip(*(open_records(str(f / "pairs.parquet")) for f in (folder, tmp_path)), strict=True):
        assert right.verdict.tie or right.verdict.chosen == wrong.verdict.rejected


def test_what_cannot_be_made_is_refused_before_anything_is_simulated(tmp_path, capsys):
    out = tmp_path / "new"
    assert main([*CALL, "--out", str(out), "--pairs", "63"]) == 2
    assert "do not hold 126 windows of 10 steps" in capsys.readouterr().err
    assert main([*CALL, "--out", str(out), "--mistakes", "2"]) == 2
    assert "expected mistakes in [0, 1]" in capsys.readouterr().err
    assert not out.exists()


def test_an_unknown_task_names_near_ones(tmp_path, capsys):
    pytest.importorskip("metaworld")
    assert main(["robotics", "simulate", "window-opne", "--out", str(tmp_path / "new")]) == 2
    assert "window-open" in capsys.readouterr().err
