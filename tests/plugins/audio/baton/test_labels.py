"""BATON's labels as records: every layout, the task, and rows that cannot be used."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefalign.interfaces import Group, Media, PrefalignError, RecordError, Unary
from prefalign_audio.baton.labels import LabelSource, open_baton, task_of

Write = Callable[..., Path]


def row(caption: str = "bird then bell", number: int = 0, label: Any = 1, **changes: Any) -> dict[str, Any]:
    made = {"dataset": "2label_HA", "location": f"clips/{caption}_{number}.wav", "captions": caption, "feedback": label}
    return {name: value for name, value in (made | changes).items() if value is not ...}


def test_one_record_a_caption(labels: Write, tmp_path: Path) -> None:
    """Clips by name, captions by first appearance, labels beside their clips; nobody asks whether there is a sound."""
    path = labels([row(number=1, label=0), row("a then b", label=0), row(number=0), row("a then b", 1, 0)])
    source = LabelSource(path)
    assert (len(source), source.name, source.folder, source.dropped) == (2, "labels.jsonl", tmp_path, 0)
    first, second = source[0], source[1]
    assert first.prompt.text == "bird then bell"
    assert [response.media for response in first.responses] == [
        (Media(kind="audio", path=str(tmp_path / f"clips/bird then bell_{i}.wav")),) for i in (0, 1)
    ]
    assert [dict(response.scores) for response in first.responses] == [{"label": 1.0}, {"label": 0.0}]
    assert first.verdict == Unary((True, False))
    assert second.verdict == Unary((False, False))
    assert first.prompt.conditions == {"task": "integrity", "events": ["bird", "bell"]}
    assert (first.annotator, first.source) == ("people", "2label_HA")
    assert first.id.startswith("2label_HA-")
    assert first.id != second.id
    with pytest.raises(IndexError, match="record 2 of 2"):
        source[2]
    assert pickle.loads(pickle.dumps(source))[1] == second


def test_an_id_hangs_on_the_caption_alone(labels: Write) -> None:
    one = LabelSource(labels([row(), row("a then b")], "one.jsonl"))
    two = LabelSource(labels([row("a then b", 3)], "two.jsonl"))
    assert one[1].id == two[0].id


def test_scores_of_the_reward_model_are_a_group(labels: Write) -> None:
    """Whole numbers too: the model's 1 is no person's 1. A person's 0.5 is no plain label either."""
    rows = [row(number=i, feedback=..., SED=score) for i, score in enumerate((0.25, 1))]
    record = LabelSource(labels(rows))[0]
    assert record.verdict == Group((0.25, 1.0))
    assert record.annotator == "reward model"
    rows = [row(number=i, feedback=..., SED=score) for i, score in enumerate((0, 1))]
    assert LabelSource(labels(rows))[0].verdict == Group((0.0, 1.0))
    assert LabelSource(labels([row(label=0.5), row(number=1, label=1)]))[0].verdict == Group((0.5, 1.0))


def test_sets_are_kept_apart(labels: Write) -> None:
    """The same caption labelled by people and scored by the model makes two records."""
    model = row(feedback=..., SED=0.5, dataset="2label_RA", location="other/0.wav")
    source = LabelSource(labels([row(), model, row(number=1)]))
    assert [(record.source, len(record.responses)) for record in (source[0], source[1])] == [
        *(("2label_HA", 2), ("2label_RA", 1))
    ]


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.jsonl.gz", "lines.json", "array.json", "indented.json"])
def test_every_layout_reads_the_same(labels: Write, tmp_path: Path, name: str) -> None:
    rows = [row(), row(number=1, label=0), row("a then b")]
    if name in ("array.json", "indented.json"):
        path = tmp_path / name
        path.write_text(json.dumps(rows, indent=2 if name == "indented.json" else None))
    else:
        path = labels(rows, name)
    source = LabelSource(path)
    assert [source[i] for i in range(len(source))] == [
        LabelSource(labels(rows, "plain.jsonl"))[i] for i in range(len(source))
    ]
    assert len(source) == 2


