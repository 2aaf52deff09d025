"""Sources: random access without holding the set, one pass that is made once, and sets joined."""

import gzip
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefalign.data import validate
from prefalign.data.quarantine import write_quarantine
from prefalign.data.sources import concatenate, iterate, open_records
from prefalign.data.store import append_parquet, write_records
from prefalign.interfaces.errors import PrefalignError, RecordError
from prefalign.interfaces.record import Media, PreferenceRecord, Prompt, Response
from prefalign.interfaces.verdict import Pair


def pair(name: str, prompt: str = "p") -> PreferenceRecord:
    answers = (Response(text=f"yes {name}"), Response(text=f"no {name}"))
    return PreferenceRecord(id=name, prompt=Prompt(text=prompt), responses=answers, verdict=Pair())


def pairs(count: int, prefix: str = "r") -> list[PreferenceRecord]:
    return [pair(f"{prefix}{i}") for i in range(count)]


def row(name: str, **columns: Any) -> dict[str, Any]:
    return {"id": name, "prompt": "p", "chosen": "a", "rejected": "b", **columns}


def write_lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


@pytest.mark.parametrize("name", ["r.jsonl", "r.json", "r.parquet", "r.jsonl.gz"])
def test_records_are_had_by_index(tmp_path: Path, name: str) -> None:
    records = pairs(2600)
    path = tmp_path / name
    if name.endswith(".gz"):
        write_records(records, tmp_path / "r.jsonl")
        path.write_bytes(gzip.compress((tmp_path / "r.jsonl").read_bytes()))
    else:
        write_records(records, path)
    source = open_records(path)
    assert (source.name, len(source)) == (name, 2600)
    for index in (0, 1023, 1024, 2599, -1, -2600):
        assert source[index] == records[index]
    assert source[10:13] == records[10:13]
    assert list(source) == records
    with pytest.raises(IndexError):
        source[2600]


def test_a_prefix_states_the_container(tmp_path: Path) -> None:
    write_records(pairs(2), tmp_path / "r.jsonl")
    (tmp_path / "r.jsonl").rename(tmp_path / "r.txt")
    assert len(open_records(f"jsonl:{tmp_path}/r.txt")) == 2


def test_an_array_larger_than_the_buffer(tmp_path: Path) -> None:
    """Elements cross the borders of the 1 MiB blocks in which the file is read."""
    rows = [row(f"r{i}", prompt="word ]},{[ " * 3000) for i in range(100)]
    (tmp_path / "r.json").write_text(json.dumps(rows, indent=2))
    source = open_records(tmp_path / "r.json")
    assert [record.id for record in source] == [f"r{i}" for i in range(100)]
    assert source[50].prompt.text == "word ]},{[ " * 3000


def test_worker_processes_share_a_source(tmp_path: Path) -> None:
    """Forked workers read at the same time through one descriptor, spawned ones from a pickle."""
    for name in ("r.jsonl", "r.parquet"):
        write_records(pairs(300), tmp_path / name)
        source = open_records(tmp_path / name)
        assert source[0].id == "r0"  # the file is open before the fork
        copy = pickle.loads(pickle.dumps(source))
        assert list(copy) == list(source)
        assert copy.name == name
        with multiprocessing.get_context("fork").Pool(2) as pool:
            found = pool.map(Reader(source), range(300), chunksize=10)
        assert found == [f"r{i}" for i in range(300)]


class Reader:
    def __init__(self, source: Any) -> None:
        self.source = source

    def __call__(self, index: int) -> str:
        return str(self.source[index].id)


