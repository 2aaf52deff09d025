"""A table of preferences comes back as it was, and one of others is checked."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefalign_robotics.exports.preferences import SCHEMA, read_preferences, write_preferences
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.pairs import SegmentPair

PAIRS = [
    SegmentPair(
        pair_id="p",
        episode_index_a=3,
        start_a=0,
        episode_index_b=1,
        start_b=25,
        length=10,
        label=0.75,
        weight=2.5,
        annotator="ann",
        source="transferred",
        confidence=0.9,
    ),
    SegmentPair(pair_id="q", episode_index_a=0, start_a=0, episode_index_b=0, start_b=5, length=5, label=0.5),
]


def test_pairs_come_back_as_they_were(tmp_path):
    write_preferences(tmp_path / "t.parquet", PAIRS)
    assert read_preferences(tmp_path / "t.parquet") == PAIRS
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.column_names == [
        *("pair_id", "episode_index_a", "start_a", "episode_index_b", "start_b", "length"),
        *("label", "weight", "annotator", "source", "confidence"),
    ]
    assert table["confidence"].to_pylist() == [0.9, None]
    assert b"segment b is better" in table.schema.metadata[b"label"]


def others(**columns):
    plain = {
        "pair_id": [7, 8],
        "episode_index_a": pa.array([0, 1], pa.int32()),
        "start_a": pa.array([0, 0], pa.uint16()),
        "episode_index_b": [1, 0],
        "start_b": [3, 4],
        "length": [5, 5],
        "label": [1, 0],
        "note": ["x", "y"],
    }
    return pa.table({name: values for name, values in (plain | columns).items() if values is not None})


def test_a_table_of_others_may_have_other_widths_and_further_columns(tmp_path):
    pq.write_table(others(confidence=pa.nulls(2)), tmp_path / "t.parquet")
    first, second = read_preferences(tmp_path / "t.parquet")
    assert (first.pair_id, first.label, first.weight, first.source) == ("7", 1.0, 1.0, "human")
    assert second.segments == ((1, 0, 5), (0, 4, 5))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": None}, r"t.parquet: no column 'label'; it holds pair_id"),
        ({"label": [0.5, 1.5]}, r"t.parquet, row 1: pair '8': expected a label in \[0, 1\], got 1.5"),
        ({"label": [0.5, None]}, "row 1: column 'label' is empty"),
        ({"label": ["1", "0"]}, "expected column 'label' of double, got string"),
        ({"start_a": [0.0, 1.5]}, "expected column 'start_a' of int64, got double"),
        ({"length": [5, -5]}, "row 1: pair '8': expected length of at least 1"),
        ({"start_b": pa.array([3, 2**63], pa.uint64())}, "column 'start_b' does not fit int64"),
        ({"pair_id": ["a", "a"]}, "2 pairs have the id 'a'; expected it once"),
        ({"source": ["human", "guess"]}, "row 1: pair '8': expected source to be one of"),
        ({"weight": [1.0, float("nan")]}, "row 1: pair '8': expected a finite weight"),
        ({"annotator": [1, 2]}, "expected column 'annotator' of string, got int64"),
    ],
)
def test_what_does_not_fit_is_named_by_row_and_column(tmp_path, columns, message):
    pq.write_table(others(**columns), tmp_path / "t.parquet")
    with pytest.raises(SegmentError, match=message):
        read_preferences(tmp_path / "t.parquet")


def test_damaged_and_empty_tables_are_refused(tmp_path):
    path = tmp_path / "t.parquet"
    with pytest.raises(SegmentError, match="no such file"):
        read_preferences(path)
    write_preferences(path, PAIRS)
    whole = path.read_bytes()
    for damaged in (b"", b"PAR1", whole[:-30], whole[:4] + bytes(300) + whole[304:]):
        path.write_bytes(damaged)
        with pytest.raises(SegmentError, match="damaged, or no Parquet file"):
            read_preferences(path)
    pq.write_table(SCHEMA.empty_table(), path)
    with pytest.raises(SegmentError, match="at least one pair, got none"):
        read_preferences(path)


def test_texts_that_are_no_unicode_are_refused(tmp_path):
    offsets = pa.py_buffer(np.array([0, 1, 2], np.int32).tobytes())
    names = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"a\xff"))
    pq.write_table(others(pair_id=names), tmp_path / "t.parquet")
    with pytest.raises(SegmentError, match="damaged"):
        read_preferences(tmp_path / "t.parquet")


def test_nothing_is_written_of_pairs_that_cannot_be_told_apart(tmp_path):
    with pytest.raises(SegmentError, match="2 pairs have the id 'p'"):
        write_preferences(tmp_path / "t.parquet", [PAIRS[0], PAIRS[0]])
    with pytest.raises(SegmentError, match="at least one pair"):
        write_preferences(tmp_path / "t.parquet", [])
    assert list(tmp_path.iterdir()) == []
