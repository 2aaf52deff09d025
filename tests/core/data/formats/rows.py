"""Reading one row in a layout, for the tests of the layouts."""

from typing import Any

from prefalign.data.formats import detect_layout
from prefalign.data.formats.layout import write_row
from prefalign.interfaces.record import Media, Message, PreferenceRecord, Slot


class OneRow:
    """Rows in memory, as the layouts see them."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, index: int) -> dict[str, Any]:
        return self.rows[index]

    def place(self, index: int) -> str:
        return f"rows, line {index + 1}"

    def raw(self, index: int) -> Any:
        return self.rows[index]


def read(row: dict[str, Any], layout: str) -> PreferenceRecord:
    """The record of a row, whose layout is found by its columns, and which is written back and read again."""
    found = detect_layout(OneRow(row))
    assert found.name == layout
    record = found.read(row, "row-1")
    again = found.read(write_row(found, record), "other")
    assert again == record
    return record


def turn(role: str, *content: str | Slot) -> Message:
    return Message(role, content)


IMAGE = Media(kind="image", path="a.png")
