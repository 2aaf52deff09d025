"""Labels travel, the target's own rewards do not, and nothing is made twice."""

import numpy as np
import pytest
from tests.plugins.robotics.demo.conftest import PLAN, reaching_episodes

from prefalign.data.sources import open_records
from prefalign.interfaces import PrefalignError
from prefalign_robotics.demo import preparation
from prefalign_robotics.demo.preparation import prepare, run_folder


def made(root, seed=0):
    return prepare(root, "carry-away", "carry-left", seed, PLAN, lambda line: None)


def test_transferred_labels_are_mostly_right_and_written_as_they_are(tmp_path, simulated):
    found = made(tmp_path)
    assert (
        found.folder == run_folder(tmp_path, "carry-away", "carry-left", 0) == tmp_path / "carry-away--carry-left/seed0"
    )
    assert found.facts["pairs"] == 2 * 66
    assert found.facts["accuracy"] > 0.8
    assert len(found.facts["curve"]) == 5
    assert found.facts["flip_risk"] <= 1
    assert found.rule.shape == (40,)
    assert np.corrcoef(found.rule, found.episodes.returns)[0, 1] > 0.7
    records = list(open_records(str(found.folder / "pairs.parquet")))
    assert len(records) == PLAN.pairs
    assert {record.source for record in records} == {"carry-left"}
    # Every response is a stretch of some target episode, past the frames in which things fall into place.
    settled = found.episodes.settled()
    place = {step.tobytes(): cell for cell, step in enumerate(settled.observations.reshape(-1, 39))}
    right = []
    for record in records:
        returns = []
        for response in record.responses:
            row, start = divmod(place[response.arrays["observations"][-1].tobytes()], 100)
            cells = row, slice(start - 29, start + 1)
            assert np.array_equal(settled.observations[cells], response.arrays["observations"])
            assert np.array_equal(settled.actions[cells], response.arrays["actions"])
            returns.append(settled.rewards[cells].sum())
        right.append(returns[record.verdict.chosen] > returns[record.verdict.rejected])
    assert np.mean(right) == pytest.approx(found.facts["accuracy"], abs=0.1)
    probabilities = np.array([record.verdict.probability for record in records])
    assert ((probabilities >= 0.5) & (probabilities <= 1)).all()
    assert len(np.unique(probabilities)) > 80


def test_no_reward_of_the_target_enters(tmp_path, simulated, monkeypatch):
    """With the target's rewards turned round, the pairs are the same to the byte; only the judgement differs."""
    first = made(tmp_path / "a")

    def generate(task, count, steps, seed, cache):
        found = reaching_episodes(task, count, seed)
        if task == "carry-left":
            found.rewards[:] = -found.rewards
            found.success[:] = False
        return found

    monkeypatch.setattr(preparation, "generate_episodes", generate)
    second = made(tmp_path / "b")
    assert (second.folder / "pairs.parquet").read_bytes() == (first.folder / "pairs.parquet").read_bytes()
    assert np.array_equal(first.rule, second.rule)
    assert second.facts["accuracy"] == pytest.approx(1 - first.facts["accuracy"])


def test_source_labels_do_enter(tmp_path, simulated, monkeypatch):
    def generate(task, count, steps, seed, cache):
        found = reaching_episodes(task, count, seed)
        if task == "carry-away":
            found.rewards[:] = -found.rewards
        return found

    first = made(tmp_path / "a")
    monkeypatch.setattr(preparation, "generate_episodes", generate)
    assert made(tmp_path / "b").facts["accuracy"] == pytest.approx(1 - first.facts["accuracy"], abs=0.02)


def test_what_exists_is_not_made_again(tmp_path, simulated):
    first = made(tmp_path)
    assert simulated == ["carry-left", "carry-away"]
    before = {file: file.stat().st_mtime_ns for file in first.folder.iterdir()}
    second = made(tmp_path)
    assert simulated[2:] == ["carry-left"]
    assert {file: file.stat().st_mtime_ns for file in first.folder.iterdir()} == before
    assert second.facts == first.facts
    assert np.array_equal(second.rule, first.rule)


def test_a_transfer_that_was_cut_short_is_made_again(tmp_path, simulated):
    first = made(tmp_path)
    pairs = (first.folder / "pairs.parquet").read_bytes()
    (first.folder / "transfer.json").unlink()
    (first.folder / "transfer.npz").write_bytes(b"half")
    (first.folder / "pairs.parquet").write_bytes(b"half")
    assert np.array_equal(made(tmp_path).rule, first.rule)
    assert (first.folder / "pairs.parquet").read_bytes() == pairs


def test_damaged_files_are_named(tmp_path, simulated):
    folder = made(tmp_path).folder
    (folder / "transfer.npz").write_bytes(b"half")
    with pytest.raises(PrefalignError, match=r"transfer\.npz: absent or damaged"):
        made(tmp_path)
    (folder / "transfer.json").write_text("{}")
    with pytest.raises(PrefalignError, match=r"transfer\.json: absent or damaged"):
        made(tmp_path)


def test_doubts_are_counted_by_kind():
    said = ["did not converge (0.2)", "did not converge (0.3)", "answers turn over (40 %)"]
    assert preparation._counted(said, 8) == (
        "2 × in 8 blocks: did not converge (0.2)",
        "1 × in 8 blocks: answers turn over (40 %)",
    )
