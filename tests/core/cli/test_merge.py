"""The command: its arithmetic on files small enough to write down, its output, and flags that do not go together."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from prefalign.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models A (1, 1), B (3, 5) and a base (0, 1), of two tensors each, as relative paths."""
    monkeypatch.chdir(tmp_path)
    for name, body, head in (("A", 1.0, 1.0), ("B", 3.0, 5.0), ("BASE", 0.0, 1.0)):
        Path(name).mkdir()
        tensors = {"body.w": torch.tensor([body]), "head.w": torch.tensor([head])}
        save_file(tensors, Path(name, "model.safetensors"), {"format": "pt"})


def merged() -> list[float]:
    tensors = load_file("OUT/model.safetensors")
    return [tensors["body.w"].item(), tensors["head.w"].item()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("A B --weights 0.5,0.5", [2, 3]),
        ("A B --weights 1,1 --any-sum", [4, 6]),
        ("A B --weights 0.5,0.5 --module head=1,0", [2, 1]),
        ("A B --weights 0.5,0.5 --module *.w=0.25,0.75 --method task --base BASE", [2.5, 4]),
        ("B --weights 0.5 --method expo --base BASE", [4.5, 7]),
        ("A B --weights 2,-1 --method task --base BASE", [-1, -3]),
        ("A B --weights 0.5,0.5 --method ties --density 1 --base BASE", [2, 5]),
        ("A B --weights 1,1 --method dare --density 1 --seed 3 --base BASE", [4, 5]),
    ],
)
def test_the_methods_by_hand(folders: None, arguments: str, expected: list[float], capsys: Capture) -> None:
    """TIES of the heads: A changed nothing there, so that B's 4 stands alone: 1 + 4."""
    assert main(["merge", *arguments.split(), "--out", "OUT"]) == 0
    assert merged() == expected
    assert "OUT: whole model, " in capsys.readouterr().out


def test_json_is_what_the_folder_says_and_warnings(folders: None, capsys: Capture) -> None:
    Path("A/config.json").write_text('{"dropout": 0.1}')
    Path("B/config.json").write_text('{"dropout": 0.2}')
    assert main(["merge", "A", "B", "--weights", "0.5,0.5", "--out", "OUT", "--json"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report.pop("output") == "OUT"
    (warning,) = report.pop("warnings")
    assert warning in printed.err
    assert "B/config.json differs in 'dropout'" in warning
    assert report == json.loads(Path("OUT/merge.json").read_text())
    assert [model["name"] for model in report["models"]] == ["A", "B"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("A B --weights 0.5,0.6", "expected a sum of 1, got 1.1"),
        ("A B --weights 0.5,half", "--weights: expected numbers with commas between them, got '0.5,half'"),
        ("A B --weights 0.5,0.5 --module head", "expected PATTERN=w1,w2"),
        ("A B --weights 0.5,0.5 --module =1,0", "expected PATTERN=w1,w2"),
        ("A B --weights 0.5,0.5 --module head=1,x", "--module 'head': expected numbers"),
        ("A B --weights 0.5,0.5 --module head=1,0 --module head=0,1", "'head' is given twice"),
        ("A B --weights 0.5,0.5 --module haed=1,0", "unknown module pattern 'haed'; did you mean 'head'?"),
        ("A B --weights 0.5,0.5 --density 0.5", "--density belongs to --method ties and dare, not to interpolate"),
        ("A B --weights 0.5,0.5 --method ties --base BASE --seed 1", "--seed belongs to --method dare, not to ties"),
        ("A B --weights 1,1 --method task --any-sum --base BASE", "--any-sum belongs to --method interpolate"),
        ("A B --weights 1,1 --method task", "task needs the base"),
        ("A B --weights 1,1 --method expo --base BASE", "takes one model"),
        ("A C --weights 0.5,0.5", "there is no folder 'C'"),
    ],
)
def test_calls_that_cannot_work_print_one_line(folders: None, arguments: str, message: str, capsys: Capture) -> None:
    assert main(["merge", *arguments.split(), "--out", "OUT"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not Path("OUT").exists()


def test_help_names_the_methods_that_there_are(capsys: Capture) -> None:
    from prefalign.cli.merge import METHODS
    from prefalign.merging.methods import METHODS as CLASSES

    assert list(METHODS) == list(CLASSES)
    assert main(["merge", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name}: " in shown for name in METHODS)
    assert main(["--help"]) == 0
    assert "merge models: interpolate" in capsys.readouterr().out