@pytest.mark.parametrize("indent", [None, 4])
def test_grouped_labels(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "grouped_ratings_2label.json"
    groups = {"a bird sings": {"0_0.wav": 1.0, "0_1.wav": 0.0}, "a then b": {"1_0.wav": 1.0}}
    path.write_text(json.dumps({"grouped_ratings": groups}, indent=indent))
    source = LabelSource(path)
    assert [source[0].verdict, source[1].verdict] == [Unary((True, False)), Unary((True,))]
    assert source[0].prompt.conditions == {"task": "integrity"}
    assert source[0].responses[1].media[0].path == str(tmp_path / "0_1.wav")
    path.write_text(json.dumps({"grouped_ratings": {"a then b": {"1_0.wav": 2}}}, indent=indent))
    with pytest.raises(RecordError, match=r"2label.json, clip '1_0.wav', field 'feedback': expected a label from 0 to"):
        LabelSource(path)
    path.write_text(json.dumps({"grouped_ratings": {}}, indent=indent))
    with pytest.raises(RecordError, match="there are no labels in it"):
        LabelSource(path)


@pytest.mark.parametrize(
    ("caption", "dataset", "task"),
    [
        ("bird then bell", None, "integrity"),
        ("bird and bell", "mine", "integrity"),
        ("bird, bell and then gun", None, "temporal"),
        ("Conversation fills an urban outdoor space", "2label_HA", "integrity"),
        ("bird then bell", "3label_RA", "temporal"),
    ],
)
def test_the_task(caption: str, dataset: str | None, task: str) -> None:
    assert task_of(caption, dataset) == task


def test_events_that_do_not_fit_the_task_are_not_stored(labels: Write) -> None:
    record = LabelSource(labels([row(dataset="3label_HA")]))[0]
    assert record.prompt.conditions == {"task": "temporal"}


BAD: list[tuple[Any, str]] = [
    (row(label=1.5), r"field 'feedback': expected a label from 0 to 1, got 1\.5"),
    (row(label=-1), r"field 'feedback': expected a label from 0 to 1, got -1\.0"),
    (row(label=float("nan")), "field 'feedback': expected a label from 0 to 1, got nan"),
    (row(label="1"), "field 'feedback': expected a number, got '1'"),
    (row(label=True), "field 'feedback': expected a number, got True"),
    (row(label=...), "field 'feedback': expected a number, got nothing"),
    (row(label=..., feedbak=1), "field 'feedback': expected a number, got nothing; is 'feedbak' meant"),
    (row(feedback=..., SED=2), "field 'SED': expected a label from 0 to 1, got 2"),
    (row(SED=0.5), "field 'SED': expected a label under 'feedback' or under 'SED', got both"),
    (row(captions=..., captons="a then b"), "field 'captions': expected text, got nothing; is 'captons' meant"),
    (row(captions=" … "), "field 'captions': expected a caption that names events"),
    (row("a bird sings", dataset=...), "field 'captions': expected a caption of two or three events"),
    (row(location=...), "field 'location': expected text, got nothing"),
    (row(location="../out.wav"), r"field 'location': expected a path inside .*'\.\./out\.wav' leaves it"),
    (row(location="/etc/passwd"), "field 'location': expected a path relative to"),
    (row(location="."), "field 'location': expected a path inside"),
    (row(location="https://x.org/a.wav"), "field 'location': expected the name of a file"),
    (row(location="a\0b"), "field 'location': expected the name of a file"),
    (row(location="link/out.wav"), "field 'location': expected a path inside"),
    (
        row(number=9, location="clips/../clips/bird then bell_0.wav"),
        "field 'location': the clip is labelled already at labels.jsonl, line 1",
    ),
    ('{"captions": "a then b", ', "field 'row': expected JSON"),
    ('{"captions": "a", "captions": "b"}', "field 'captions': the key stands twice"),
    ("[1]", "field 'row': expected an object"),
]


@pytest.mark.parametrize(("bad", "problem"), BAD)
def test_bad_rows_are_refused_with_their_place(labels: Write, tmp_path: Path, bad: Any, problem: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path.parent)
    path = labels([row(), "", bad])
    with pytest.raises(RecordError, match=f"^labels.jsonl, line 3, {problem}"):
        LabelSource(path)


def test_an_absolute_path_is_refused_even_inside_the_folder(labels: Write, tmp_path: Path) -> None:
    """It would lead elsewhere once the folder is moved."""
    with pytest.raises(RecordError, match=r"line 1, field 'location': expected a path relative to"):
        LabelSource(labels([row(location=str(tmp_path / "a.wav"))]))


def test_bad_rows_go_into_quarantine(labels: Write, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path.parent)
    path = labels([row(), "", *(bad for bad, _ in BAD), row(number=1, label=0)])
    source = LabelSource(path, on_bad="skip")
    assert (len(source), len(source[0].responses), source.dropped) == (1, 2, len(BAD))
    lines = (tmp_path / "labels.jsonl.quarantine.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["where"] for entry in entries] == [f"labels.jsonl, line {3 + i}" for i in range(len(BAD))]
    assert entries[0]["field"] == "feedback"
    assert json.loads(entries[0]["row"]) == BAD[0][0]
    with pytest.raises(PrefalignError, match="none of its 1 rows is usable"):
        LabelSource(labels([row(label=2)]), on_bad="skip", quarantine=tmp_path / "q")
    assert (tmp_path / "q" / "labels.jsonl.quarantine.jsonl").is_file()


def test_files_that_are_no_labels(tmp_path: Path, labels: Write) -> None:
    with pytest.raises(PrefalignError, match=r"there is no file or folder .*labls.jsonl'"):
        LabelSource(tmp_path / "labls.jsonl")
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(PrefalignError, match=r"x.parquet: expected a file of labels ending in .jsonl"):
        LabelSource(tmp_path / "x.parquet")
    (tmp_path / "broken.jsonl.gz").write_bytes(b"\x1f\x8b\x08nothing")
    with pytest.raises(RecordError, match=r"broken\.jsonl\.gz, field 'file': expected gzip"):
        LabelSource(tmp_path / "broken.jsonl.gz")
    (tmp_path / "other.json").write_text('{\n"ratings": {}}')
    with pytest.raises(RecordError, match=r"other\.json, field 'grouped_ratings': expected an object, got nothing"):
        LabelSource(tmp_path / "other.json")
    with pytest.raises(PrefalignError, match="unknown on_bad 'skp'; did you mean 'skip'"):
        LabelSource(labels([row()]), on_bad="skp")


def test_addresses(labels: Write, tmp_path: Path) -> None:
    path = labels([row(), row(label=3)])
    assert open_baton("rlhfv:x", "train") is None
    assert open_baton("baton:", "train") is None
    source = open_baton(f"baton:{path}?on_bad=skip&media_folder={tmp_path}/my%20clips", "train")
    assert source is not None
    assert source.media_folder == tmp_path / "my clips"
    assert source[0].responses[0].media[0].path == str(tmp_path / "my clips/clips/bird then bell_0.wav")
    with pytest.raises(PrefalignError, match="unknown option 'on_bd'; did you mean 'on_bad'"):
        open_baton(f"baton:{path}?on_bd=skip", "train")
    odd = tmp_path / "a?b.jsonl"
    os.rename(path, odd)
    with pytest.raises(RecordError, match=r"a\?b.jsonl, line 2"):
        open_baton(f"baton:{odd}", "train")
