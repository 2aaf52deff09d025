"""What a record refuses, and that equality looks at contents."""

import math
import pickle

import numpy as np
import pytest

from prefalign.interfaces import (
    Group,
    Media,
    Message,
    Pair,
    PreferenceRecord,
    Prompt,
    Ranking,
    RecordError,
    Response,
    Segment,
    Slot,
    Unary,
)


def record(*responses, **fields):
    answers = responses or (Response(text="a"), Response(text="b"))
    return PreferenceRecord(
        **{"id": "r1", "prompt": Prompt(text="q"), "responses": answers, "verdict": Pair(), **fields}
    )


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"id": ""}, "id", "non-empty"),
        ({"verdict": Pair(0, 2)}, "verdict", "does not name two of 2"),
        ({"verdict": Pair(1, 1)}, "verdict", "does not name two of 2"),
        ({"verdict": Pair(probability=1.5)}, "verdict", "between 0 and 1"),
        ({"verdict": Pair(probability=math.nan)}, "verdict", "between 0 and 1"),
        ({"verdict": Pair(tie=True, probability=0.9)}, "verdict", "tie cannot have"),
        ({"verdict": Ranking((0,))}, "verdict", "expected 2 ranks, got 1"),
        ({"verdict": Ranking((0, -1))}, "verdict", "0 or more"),
        ({"verdict": Unary((True,))}, "verdict", "expected 2 labels"),
        ({"verdict": Group((1.0, math.inf))}, "verdict", "finite rewards"),
        ({"criteria": {"lyrics": Ranking((0,))}}, "criteria.lyrics", "expected 2 ranks"),
        ({"margin": -1.0}, "margin", "at least 0"),
        ({"weight": math.nan}, "weight", "finite number"),
    ],
)
def test_bad_fields_are_refused_with_their_name(fields, field, message):
    with pytest.raises(RecordError, match=message) as caught:
        record(**fields)
    assert caught.value.field == field


def test_empty_and_identical_responses_are_refused():
    with pytest.raises(RecordError, match=r"record 'r1', field 'responses\[1\].text': the response is empty"):
        record(Response(text="a"), Response(text=" \n"))
    with pytest.raises(RecordError, match="identical"):
        record(Response(text="a", source="x"), Response(text="a", source="y"))
    record(Response(text="a"), Response(text="a"), verdict=Pair(tie=True))  # a tie between equals is a fact
    record(Response(text="a"), Response(text="a", context=Prompt(text="other")))  # the context differs


def test_media_slots_must_match_the_media():
    message = Message("user", (Slot("image"), "what?"))
    Prompt(messages=(message,), media=(Media(kind="image", path="a.png"),))
    with pytest.raises(RecordError, match=r"placeholders \['image'\] do not match the media \[\]"):
        Prompt(messages=(message,))
    with pytest.raises(RecordError, match="do not match"):
        Prompt(messages=(message,), media=(Media(kind="audio", path="a.wav"),))


@pytest.mark.parametrize("make", [lambda: Media(kind="image"), lambda: Media(kind="image", path="a", data=b"b")])
def test_a_medium_has_one_origin(make):
    with pytest.raises(RecordError, match="exactly one of path and data"):
        make()


@pytest.mark.parametrize(
    ("start", "stop", "weight"), [(1, 1, 1.0), (-1, 2, 1.0), (3, 2, 1.0), (0, 1, math.nan), (0, 1, math.inf)]
)
def test_senseless_segments_are_refused(start, stop, weight):
    with pytest.raises(RecordError):
        Segment(start, stop, weight)


def test_negative_weights_are_meant_for_unlearning():
    assert Segment(0, 1, -2.0).weight == -2.0


def test_responses_with_arrays_compare_by_content():
    def response(last):
        return Response(arrays={"actions": np.array([1.0, np.nan, last])})

    assert response(3.0) == response(3.0)
    assert response(3.0) != response(4.0)
    assert response(3.0) != Response(arrays={"actions": np.array([1.0, np.nan, 3.0], dtype=np.float32)})


def test_a_response_needs_a_payload_and_one_text_form():
    with pytest.raises(RecordError, match="needs text"):
        Response()
    with pytest.raises(RecordError, match="not both"):
        Response(text="a", messages=(Message("assistant", ("a",)),))
    with pytest.raises(RecordError, match="finite"):
        Response(text="a", scores={"clap": math.nan})


def test_each_response_may_bring_its_own_context():
    own = Prompt(text="own")
    made = record(Response(text="a"), Response(text="a", context=own))
    assert made.context(0).text == "q"
    assert made.context(1) is own


def test_errors_survive_the_way_out_of_a_worker():
    error = RecordError("bad", field="f", record_id="r", where="x.jsonl, line 3")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "x.jsonl, line 3, record 'r', field 'f': bad"
    assert error.located("y").record_id == "r"