# ------------------------------------------------------------------------------------------------------ the pass, once


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Indices of the records that are made, in order."""
    seen: list[int] = []
    real = validate.RecordReader.__call__

    def count(self: Any, index: int, check: Any = None) -> PreferenceRecord:
        seen.append(index)
        return real(self, index, check)

    monkeypatch.setattr(validate.RecordReader, "__call__", count)
    return seen


@pytest.mark.parametrize("name", ["r.jsonl", "r.parquet"])
def test_an_unchanged_file_is_not_checked_again(tmp_path: Path, reads: list[int], name: str) -> None:
    write_records(pairs(5), tmp_path / name)
    open_records(tmp_path / name)
    assert reads == [0, 1, 2, 3, 4]
    open_records(tmp_path / name)
    os.utime(tmp_path / name)  # touched: the content is hashed, and is the same
    open_records(tmp_path / name)
    assert reads == [0, 1, 2, 3, 4]
    write_records(pairs(5, "s"), tmp_path / name)  # same size, other content
    assert open_records(tmp_path / name)[0].id == "s0"
    assert reads == [0, 1, 2, 3, 4] * 2 + [0]


def test_a_file_that_changes_within_the_clocks_grain_is_noticed(tmp_path: Path) -> None:
    """Size and modification time are those of the checked file; only the content differs."""
    path = write_lines(tmp_path / "r.jsonl", row("a", weight=10))
    status = path.stat()
    open_records(path)
    write_lines(path, row("a", weight=-1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    with pytest.raises(RecordError, match=r"got -1"):
        open_records(path)


def test_an_old_file_is_not_even_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    path = write_lines(tmp_path / "r.jsonl", row("a"))
    os.utime(path, (1e9, 1e9))
    open_records(path)
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert len(open_records(path)) == 1


def test_a_refused_file_is_refused_again_and_skipping_does_not_excuse_it(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "r.jsonl", row("a"), row("b", weight=-1), row("c"))
    for _ in range(2):
        with pytest.raises(RecordError, match="line 2"):
            open_records(path)
    for _ in range(2):
        assert [record.id for record in open_records(path, on_bad="skip")] == ["a", "c"]
    with pytest.raises(RecordError, match="line 2"):
        open_records(path)


def test_the_quarantine_is_written_again_where_it_is_missing(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "r.jsonl", row("a"), row("b", weight=-1))
    quarantine = tmp_path / "r.jsonl.quarantine.jsonl"
    open_records(path, on_bad="skip")
    first = quarantine.read_text()
    quarantine.unlink()
    open_records(path, on_bad="skip")
    assert quarantine.read_text() == first
    entry = json.loads(first)
    assert json.loads(entry.pop("row")) == row("b", weight=-1)
    assert entry == {
        "stage": "reading",
        "where": "r.jsonl, line 2",
        "id": "b",
        "field": "weight",
        "problem": "expected a finite number of at least 0, got -1.0",
    }
    (tmp_path / "elsewhere").mkdir()
    open_records(path, on_bad="skip", quarantine=tmp_path / "elsewhere")
    open_records(path, on_bad="skip", quarantine=tmp_path / "mine.jsonl")
    assert (tmp_path / "elsewhere" / "r.jsonl.quarantine.jsonl").read_text() == first
    assert (tmp_path / "mine.jsonl").read_text() == first


def test_a_mended_file_has_no_quarantine(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "r.jsonl", row("a"), row("b", weight=-1))
    open_records(path, on_bad="skip")
    write_lines(path, row("a"), row("b"))
    assert open_records(path, on_bad="skip").dropped == 0
    assert [p.name for p in tmp_path.iterdir()] == ["r.jsonl"]


def test_stages_share_the_quarantine_file(tmp_path: Path) -> None:
    """What the reader and what the codec refused stand side by side, each replaced by its own stage only."""
    path = write_lines(tmp_path / "r.jsonl", row("a"), row("b", weight=-1), row("c"))
    source = open_records(path, on_bad="skip")
    for name in ("long", "longer"):
        refused = [(source[1], RecordError(f"{name} than the context", field="prompt", record_id="c"))]
        place = write_quarantine(source, refused)
    assert place == tmp_path / "r.jsonl.quarantine.jsonl"
    entries = [json.loads(line) for line in place.read_text().splitlines()]
    assert [(e["stage"], e["id"]) for e in entries] == [("reading", "b"), ("encoding", "c")]
    assert entries[1]["problem"] == "longer than the context"
    assert entries[1]["row"]["responses"] == [{"text": "a"}, {"text": "b"}]


def test_a_folder_that_cannot_be_written_to_asks_for_another_place(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "r.jsonl", row("a"), row("b", weight=-1))
    (tmp_path / "file").write_text("x")
    with pytest.raises(PrefalignError, match=r"cannot be written: .*; name another place for it"):
        open_records(path, on_bad="skip", quarantine=tmp_path / "file" / "q.jsonl")


# ------------------------------------------------------------------------------------------------------------- folders


def test_shards_of_a_folder_are_one_set(tmp_path: Path) -> None:
    append_parquet(pairs(3), tmp_path / "set")
    append_parquet(pairs(2, "s"), tmp_path / "set")
    source = open_records(tmp_path / "set")
    assert [record.id for record in source] == ["r0", "r1", "r2", "s0", "s1"]
    append_parquet([pair("r1")], tmp_path / "set")
    with pytest.raises(RecordError) as caught:
        open_records(tmp_path / "set")
    place = "part-00002.parquet, row 1, record 'r1', field 'id'"
    assert str(caught.value) == f"{place}: the id stands already at part-00000.parquet, row 2"


def test_splits_of_a_folder(tmp_path: Path) -> None:
    table = pa.table({"prompt": ["p"], "chosen": ["a"], "rejected": ["b"]})
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    assert len(open_records(tmp_path, split="train")) == 2
    assert len(open_records(tmp_path, split="test")) == 1
    with pytest.raises(PrefalignError, match="a split must be named; it holds test, train"):
        open_records(tmp_path)
    with pytest.raises(PrefalignError, match="there is no split 'val'; it holds test, train"):
        open_records(tmp_path, split="val")


def test_folders_that_datasets_saved(tmp_path: Path) -> None:
    import datasets

    rows = [{"prompt": "p", "chosen": f"a{i}", "rejected": "b"} for i in range(7)]
    whole = datasets.Dataset.from_list(rows)
    whole.save_to_disk(tmp_path / "one", num_shards=2)
    assert [record.responses[0].text for record in open_records(tmp_path / "one")] == [f"a{i}" for i in range(7)]
    whole.train_test_split(test_size=2, seed=0).save_to_disk(tmp_path / "two")
    assert len(open_records(tmp_path / "two", split="train")) == 5
    with pytest.raises(PrefalignError, match="a split must be named; it holds train, test"):
        open_records(tmp_path / "two")
    (tmp_path / "three").mkdir()
    with pytest.raises(PrefalignError, match="holds neither Parquet files nor a dataset"):
        open_records(tmp_path / "three")


def test_a_saved_state_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../x.arrow"}]}))
    with pytest.raises(PrefalignError, match=r"state\.json names files outside its folder"):
        open_records(tmp_path)


# ------------------------------------------------------------------------------------------------------ joined, plugins


def test_joined_sources(tmp_path: Path) -> None:
    write_records(pairs(3), tmp_path / "a.jsonl")
    write_records(pairs(2, "s"), tmp_path / "b.parquet")
    parts = [open_records(tmp_path / name) for name in ("a.jsonl", "b.parquet")]
    joined = concatenate(parts)
    assert [record.id for record in iterate(joined)] == ["r0", "r1", "r2", "s0", "s1"]
    assert (joined[-1].id, joined[3].id, joined.name) == ("s1", "s0", "a.jsonl + b.parquet")
    assert [record.id for record in joined[1:4]] == ["r1", "r2", "s0"]
    assert concatenate(parts[:1]) is parts[0]
    with pytest.raises(IndexError):
        joined[5]
    write_records([pair("s1")], tmp_path / "c.jsonl")
    third = open_records(tmp_path / "c.jsonl")
    with pytest.raises(RecordError) as caught:
        concatenate([*parts, third])
    assert str(caught.value) == "c.jsonl, record 's1', field 'id': the id stands in b.parquet and in c.jsonl"
    with pytest.raises(RecordError, match="record 'r2'"):
        concatenate([parts[0], InMemory([pair("x"), pair("r2")])])
    with pytest.raises(PrefalignError, match="at least one source"):
        concatenate([])


class InMemory(list[PreferenceRecord]):
    name = "memory"


def test_an_address_with_a_scheme_goes_to_the_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefalign.hooks import registry

    asked = []

    class Plugins:
        def open_pairs(self, uri: str, split: str) -> Any:
            asked.append((uri, split))
            return InMemory([pair("x")])

    monkeypatch.setattr(registry, "get_registry", Plugins)
    assert open_records("demo:shapes", split="test")[0].id == "x"
    open_records("demo:shapes")
    assert asked == [("demo:shapes", "test"), ("demo:shapes", "train")]
    odd = write_lines(tmp_path / "odd:name.jsonl", row("a"))
    monkeypatch.chdir(tmp_path)
    assert len(open_records(odd.name)) == 1
    assert len(asked) == 2


# -------------------------------------------------------------------------------------------------------------- memory


def large_rows(count: int) -> Iterator[PreferenceRecord]:
    rng = np.random.default_rng(0)
    for i in range(count):
        answers = tuple(Response(text=f"{side} {i} " + rng.bytes(500).hex()) for side in ("good", "bad"))
        yield PreferenceRecord(id=f"r{i}", prompt=Prompt(text="p"), responses=answers, verdict=Pair())


@pytest.mark.parametrize("name", ["r.jsonl", "r.json", "r.parquet"])
def test_a_set_is_not_held_in_memory(tmp_path: Path, name: str) -> None:
    """Some 6 MB of records; the pass and 500 reads may hold 1.5 MB of Python's memory at a time."""
    write_records(large_rows(3000), tmp_path / name)
    tracemalloc.start()
    try:
        source = open_records(tmp_path / name)
        for index in range(0, 3000, 6):
            source[index]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5e6, f"{peak / 1e6:.1f} MB"
    if name == "r.parquet":
        assert pa.total_allocated_bytes() < 1e6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["r.jsonl", "r.parquet"])
def test_a_set_of_200_mb_is_read_in_little_anonymous_memory(tmp_path: Path, name: str) -> None:
    """Of 200 MB, a fresh process holds less than 90 MB in anonymous memory; mapped pages are the system's."""
    write_records(large_rows(100_000), tmp_path / name)
    assert (tmp_path / name).stat().st_size > 1e8  # Parquet is compressed
    program = f"""
        import random
        def anonymous():
            return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("RssAnon")) * 1024
        from prefalign.data.sources import open_records
        before = anonymous()
        source = open_records({str(tmp_path / name)!r})
        for index in random.Random(0).sample(range(len(source)), 5000):
            assert source[index].id == f"r{{index}}"
        print(anonymous() - before)
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 90e6


def test_media_by_bytes_stay_where_they_are(tmp_path: Path, png: Any) -> None:
    records = [
        PreferenceRecord(
            id=f"r{i}",
            prompt=Prompt(text="p", media=(Media(kind="image", data=png((i, 0, 0), (64, 64))),)),
            responses=(Response(text="a"), Response(text="b")),
            verdict=Pair(),
        )
        for i in range(50)
    ]
    write_records(records, tmp_path / "r.parquet")
    assert list(open_records(tmp_path / "r.parquet")) == records
