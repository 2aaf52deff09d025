"""`prefalign data`, run through the main command."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefalign.cli import data
from prefalign.cli.main import main

ROWS = [
    {
        "id": "p1",
        "prompt": "Describe.",
        "chosen": "a red cube",
        "rejected": "a cube",
        "margin": 0.5,
        "annotator": "kim",
    },
    {"id": "p2", "prompt": "Count.", "chosen": "two", "rejected": "three", "tie": True},
    {"id": "p3", "prompt": "Why?", "responses": ["a", "b"], "rewards": [0.25, 1]},
]


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`rows(*rows)`: the path of a JSONL file of them."""
    monkeypatch.setenv("PREFALIGN_CACHE", str(tmp_path / "cache"))

    def write(*found: dict[str, Any], name: str = "r.jsonl") -> str:
        path = tmp_path / "set" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in found or ROWS))
        return str(path)

    return write


def test_help_needs_no_torch() -> None:
    program = (
        "import sys; from prefalign.cli.data import main\n"
        "try: main([sys.argv[1], '--help'])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'numpy', 'pyarrow'} & set(sys.modules), sorted(sys.modules)"
    )
    for command in ("show", "validate", "convert", "stats"):
        found = subprocess.run([sys.executable, "-c", program, command], capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr
        assert f"usage: prefalign data {command}" in found.stdout


def test_show_prints_records(rows: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", rows(), "--count", "2"]) == 0
    assert capsys.readouterr().out == (
        "p1  (pair, margin 0.5, annotator kim)\n"
        "  prompt: Describe.\n"
        "  chosen: a red cube\n"
        "  rejected: a cube\n"
        "\n"
        "p2  (pair, tie, P = 0.5)\n"
        "  prompt: Count.\n"
        "  chosen: two\n"
        "  rejected: three\n"
    )
    assert main(["data", "show", rows(), "--id", "p3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [record["id"] for record in found] == ["p3"]
    assert found[0]["verdict"] == {"kind": "group", "rewards": [0.25, 1.0]}
    assert main(["data", "show", rows(), "--start", "2"]) == 0
    assert "reward 0.25: a\n  reward 1: b" in capsys.readouterr().out
    assert main(["data", "show", rows(), "--id", "p9"]) == 2
    assert "error: r.jsonl has no record of id 'p9'" in capsys.readouterr().err


def test_show_names_every_part_of_a_record(rows: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    chosen = {
        "messages": [{"role": "assistant", "content": [{"text": "x\ny"}, {"slot": "audio"}]}],
        "token_ids": [1, 2],
        "media": [{"kind": "audio", "data": "eHk="}],
        "arrays": {"actions": {"dtype": "float32", "values": [[1, 2]]}},
        "segments": [[0, 1, -2.0, "token"]],
        "scores": {"fun": 0.5},
        "ref_logp": -3.0,
        "source": "model-a",
        "context": {"text": "other"},
    }
    row = {"id": "all", "prompt": "p", "conditions": {"bpm": 90}, "chosen": chosen, "rejected": "b", "reference": "c"}
    row |= {"criteria": {"helpful": {"kind": "pair"}}, "provenance": {"seed": 1}, "weight": 2, "source": "set"}
    assert main(["data", "show", rows(row)]) == 0
    printed = capsys.readouterr().out
    for part in (
        "all  (pair, weight 2, source set)",
        "bpm = 90",
        "chosen: <assistant> x",
        "    <assistant> y<audio>",
        "[audio: 2 bytes]",
        "2 tokens",
        "actions: float32[1, 2]",
        "[0, 1) token × -2",
        "score fun = 0.5",
        "reference log-probability -3 nats",
        "by model-a",
        "in its own context:",
        "criterion helpful: Pair(",
        "reference: c",
        'provenance: {"seed": 1}',
    ):
        assert part in printed


def test_validate(rows: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["data", "validate", rows()]) == 0
    assert capsys.readouterr().out == "r.jsonl: 3 usable records, format flat\n"
    bad = rows(*ROWS, {**ROWS[0], "id": "p4", "wieght": 2})
    assert main(["data", "validate", bad]) == 2
    expected = "error: r.jsonl, line 4, record 'p4', field 'wieght': unknown field; did you mean 'weight'?\n"
    assert capsys.readouterr().err == expected
    assert main(["data", "validate", bad, "--on-bad-record", "skip", "--json", "--format", "flat"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found == {"name": "r.jsonl", "format": "flat", "records": 3, "left_out": 1}
    assert (tmp_path / "set" / "r.jsonl.quarantine.jsonl").exists()


def test_stats(rows: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "stats", rows(), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["relations"]) == ("r.jsonl", {"pair": 2, "group": 1})
    assert main(["data", "stats", rows()]) == 0
    printed = capsys.readouterr().out
    assert "r.jsonl: 3 records" in printed
    assert "length bias\n  char: pairs 2, chosen longer 0.5, chosen shorter 0, mean difference 2.0" in printed


def test_convert_and_back(rows: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = str(tmp_path / "out" / "r.parquet")
    assert main(["data", "convert", rows(), table]) == 0
    assert capsys.readouterr().out == f"{table}: 3 records\n"
    assert main(["data", "convert", rows(), table]) == 2
    assert f"error: {table} exists; add --overwrite to replace it" in capsys.readouterr().err
    back = str(tmp_path / "out" / "r.jsonl")
    assert main(["data", "convert", table, back, "--to", "flat", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"output": back, "format": "flat", "records": 3}
    found = [json.loads(line) for line in Path(back).read_text().splitlines()]
    assert found == [*ROWS[:2], {**ROWS[2], "rewards": [0.25, 1.0]}]


@pytest.mark.parametrize(
    ("layout", "columns"),
    [
        ("llamafactory", {"id", "conversations", "chosen", "rejected"}),
        ("swift", {"id", "messages", "rejected_response"}),
        ("rejected_conversations", {"id", "conversations", "rejected_conversations"}),
        ("trl", {"id", "prompt", "chosen", "rejected"}),
    ],
)
def test_text_becomes_turns_where_it_is_asked_for(
    rows: Callable[..., str], tmp_path: Path, layout: str, columns: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    source = rows({"id": "p", "prompt": "Why?", "chosen": "Because.", "rejected": "No idea."})
    output = tmp_path / "out.json"
    if layout != "trl":
        assert main(["data", "convert", source, str(output), "--to", layout]) == 2
        message = capsys.readouterr().err
        assert "record 'p', field 'prompt': " in message
        assert "convert --chat" in message
    assert main(["data", "convert", source, str(output), "--to", layout, "--chat"]) == 0
    assert set(json.loads(output.read_text())[0]) == columns
    assert main(["data", "validate", str(output)]) == 0
    capsys.readouterr()
    assert main(["data", "show", str(output)]) == 0
    assert "prompt: <user> Why?\n  chosen: <assistant> Because." in capsys.readouterr().out


def test_a_refused_conversion_leaves_nothing(
    rows: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.jsonl"
    assert main(["data", "convert", rows(), str(output), "--to", "trl"]) == 2
    assert "error: record 'p1', field 'annotator': layout 'trl' has no place for this value" in capsys.readouterr().err
    assert not output.exists()
    assert main(["data", "convert", rows(), str(tmp_path / "o.npz"), "--to", "trl"]) == 2
    assert "an .npz file holds the layout 'imitation', not 'trl'" in capsys.readouterr().err


def test_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "formats"]) == 0
    printed = capsys.readouterr().out
    for name in ("canonical", "flat", "trl", "llamafactory", "swift", "align_anything", "pickapic", "imitation"):
        assert f"\n{name} " in printed


def test_a_wrong_word_is_refused(capsys: pytest.CaptureFixture[str], rows: Callable[..., str]) -> None:
    assert main(["data", "validate", rows(), "--format", "lama"]) == 2
    assert "error: unknown format 'lama'" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        data.main(["frobnicate"])
