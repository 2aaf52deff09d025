"""Triplets of episodes from the command line."""

import json

import numpy as np
import pytest

from prefalign.data.sources import open_records
from prefalign_robotics.commands.triplets import main
from prefalign_robotics.simulator.episodes import Episodes


@pytest.fixture
def archive(tmp_path):
    """Eight episodes; the number of each is its reward."""
    numbers = np.arange(8, dtype=np.float32)
    observations = np.random.default_rng(0).standard_normal((8, 5, 3)).astype(np.float32)
    rewards = numbers[:, None].repeat(5, 1)
    kinds = np.array(["expert"] * 8)
    actions = np.zeros((8, 5, 1), np.float32)
    episodes = Episodes(observations, actions, rewards, rewards > 9, kinds, numbers, numbers.astype(np.int64), "toy")
    episodes.save(tmp_path / "episodes.npz")
    return episodes, tmp_path / "episodes.npz"


def test_episodes_become_triplets_that_are_settled(archive, tmp_path, capsys):
    """Five steps, so that the first three observations are replaced by the fourth."""
    episodes, path = archive
    out = tmp_path / "triplets.parquet"
    assert main([str(path), "--count", "12", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"task": "toy", "triplets": 12, "ties": 0, "written": str(out)}
    records = list(open_records(str(out)))
    assert len(records) == 12
    for record in records:
        numbers = sorted(int(number) for number in record.id.removeprefix("toy-").split("-"))
        expected = episodes.settled().observations[numbers[-1]]
        np.testing.assert_array_equal(record.reference_answer.arrays["observations"], expected)
        assert record.prompt.text == "toy"


def test_equal_returns_are_told(archive, tmp_path, capsys):
    _, path = archive
    assert main([str(path), "--count", "56", "--equal", "99", "--out", str(tmp_path / "t.parquet")]) == 0
    assert "toy: 56 triplets, 56 of them tied" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "problem"),
    [(["--count", "57"], "8 segments make 56 triplets, not 57"), (["--mistakes", "2"], "expected mistakes in [0, 1]")],
)
def test_bad_input_is_told_in_one_line(archive, tmp_path, capsys, options, problem):
    assert main([str(archive[1]), *options, "--out", str(tmp_path / "t.parquet")]) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "t.parquet").exists()


def test_no_archive(tmp_path, capsys):
    assert main([str(tmp_path / "none.npz"), "--out", str(tmp_path / "t.parquet")]) == 2
    assert "no such file" in capsys.readouterr().err
