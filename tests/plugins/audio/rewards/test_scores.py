"""Score files say whose scores they are."""

import json
from pathlib import Path

import pytest

from prefalign_audio.rewards.scores import ScoreFileError, read_scores, write_scores

HEADER = {"prefalign_scores": 1, "fingerprint": "abc", "reward": "baton"}


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    scores = {"a/1.wav": 0.0, "b\u2028\n2.wav": 1.0, "ä": 0.123456789012345}
    write_scores(tmp_path / "s.jsonl", scores, "abc", "baton")
    found = read_scores(tmp_path / "s.jsonl", "abc")
    assert found.scores == scores
    assert (found.fingerprint, found.reward) == ("abc", "baton")
    assert read_scores(tmp_path / "s.jsonl").scores == scores
    assert json.loads((tmp_path / "s.jsonl").read_text().split("\n")[0]) == HEADER


def test_scores_of_another_model_are_refused_by_both_names(tmp_path: Path) -> None:
    write_scores(tmp_path / "s.jsonl", {"a": 0.5}, "abc", "baton")
    with pytest.raises(
        ScoreFileError, match=r"s\.jsonl: scores of another model: .*'baton' with fingerprint abc.* def "
    ):
        read_scores(tmp_path / "s.jsonl", "def")


@pytest.mark.parametrize("score", [1.5, -0.1, "0.5", None, True, float("nan"), float("inf")])
def test_scores_outside_their_range_are_refused_with_their_line(tmp_path: Path, score: object) -> None:
    path = write_lines(tmp_path / "s.jsonl", HEADER, {"id": "a", "score": 1}, {"id": "b", "score": score})
    with pytest.raises(ScoreFileError, match=r"s\.jsonl, line 3: expected a score in \[0, 1\]"):
        read_scores(path, "abc")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "line 1 is no header"),
        ([{"id": "a", "score": 0.5}], "line 1 is no header"),
        ([{**HEADER, "prefalign_scores": 2}], "line 1 is no header"),
        ([{**HEADER, "fingerprint": 7}], "line 1 is no header"),
        (["[1]"], "line 1: expected an object, got list"),
        ([HEADER, {"id": "a", "score": 0.5}, {"id": "a", "score": 0.6}], "line 3: the id 'a' comes twice"),
        ([HEADER, {"score": 0.5}], "line 2: expected an id as text, got None"),
        ([HEADER, {"id": "", "score": 0.5}], "line 2: expected an id"),
        ([HEADER, '{"id": "a", "sc'], r"line 2: no JSON .*cut off"),
        ([HEADER, "0.5"], "line 2: expected an object, got float"),
    ],
)
def test_damaged_files_are_refused_with_the_line(tmp_path: Path, lines: list[object], said: str) -> None:
    with pytest.raises(ScoreFileError, match=said):
        read_scores(write_lines(tmp_path / "s.jsonl", *lines))


def test_absent_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScoreFileError, match=r"none\.jsonl: cannot be read"):
        read_scores(tmp_path / "none.jsonl")
    (tmp_path / "s.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScoreFileError, match="cannot be read"):
        read_scores(tmp_path / "s.jsonl")


def test_a_bad_score_is_never_written_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    write_scores(path, {"a": 0.5}, "abc", "baton")
    with pytest.raises(ScoreFileError, match=r"clip 'b': expected a score in \[0, 1\], got 2"):
        write_scores(path, {"a": 0.1, "b": 2}, "abc", "baton")
    assert read_scores(path).scores == {"a": 0.5}
