"""`prefalign robotics transfer` as people call it."""

import json

import numpy as np
from tests.plugins.robotics.conftest import DATA

from prefalign.cli.main import main
from prefalign.data.sources import open_records

CALL = ["robotics", "transfer", "--source", str(DATA / "can.npz"), "--target", str(DATA / "square.npz")]


def test_json_says_how_far_to_trust_the_answers(capsys):
    assert main([*CALL, "--json", "--draws", "39"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["accuracy"] > 0.85
    assert row["majority"] < 0.6
    assert row["pairs"] == 72
    assert len(row["curve"]) == 5
    assert row["epsilon"] == 0.02
    assert row["flip_risk"] == 0
    assert row["chance"]["flipped"]["p"] <= 0.1
    assert row["warnings"] == []


def test_soft_labels_are_written_as_records(capsys, tmp_path):
    out = tmp_path / "square.parquet"
    assert main([*CALL, "--epsilon", "0.02", "--draws", "0", "--out", str(out)]) == 0
    assert "accuracy 0.958 of 72" in capsys.readouterr().out
    records = list(open_records(str(out)))
    assert len(records) == 100
    assert records[0].responses[0].arrays["observations"].shape == (50, 53)
    probabilities = np.array([record.verdict.probability for record in records])
    assert ((probabilities >= 0.5) & (probabilities <= 1)).all()
    assert np.unique(probabilities).size > 90


def test_bad_input_is_one_line(capsys, tmp_path):
    assert main(["robotics", "transfer", "--source", str(tmp_path / "no.npz"), "--target", str(DATA / "can.npz")]) == 2
    assert "no such file" in capsys.readouterr().err
