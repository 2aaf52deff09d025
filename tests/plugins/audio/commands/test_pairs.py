"""`prefalign audio pairs` from files to what it prints."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from prefalign_audio.commands.pairs import main


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five clips of two captions: 3 good, 2 × 1 pairs, one caption mixed."""
    monkeypatch.setenv("PREFALIGN_CACHE", str(tmp_path / "cache"))
    given = [("a then b", 1), ("a then b", 0), ("a then b", 1), ("c, d and then e", 0), ("c, d and then e", 0)]
    rows = [{"captions": c, "location": f"{i}.wav", "feedback": label} for i, (c, label) in enumerate(given)]
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def ran(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_json(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, labels, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "file": "labels.jsonl",
        "prompts": 2,
        "clips": 5,
        "positives": 2,
        "mixed_prompts": 1,
        "pairs": 2,
        "tasks": {"integrity": 1, "temporal": 1},
        "rows_left_out": 0,
    }


def test_a_table_for_people(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, labels)
    assert code == 0
    assert out.splitlines() == [
        "labels.jsonl",
        "  prompts             2   integrity 1, temporal 1",
        "  clips               5",
        "  positives           2   40.0 % of the clips",
        "  mixed prompts       1   with both labels",
        "  pairs               2   (positive, negative) within a prompt",
    ]


def test_pairs_are_written(labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the clips' paths relative to the folder that is named."""
    out = tmp_path / "pairs.jsonl"
    assert ran(capsys, labels, "--out", out, "--media-folder", tmp_path / "clips", "--json")[0] == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    ends = [[response["media"][0]["path"] for response in row["responses"]] for row in rows]
    assert ends == [["0.wav", "1.wav"], ["2.wav", "1.wav"]]
    assert ran(capsys, labels, "--out", tmp_path / "pairs.csv")[::2] == (
        *(1, "error: pairs.csv: expected a name ending in .jsonl\n"),
    )


def test_a_threshold(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = [0.4, 0.3, 0.2]
    rows = [{"captions": "a then b", "location": f"{i}.wav", "SED": score} for i, score in enumerate(scores)]
    labels.write_text("\n".join(map(json.dumps, rows)))
    assert json.loads(ran(capsys, labels, "--json", "--threshold", 0.25)[1])["pairs"] == 2
    assert json.loads(ran(capsys, labels, "--json")[1])["positives"] == 0


def test_bad_rows(labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open(labels, "a") as file:
        file.write('{"captions": "a then b", "location": "9.wav", "feedback": 7}\n')
    code, out, err = ran(capsys, labels)
    problem = "labels.jsonl, line 6, field 'feedback': expected a label from 0 to 1, got 7.0"
    assert (code, out, err) == (1, "", f"error: {problem}\n")
    code, out, _ = ran(capsys, labels, "--skip-bad", "--json")
    assert (code, json.loads(out)["rows_left_out"], json.loads(out)["clips"]) == (0, 1, 5)
    assert "1 rows were left out" in ran(capsys, labels, "--skip-bad")[1]
    assert (tmp_path / "labels.jsonl.quarantine.jsonl").is_file()
    assert ran(capsys, tmp_path / "absent.jsonl")[0] == 1


@pytest.mark.parametrize(("events", "found"), [(2, (220, 1094, 686, 177, 905)), (3, (216, 1059, 474, 203, 1053))])
def test_the_published_labels(
    events: int, found: tuple[int, ...], capsys: pytest.CaptureFixture[str], labels: Path
) -> None:
    beside = Path(__file__).parents[4].parent / "shared" / "data"
    folder = Path(os.environ.get("PREFALIGN_TEST_DATA") or beside) / "audio"
    if not folder.is_dir():
        pytest.skip(f"no human labels at {folder}; set PREFALIGN_TEST_DATA to the folder that holds audio/")
    code, out, _ = ran(capsys, folder / f"baton_{events}label_HA.jsonl.gz", "--json")
    printed = json.loads(out)
    assert code == 0
    assert tuple(printed[n] for n in ("prompts", "clips", "positives", "mixed_prompts", "pairs")) == found
