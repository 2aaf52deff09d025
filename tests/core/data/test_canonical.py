"""The canonical form: exactly invertible, in both spellings, and strict about everything else."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.data.canonical import record_from_dict, record_to_dict
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import PreferenceRecord, Prompt, Response, Segment
from prefalign.interfaces.verdict import Pair


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_json_round_trip_gives_the_same_record(any_record: Any, data: st.DataObject) -> None:
    record = data.draw(any_record)
    assert record_from_dict(json.loads(json.dumps(record_to_dict(record), allow_nan=False))) == record


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_binary_round_trip_gives_the_same_record(any_record: Any, data: st.DataObject) -> None:
    record = data.draw(any_record)
    assert record_from_dict(record_to_dict(record, binary=True)) == record


def test_the_form_mirrors_the_classes() -> None:
    """Written out by hand: float32 1.5 is 0x3fc00000, little-endian 00 00 c0 3f, in base64 AADAPw==."""
    record = PreferenceRecord(
        id="r1",
        prompt=Prompt(text="p"),
        responses=(
            Response(text="a", segments=(Segment(0, 1, -2.0),)),
            Response(arrays={"actions": np.array([[1.5]], np.float32)}),
        ),
        verdict=Pair(),
    )
    assert record_to_dict(record) == {
        "id": "r1",
        "prompt": {"text": "p"},
        "responses": [
            {"text": "a", "segments": [{"start": 0, "stop": 1, "weight": -2.0, "axis": "char"}]},
            {"arrays": {"actions": {"dtype": "<f4", "shape": [1, 1], "data": "AADAPw=="}}},
        ],
        "verdict": {"kind": "pair", "chosen": 0, "rejected": 1, "probability": 1.0, "tie": False},
    }


def test_arrays_may_be_written_to() -> None:
    record = PreferenceRecord(
        id="r",
        prompt=Prompt(),
        responses=(Response(arrays={"x": np.zeros(2, np.float32)}), Response(arrays={"x": np.ones(2, np.float32)})),
        verdict=Pair(),
    )
    array = record_from_dict(record_to_dict(record, binary=True)).responses[0].arrays["x"]
    assert array.flags.writeable
    assert array.flags.owndata


def test_arrays_written_by_hand() -> None:
    form = simple()
    form["responses"][0] = {"arrays": {"actions": {"dtype": "float32", "values": [[1, 2], [3, 4]]}}}
    found = record_from_dict(form).responses[0].arrays["actions"]
    assert found.dtype == np.float32
    assert found.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def simple() -> dict[str, Any]:
    return {
        "id": "r1",
        "prompt": {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        "responses": [{"text": "a"}, {"text": "b"}],
        "verdict": {"kind": "pair"},
    }


@pytest.mark.parametrize(
    ("path", "value", "field", "problem"),
    [
        (("weight",), float("nan"), "weight", "finite number of at least 0, got nan"),
        (("weight",), "1", "weight", "expected a number, got '1'"),
        (("weight",), True, "weight", "expected a number, got True"),
        (("margin",), -1.0, "margin", "at least 0, got -1"),
        (("id",), 7, "id", "expected text, got 7"),
        (("id",), "", "id", "non-empty"),
        (("prompt",), None, "prompt", "expected an object, got nothing"),
        (("prompt",), "hi", "prompt", "expected an object, got 'hi'"),
        (("prompt", "text"), "hi", "prompt", "text or messages, not both"),
        (("prompt", "messages", 0, "role"), 3, "prompt.messages[0].role", "expected text, got 3"),
        (("prompt", "messages", 0, "content"), "hi", "prompt.messages[0].content", "expected a list, got 'hi'"),
        (("prompt", "messages", 0, "content", 0), {"slot": "image"}, "prompt.media", "do not match the media"),
        (("prompt", "messages", 0, "content", 0), {}, "prompt.messages[0].content[0]", "either text or a slot"),
        (("prompt", "messages", 0, "rolle"), "x", "prompt.messages[0].rolle", "did you mean 'role'?"),
        (("prompt", "conditions"), {"bpm": float("inf")}, "prompt.conditions.bpm", "plain JSON value"),
        (("responses", 1, "text"), "  ", "responses[1].text", "the response is empty"),
        (("responses", 1, "text"), "a", "responses", "identical"),
        (("responses", 1, "text"), "\ud800", "responses[1].text", "half a surrogate pair"),
        (("responses", 1), {}, "responses[1].text", "needs text, messages, token_ids"),
        (("responses", 1, "media"), [{"kind": "image"}], "responses[1].media[0]", "exactly one of path and data"),
        (("responses", 1, "media"), [{"kind": "image", "data": "?"}], "responses[1].media[0].data", "base64"),
        (("responses", 1, "token_ids"), [1, 2.5], "responses[1].token_ids[1]", "whole number, got 2.5"),
        (("responses", 1, "scores"), {"a": float("nan")}, "responses[1].scores.a", "finite number"),
        (("responses", 1, "segments"), [[3, 3, 1.0]], "responses[1].segments[0]", "0 <= start < stop, got [3, 3)"),
        (("responses", 1, "segments"), [[0, 1]], "responses[1].segments[0]", "[start, stop, weight]"),
        (("responses", 1, "arrays"), {"x": {"dtype": "O"}}, "responses[1].arrays.x.dtype", "a numeric dtype"),
        (("responses", 1, "arrays"), {"x": {"dtype": "junk"}}, "responses[1].arrays.x.dtype", "name of a dtype"),
        (
            ("responses", 1, "arrays"),
            {"x": {"dtype": "<f4", "shape": [2], "data": "AAAA"}},
            "responses[1].arrays.x.data",
            "expected the bytes of shape (2,) and dtype float32, got 3 bytes",
        ),
        (("verdict", "kind"), "pairs", "verdict.kind", "one of pair, ranking, unary, group"),
        (("verdict", "ranks"), [0, 1], "verdict.ranks", "unknown field"),
        (("verdict", "rejected"), 2, "verdict", "does not name two of 2 responses"),
        (("verdict", "probability"), float("nan"), "verdict", "probability between 0 and 1"),
        (
            ("criteria",),
            {"helpful": {"kind": "unary", "labels": [1, 0]}},
            "criteria.helpful.labels[0]",
            "true or false",
        ),
        (("wieght",), 1.0, "wieght", "did you mean 'weight'?"),
        (("colour",), 1.0, "colour", "belong into 'provenance'"),
    ],
)
def test_refusals_name_the_field(path: tuple[Any, ...], value: Any, field: str, problem: str) -> None:
    form = simple()
    target: Any = form
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    with pytest.raises(RecordError) as caught:
        record_from_dict(form)
    assert caught.value.field == field
    assert problem in caught.value.problem
    assert path[0] == "id" or caught.value.record_id == "r1"


def test_writing_refuses_what_cannot_be_written() -> None:
    def record(**changes: Any) -> PreferenceRecord:
        values: dict[str, Any] = {"id": "r", "prompt": Prompt(), "responses": (Response(text="a"), Response(text="b"))}
        return PreferenceRecord(**values | {"verdict": Pair()} | changes)

    odd = Response(arrays={"x": np.array(["a"], dtype=object)})
    with pytest.raises(RecordError, match=r"record 'r', field 'responses\[0\]\.arrays\.x': expected a numeric array"):
        record_to_dict(record(responses=(odd, Response(text="b"))))
    with pytest.raises(RecordError, match=r"field 'provenance\.when': expected a plain JSON value"):
        record_to_dict(record(provenance={"when": np.float32(1)}))


def test_an_absent_and_an_empty_list_of_tokens_differ() -> None:
    record = PreferenceRecord(
        id="r",
        prompt=Prompt(text=""),
        responses=(Response(token_ids=()), Response(token_ids=(1,))),
        verdict=Pair(),
    )
    assert record_from_dict(record_to_dict(record)).responses[0].token_ids == ()
