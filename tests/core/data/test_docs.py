"""The data page is kept true: its rows are read, its table lists every format."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from prefalign.data.formats import LAYOUTS
from prefalign.data.formats.flat import FLAT_COLUMNS
from prefalign.data.sources import open_records

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
ROWS = [line for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("row", ROWS)
def test_rows_are_read(row: str, tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "cat.png")
    (tmp_path / "r.jsonl").write_text(row)
    source = open_records(tmp_path / "r.jsonl")
    assert (source.layout, len(source)) == ("flat", 1)


def test_there_are_rows_to_read() -> None:
    assert len(ROWS) == 7
    assert all(json.loads(row) for row in ROWS)


def test_the_table_lists_every_format_and_no_other() -> None:
    table = PAGE.partition("| format | columns |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(LAYOUTS)


def test_every_column_of_a_hand_written_row_is_explained() -> None:
    explained = set(re.findall(r"[`\"]([a-zA-Z_]+)[`\"]", PAGE.partition("## Use a set")[0]))
    assert not FLAT_COLUMNS - explained
