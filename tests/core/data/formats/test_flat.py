"""The hand-written form."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.data.formats.rows import IMAGE, read

from prefalign.data.formats import get_layout
from prefalign.data.formats.layout import write_row
from prefalign.data.sources import open_records
from prefalign.data.store import write_jsonl, write_records
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import Media, PreferenceRecord, Prompt, Response, Segment
from prefalign.interfaces.verdict import Group, Pair, Ranking, Unary


def test_a_flat_pair_with_everything() -> None:
    record = read(
        {
            "id": "p1",
            "prompt": "Describe.",
            "images": ["a.png"],
            "chosen": "a red cube",
            "rejected": "a blue cube",
            "chosen_segments": [[2, 5, 5.0]],
            "rejected_segments": [[2, 6, 5.0, "char"], [0, 1, -1.0, "token"]],
            "margin": 0.5,
            "weight": 2.0,
            "probability": 0.75,
            "annotator": "kim",
            "source": "demo",
            "ref_chosen_logps": -3.5,
            "reference": "a red cube on a table",
            "goal": [1.0, 0.0],
            "criteria": {"helpful": {"kind": "pair", "chosen": 1, "rejected": 0}},
            "conditions": {"language": "en"},
            "provenance": {"seed": 3},
        },
        "flat",
    )
    chosen = Response(text="a red cube", segments=(Segment(2, 5, 5.0),), ref_logp=-3.5)
    rejected = Response(text="a blue cube", segments=(Segment(2, 6, 5.0), Segment(0, 1, -1.0, "token")))
    assert record == PreferenceRecord(
        id="p1",
        prompt=Prompt(text="Describe.", media=(IMAGE,), conditions={"language": "en"}),
        responses=(chosen, rejected),
        verdict=Pair(probability=0.75),
        criteria={"helpful": Pair(1, 0)},
        margin=0.5,
        weight=2.0,
        annotator="kim",
        source="demo",
        reference_answer=Response(text="a red cube on a table"),
        goal=(1.0, 0.0),
        provenance={"seed": 3},
    )


def test_flat_ties_unary_rankings_and_groups() -> None:
    assert read({"prompt": "p", "chosen": "a", "rejected": "b", "tie": True}, "flat").verdict == Pair(0, 1, 0.5, True)
    unary = read({"prompt": "p", "completion": "a", "label": False, "ref_logps": -2.0}, "flat")
    assert (unary.verdict, unary.responses) == (Unary((False,)), (Response(text="a", ref_logp=-2.0),))
    many = {"prompt": "p", "responses": ["a", "b", "c"]}
    assert read(many | {"ranks": [1, 0, 1]}, "flat").verdict == Ranking((1, 0, 1))
    assert read(many | {"rewards": [1, 0.5, -2]}, "flat").verdict == Group((1.0, 0.5, -2.0))
    assert read(many | {"labels": [True, False, True]}, "flat").verdict == Unary((True, False, True))


def test_a_flat_response_may_be_an_object() -> None:
    arrays = {"actions": {"dtype": "float32", "values": [[0.5]]}}
    record = read({"chosen": {"arrays": arrays}, "rejected": {"token_ids": [1, 2]}}, "flat")
    assert record.responses[0].arrays["actions"].tolist() == [[0.5]]
    assert record.responses[1] == Response(token_ids=(1, 2))


def test_pairs_that_differ_in_their_context() -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "a", "rejected_context": {"prompt": "p", "images": ["b.png"]}}
    record = read(row, "flat")
    assert record.responses[1].context == Prompt(text="p", media=(Media(kind="image", path="b.png"),))


def test_a_picture_alone_is_a_prompt() -> None:
    """Both captions begin with `A `, which no reader may take for an implicit prompt."""
    record = read({"image": "a.png", "chosen": "A cat.", "rejected": "A dog."}, "flat")
    assert record.prompt == Prompt(media=(IMAGE,))
    assert [response.text for response in record.responses] == ["A cat.", "A dog."]


def test_an_id_is_derived_from_row_and_content_or_taken(tmp_path: Path) -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    rows = [row, row, {**row, "id": 7}, {**row, "id": "x"}]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    ids = [record.id for record in open_records(tmp_path / "r.jsonl")]
    assert ids[2:] == ["7", "x"]
    assert ids[0] != ids[1]
    assert [name.partition("-")[0] for name in ids[:2]] == ["1", "2"]
    assert ids[0].partition("-")[2] == ids[1].partition("-")[2]
    (tmp_path / "s.jsonl").write_text(json.dumps(dict(reversed(row.items()))))
    assert open_records(tmp_path / "s.jsonl")[0].id == ids[0]  # neither the name of the file nor the order counts


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_flat_rows_carry_whatever_they_do_not_refuse(any_record: Any, data: st.DataObject) -> None:
    record = data.draw(any_record)
    layout = get_layout("flat")
    try:
        row = write_row(layout, record)
    except RecordError as refusal:
        error = refusal
    else:
        assert layout.read(row, "other") == record
        return
    assert error.record_id == record.id
    assert error.field


def test_bytes_become_addresses_in_json(tmp_path: Path, png: Callable[..., bytes]) -> None:
    record = PreferenceRecord(
        id="r",
        prompt=Prompt(text="p", media=(Media(kind="image", data=png()),)),
        responses=(Response(text="a"), Response(text="b")),
        verdict=Pair(),
    )
    for layout in ("flat", "trl", "canonical"):
        write_jsonl([record], tmp_path / f"{layout}.jsonl", layout)
        assert list(open_records(tmp_path / f"{layout}.jsonl")) == [record]
        write_records([record], tmp_path / f"{layout}.parquet", layout)
        assert list(open_records(tmp_path / f"{layout}.parquet")) == [record]
