"""`prefalign audio render`."""

import importlib.util
import json
from pathlib import Path

import pytest

from prefalign.cli.main import main as prefalign
from prefalign_audio.commands.render import main

needs_font = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("tinysoundfont", "pretty_midi")), reason="no soundfont"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    song = {"length": 2, "vocal": [[0, 2, 60, True]]}
    line = {"name": "one", "before": song, "after": song, "mode": "<minor>"}
    (tmp_path / "songs.jsonl").write_text(json.dumps(line), "utf-8")
    return tmp_path / "songs.jsonl"


@needs_font
def test_it_renders_and_writes_a_page(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = file.parent / "run"
    assert prefalign(["audio", "render", str(file), str(out), "--voice", "choir", "--title", "A & B"]) == 0
    assert capsys.readouterr().out.strip() == str(out / "index.html")
    assert (out / "before" / "one.wav").is_file()
    text = (out / "index.html").read_text("utf-8")
    assert "&lt;minor&gt;" in text
    assert "<h1>A &amp; B</h1>" in text


def test_what_cannot_be_rendered_is_said(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(file.parent / "none"), str(file.parent)]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main([str(file), str(file.parent), "--voice", "chior"]) == 2
    assert "unknown voice 'chior'" in capsys.readouterr().err
    assert main([str(file), str(file), "--voice", "choir"]) == 2  # a file, where a folder is wanted
    assert capsys.readouterr().err.startswith("error: ")
