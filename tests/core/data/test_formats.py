"""Other libraries' layouts: read without loss, written back where the layout can carry the record, refused by name
where it cannot. The rows follow the libraries' own documentation.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.data.formats import LAYOUTS, detect_layout, get_layout
from prefalign.data.formats.imitation import write_npz
from prefalign.data.formats.layout import write_row
from prefalign.data.sources import open_records
from prefalign.data.store import write_jsonl, write_records
from prefalign.interfaces.errors import PrefalignError, RecordError
from prefalign.interfaces.record import Media, Message, PreferenceRecord, Prompt, Response, Segment, Slot
from prefalign.interfaces.verdict import Group, Pair, Ranking, Unary


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


# ---------------------------------------------------------------------------------------------------------------- flat


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


# ----------------------------------------------------------------------------------------------------------------- TRL


def test_trl_standard_with_further_columns() -> None:
    row = {"prompt": "The sky is", "chosen": " blue.", "rejected": " green.", "score_chosen": 8.5, "prompt_id": "abc"}
    record = read(row, "trl")
    assert record.prompt == Prompt(text="The sky is")
    assert [response.text for response in record.responses] == [" blue.", " green."]
    assert record.provenance == {"columns": {"score_chosen": 8.5, "prompt_id": "abc"}}
    assert write_row(get_layout("trl"), record) == {**row, "id": "row-1"}


def test_trl_conversational() -> None:
    record = read(
        {
            "prompt": [{"role": "user", "content": "Colour?"}],
            "chosen": [{"role": "assistant", "content": "Blue."}],
            "rejected": [{"role": "assistant", "content": "Green."}],
        },
        "flat",
    )
    assert record.prompt == Prompt(messages=(turn("user", "Colour?"),))
    assert record.responses[0] == Response(messages=(turn("assistant", "Blue."),))


def test_trl_implicit_prompts() -> None:
    """The space in front of the difference stays with the answers, so `The sky is` and ` blue.`, ` green.`."""
    record = read({"chosen": "The sky is blue.", "rejected": "The sky is green."}, "flat")
    assert record.prompt.text == "The sky is"
    assert [response.text for response in record.responses] == [" blue.", " green."]

    asked = {"role": "user", "content": "Colour?"}
    chosen, rejected = ({"role": "assistant", "content": text} for text in ("Blue.", "Green."))
    for extra in ({}, {"prompt": "Colour?"}):  # a prompt of text that repeats the turn, as UltraFeedback has it
        record = read({"chosen": [asked, chosen], "rejected": [asked, rejected], **extra}, "flat")
        assert record.prompt == Prompt(messages=(turn("user", "Colour?"),))
        assert record.responses[1] == Response(messages=(turn("assistant", "Green."),))
    with pytest.raises(RecordError, match="none of the turns that 'chosen' and 'rejected' begin with"):
        get_layout("trl").read({"chosen": [asked, chosen], "rejected": [asked, rejected], "prompt": "Shape?"}, "x")


@pytest.mark.oracle
def test_implicit_prompts_agree_with_trl() -> None:
    from trl import extract_prompt

    for chosen, rejected in (
        ("The sky is blue.", "The sky is green."),
        ("Human: hi\n\nAssistant: yes", "Human: hi\n\nAssistant: yellow"),
        ("a b", "a c"),
        ("ab", "ac"),
    ):
        theirs = extract_prompt({"chosen": chosen, "rejected": rejected})
        ours = get_layout("trl").read({"chosen": chosen, "rejected": rejected}, "x")
        assert (ours.prompt.text, *(r.text for r in ours.responses)) == (
            theirs["prompt"],
            theirs["chosen"],
            theirs["rejected"],
        )


def test_trl_unpaired_and_reference_columns() -> None:
    unary = read({"prompt": "p", "completion": "c", "label": True, "ref_logps": -1.0, "ref_KL_logps": -2.0}, "flat")
    assert unary.verdict == Unary((True,))
    assert unary.provenance == {"ref_KL_logps": -2.0}
    assert write_row(get_layout("trl"), unary)["ref_KL_logps"] == -2.0
    row = {"prompt": "p", "chosen": "c", "rejected": "r", "ref_chosen_logps": -1, "ref_rejected_logps": -2, "margin": 3}
    pair = read(row, "flat")
    assert ([response.ref_logp for response in pair.responses], pair.margin) == ([-1.0, -2.0], 3.0)


def test_trl_vision() -> None:
    row = {
        "images": ["a.png", {"bytes": b"x", "path": None}],
        "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "?"}]}],
        "chosen": [{"role": "assistant", "content": [{"type": "text", "text": "a"}]}],
        "rejected": [{"role": "assistant", "content": [{"type": "text", "text": "b"}]}],
    }
    record = read(row, "flat")
    assert record.prompt.messages == (turn("user", Slot("image"), Slot("image"), "?"),)
    assert record.prompt.media == (IMAGE, Media(kind="image", data=b"x"))
    inline = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "?"}]
    record = get_layout("trl").read({**row, "images": None, "prompt": [{"role": "user", "content": inline}]}, "x")
    assert record.prompt.media == (IMAGE,)
    plain = [{"role": "user", "content": "?"}]
    record = get_layout("trl").read({**row, "prompt": plain}, "x")  # without placeholders, media come first
    assert (len(record.prompt.media), record.prompt.messages) == (2, (turn("user", "?"),))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"weight": 2.0}, "weight"),
        ({"annotator": "kim"}, "annotator"),
        ({"criteria": {"helpful": Pair()}}, "criteria.helpful"),
        ({"verdict": Pair(probability=0.7)}, "verdict.probability"),
        ({"verdict": Pair(1, 0)}, "verdict.chosen"),
        ({"verdict": Ranking((0, 1))}, "verdict"),
        (
            {"responses": (Response(text="a", segments=(Segment(0, 1, 2.0),)), Response(text="b"))},
            "responses[0].segments",
        ),
        ({"responses": (Response(token_ids=(1,)), Response(text="b"))}, "chosen"),
        ({"prompt": Prompt(text="p", conditions={"bpm": 90})}, "prompt.conditions.bpm"),
        ({"provenance": {"seed": 1}}, "provenance.seed"),
        ({"prompt": Prompt(text="p", media=(Media(kind="mesh", path="a.obj"),))}, "prompt.media"),
    ],
)
def test_trl_refuses_what_it_cannot_carry(changes: dict[str, Any], field: str) -> None:
    values: dict[str, Any] = {"id": "r", "prompt": Prompt(text="p"), "verdict": Pair()}
    values |= {"responses": (Response(text="a"), Response(text="b"))}
    with pytest.raises(RecordError, match="layout 'trl' ") as caught:
        write_row(get_layout("trl"), PreferenceRecord(**values | changes))
    assert caught.value.field == field
    assert caught.value.record_id == "r"


# ------------------------------------------------------------------------------------------------------- LLaMA-Factory


def test_llamafactory_ranking() -> None:
    record = read(
        {
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": "<image>What is<video>this?"},
                {"from": "gpt", "value": "A cat."},
                {"from": "human", "value": "Sure?"},
            ],
            "chosen": {"from": "gpt", "value": "Yes."},
            "rejected": {"from": "gpt", "value": "No."},
            "images": ["a.png"],
            "videos": ["v.mp4"],
            "tools": "[]",
        },
        "llamafactory",
    )
    assert record.prompt == Prompt(
        messages=(
            turn("system", "Be brief."),
            turn("user", Slot("image"), "What is", Slot("video"), "this?"),
            turn("assistant", "A cat."),
            turn("user", "Sure?"),
        ),
        media=(IMAGE, Media(kind="video", path="v.mp4")),
        conditions={"tools": "[]"},
    )
    assert record.responses == tuple(Response(messages=(turn("assistant", text),)) for text in ("Yes.", "No."))


def test_llamafactory_kto_and_openai_forms() -> None:
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    record = read({"conversations": turns, "kto_tag": False}, "llamafactory")
    assert (record.verdict, record.prompt.messages) == (Unary((False,)), (turn("user", "q"),))
    row = {"messages": [{"role": "user", "content": "q"}], "system": "s"}
    for name, text in (("chosen", "a"), ("rejected", "b")):
        row[name] = {"role": "assistant", "content": text}
    record = read(row, "llamafactory")
    assert record.prompt.messages == (turn("system", "s"), turn("user", "q"))


def test_llamafactory_alpaca() -> None:
    row = {"instruction": "Add.", "input": "1+1", "chosen": "2", "rejected": "3", "history": [["hi", "hello"]]}
    record = read(row, "llamafactory")
    assert record.prompt.messages == (turn("user", "hi"), turn("assistant", "hello"), turn("user", "Add.\n1+1"))
    kto = read({"instruction": "Add.", "output": "2", "kto_tag": True}, "llamafactory")
    assert (kto.verdict, kto.responses[0].messages) == (Unary((True,)), (turn("assistant", "2"),))


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({"images": ["a.png", "b.png"]}, "conversations", "1 placeholders of kind 'image' and 2 media of it"),
        ({"images": None}, "conversations", "1 placeholders of kind 'image' and 0 media of it"),
        ({"audios": ["a.wav"]}, "conversations", "0 placeholders of kind 'audio' and 1 media of it"),
        ({"chosen": {"from": "human", "value": "x"}}, "chosen.from", "a turn of the assistant, got 'user'"),
        ({"chosen": {"from": "robot", "value": "x"}}, "chosen.from", "one of human, gpt"),
        ({"chosen": {"from": "gpt", "value": None}}, "chosen.value", "got nothing"),
        ({"chosen": {"from": "gpt", "value": ""}}, "chosen", "the response is empty"),
        ({"conversations": "hi"}, "conversations", "expected a list, got 'hi'"),
        ({"image": ["a.png"]}, "image", "give either 'images' or 'image'"),
        ({"sytem": "x"}, "sytem", "did you mean 'system'?"),
    ],
)
def test_llamafactory_refusals(changes: dict[str, Any], field: str, problem: str) -> None:
    row: dict[str, Any] = {
        "conversations": [{"from": "human", "value": "<image>q"}],
        "chosen": {"from": "gpt", "value": "a"},
        "rejected": {"from": "gpt", "value": "b"},
        "images": ["a.png"],
    }
    with pytest.raises(RecordError) as caught:
        get_layout("llamafactory").read(row | changes, "x")
    assert (caught.value.field, problem in caught.value.problem) == (field, True)


def test_dataset_info_renames_columns_and_tags(tmp_path: Path) -> None:
    row = {
        "talk": [{"who": "U", "says": "q"}],
        "good": {"who": "A", "says": "a"},
        "bad": {"who": "A", "says": "b"},
        "note": "kept",
    }
    info = {
        "mine": {
            "file_name": "rank.json",
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"messages": "talk", "chosen": "good", "rejected": "bad"},
            "tags": {"role_tag": "who", "content_tag": "says", "user_tag": "U", "assistant_tag": "A"},
        },
        "alpaca": {
            "file_name": "alpaca.json",
            "ranking": True,
            "columns": {"prompt": "ask", "chosen": "good", "rejected": "bad"},
        },
        "sft": {"file_name": "sft.json"},
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    (tmp_path / "rank.json").write_text(json.dumps([row]))
    (tmp_path / "alpaca.json").write_text(json.dumps([{"ask": "q", "good": "a", "bad": "b"}]))
    (tmp_path / "sft.json").write_text(json.dumps([{"instruction": "q", "output": "a"}]))
    for name in ("rank.json", "alpaca.json"):
        source = open_records(tmp_path / name)
        assert source.layout == "llamafactory"
        assert source[0].prompt.messages == (turn("user", "q"),)
        assert source[0].responses[0].messages == (turn("assistant", "a"),)
    assert open_records(tmp_path / "rank.json")[0].provenance == {"columns": {"note": "kept"}}
    with pytest.raises(PrefalignError, match=r"sft\.json is described neither as ranking nor with a kto_tag column"):
        open_records(tmp_path / "sft.json")
    (tmp_path / "dataset_info.json").write_text("[1]")
    with pytest.raises(PrefalignError, match=r"dataset_info\.json: expected an object of descriptions"):
        open_records(tmp_path / "rank.json")


# ------------------------------------------------------------------------------------------------------------ ms-swift

ASKED = [{"role": "system", "content": "s"}, {"role": "user", "content": "<image>What is this?"}]
CONTEXT = (turn("system", "s"), turn("user", Slot("image"), "What is this?"))
KITTEN, PUPPY = ([{"role": "assistant", "content": f"A {animal}."}] for animal in ("kitten", "puppy"))


@pytest.mark.parametrize(
    "rejected",
    [
        {"rejected_response": "A puppy."},
        {"rejected_response": PUPPY},
        {"rejected_messages": ASKED + PUPPY, "rejected_images": ["a.png"]},
    ],
)
def test_swift_spells_one_pair_in_several_ways(rejected: dict[str, Any]) -> None:
    record = read({"messages": ASKED + KITTEN, "images": ["a.png"], "margin": 1.5, **rejected}, "swift")
    assert record.prompt == Prompt(messages=CONTEXT, media=(IMAGE,))
    answers = tuple(Response(messages=(turn("assistant", f"A {animal}."),)) for animal in ("kitten", "puppy"))
    assert (record.responses, record.margin) == (answers, 1.5)


@pytest.mark.parametrize(
    "rejected",
    [{"rejected_images": ["b.png"]}, {"rejected_messages": ASKED + KITTEN, "rejected_images": ["b.png"]}],
)
def test_swift_pairs_that_differ_in_the_picture_alone(rejected: dict[str, Any]) -> None:
    record = read({"messages": ASKED + KITTEN, "images": ["a.png"], **rejected}, "swift")
    first, second = record.responses
    assert first.messages == second.messages
    assert first.context is None
    assert second.context == Prompt(messages=CONTEXT, media=(Media(kind="image", path="b.png"),))


def test_swift_labels_tools_and_several_turns() -> None:
    calls = [{"role": "tool_call", "content": "{}"}, {"role": "tool_response", "content": "7"}, *KITTEN]
    record = read({"messages": [{"role": "user", "content": "q"}, *calls], "label": True, "tools": "[]"}, "swift")
    assert [message.role for message in record.responses[0].messages] == ["tool_call", "tool_response", "assistant"]
    assert (record.verdict, record.prompt.conditions) == (Unary((True,)), {"tools": "[]"})


def test_swift_media_without_tags_come_first() -> None:
    row = {"messages": [{"role": "user", "content": "q"}, *KITTEN], "images": "a.png", "rejected_response": "x"}
    record = read(row, "swift")
    assert (record.prompt.messages, record.prompt.media) == ((turn("user", "q"),), (IMAGE,))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rejected_response": [{"role": "user", "content": "x"}]}, "rejected_response"),
        ({"rejected_response": "A kitten."}, "responses"),
        ({"rejected_response": 5}, "rejected_response"),
        ({"messages": ASKED}, "messages"),
        ({"images": []}, "messages"),
        ({"label": True}, "label"),
        ({"rejected_messages": ASKED + PUPPY}, "rejected_messages"),
        ({"rejected_response": None, "rejected_messages": ASKED + PUPPY}, "rejected_messages"),
    ],
)
def test_swift_refusals(changes: dict[str, Any], field: str) -> None:
    row = {"messages": ASKED + KITTEN, "images": ["a.png"], "rejected_response": "A puppy."}
    with pytest.raises(RecordError) as caught:
        get_layout("swift").read(row | changes, "x")
    assert caught.value.field == field


# ------------------------------------------------------------------------------------------------ whole conversations


def test_rejected_conversations() -> None:
    asked = {"from": "human", "value": "<image>\nWhich?"}
    row = {
        "id": "u1",
        "image": "a.png",
        "conversations": [asked, {"from": "gpt", "value": "The first."}],
        "rejected_conversations": [asked, {"from": "gpt", "value": "The second."}],
        "task": "ranking",
    }
    record = read(row, "rejected_conversations")
    assert record.prompt == Prompt(messages=(turn("user", Slot("image"), "\nWhich?"),), media=(IMAGE,))
    assert record.responses[1] == Response(messages=(turn("assistant", "The second."),))
    assert record.provenance == {"columns": {"task": "ranking"}}
    other = {"rejected_conversations": [{"from": "human", "value": "Else?"}, {"from": "gpt", "value": "x"}]}
    with pytest.raises(RecordError, match="no turn in common to begin with"):
        get_layout("rejected_conversations").read(row | other, "x")
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    record = read(
        {"chosen_conversations": chat, "rejected_conversations": [chat[0], {**chat[1], "content": "b"}]},
        "rejected_conversations",
    )
    assert record.responses[0].messages == (turn("assistant", "a"),)


# ------------------------------------------------------------------------------------------------------ align-anything


def test_align_anything_text_and_picture() -> None:
    """The better one, number 2, becomes the first response; its number is kept and written back."""
    row = {
        "question": "What?",
        "image": {"bytes": b"x", "path": None},
        "response_1": "a dog",
        "response_2": "a cat",
        "overall_response": 2,
        "p1_overall": "fair",
    }
    record = read(row, "align_anything")
    assert record.prompt == Prompt(text="What?", media=(Media(kind="image", data=b"x"),))
    assert [response.text for response in record.responses] == ["a cat", "a dog"]
    assert record.provenance == {"columns": {"p1_overall": "fair", "overall_response": 2}}
    written = write_row(get_layout("align_anything"), record)
    assert written == {**row, "image": b"x", "id": "row-1"}


def test_align_anything_sounds_for_a_text() -> None:
    row = {"prompt": "rain", "response_1": "r1.wav", "response_2": {"bytes": b"w", "path": "r2.wav"}}
    record = read(row | {"overall_audio": "1"}, "align_anything")
    assert record.prompt == Prompt(text="rain")
    assert record.responses[0].media == (Media(kind="audio", path="r1.wav"),)
    assert record.responses[1].media == (Media(kind="audio", data=b"w"),)


def test_align_anything_other_forms() -> None:
    safe = read({"prompt": "p", "response_0": "a", "response_1": "b", "better_response_id": 1}, "align_anything")
    assert [response.text for response in safe.responses] == ["b", "a"]
    both = read({"question": "q", "image": "a.png", "better_response": "a", "worse_response": "b"}, "align_anything")
    assert (both.prompt.media, both.responses[0].text) == ((IMAGE,), "a")
    row = {"prompt": "<video>What?", "video_path": "v.mp4", "response_1": "a", "response_2": "b", "overall_response": 1}
    video = get_layout("align_anything").read(row, "x")
    assert video.prompt.messages == (turn("user", Slot("video"), "What?"),)
    for value in (0, 3, "both", True, 1.5):
        with pytest.raises(RecordError, match="field 'overall_response': expected 1 or 2"):
            get_layout("align_anything").read({**row, "overall_response": value}, "x")


# ------------------------------------------------------------------------------------------------ Pick-a-Pic, fragments


@pytest.mark.parametrize(
    ("label", "verdict", "order"),
    [
        (1.0, Pair(), [b"0", b"1"]),
        (0.0, Pair(), [b"1", b"0"]),
        (0.5, Pair(probability=0.5, tie=True), [b"0", b"1"]),
        (0.25, Pair(probability=0.25), [b"0", b"1"]),
    ],
)
def test_pickapic(label: float, verdict: Pair, order: list[bytes]) -> None:
    row = {"jpg_0": b"0", "jpg_1": b"1", "label_0": label, "label_1": 1 - label, "caption": "a cube"}
    row |= {"user_id": 12, "model_0": "sdxl", "model_1": "sd15", "ranking_id": 4, "has_label": True}
    record = read(row, "pickapic")
    assert record.prompt == Prompt(text="a cube")
    assert record.verdict == verdict
    assert [response.media[0].data for response in record.responses] == order
    assert {response.media[0].data: response.source for response in record.responses} == {b"0": "sdxl", b"1": "sd15"}
    assert record.annotator == "12"
    written = write_row(get_layout("pickapic"), record)
    assert {name: written[name] for name in ("jpg_0", "jpg_1", "label_0", "label_1", "ranking_id")} == {
        name: row[name] for name in ("jpg_0", "jpg_1", "label_0", "label_1", "ranking_id")
    }


def test_pickapic_refusals() -> None:
    row = {"jpg_0": b"0", "jpg_1": b"1", "label_0": 1.0, "caption": "a cube"}
    for changes, field in (
        ({"label_1": 1.0}, "label_1"),
        ({"label_0": 2.0}, "label_0"),
        ({"has_label": False}, "has_label"),
        ({"jpg_1": 5}, "jpg_1"),
    ):
        with pytest.raises(RecordError) as caught:
            get_layout("pickapic").read(row | changes, "x")
        assert caught.value.field == field


def fragments(count: int = 3, steps: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {"preferences": np.array([1.0, 0.0, 0.3], np.float32)[:count]}
    for side in (1, 2):
        found[f"obs_{side}"] = rng.normal(size=(count, steps + 1, 2)).astype(np.float32)
        found[f"acts_{side}"] = rng.normal(size=(count, steps, 1)).astype(np.float32)
        found[f"rews_{side}"] = rng.normal(size=(count, steps)).astype(np.float32)
        found[f"terminal_{side}"] = np.array([False, True, False])[:count]
        found[f"infos_{side}"] = np.full((count, steps), "{}")
    return found


def test_imitation_fragments(tmp_path: Path) -> None:
    arrays = fragments()
    np.savez_compressed(tmp_path / "f.npz", **arrays)
    source = open_records(tmp_path / "f.npz")
    assert (source.layout, len(source)) == ("imitation", 3)
    for i, record in enumerate(source):
        assert record.verdict == Pair(probability=float(arrays["preferences"][i]))
        for side, response in ((1, record.responses[0]), (2, record.responses[1])):
            for theirs, ours in (("obs", "observations"), ("acts", "actions"), ("rews", "rewards")):
                np.testing.assert_array_equal(response.arrays[ours], arrays[f"{theirs}_{side}"][i])
                assert response.arrays[ours].dtype == np.float32
            assert bool(response.arrays["terminal"]) == bool(arrays[f"terminal_{side}"][i])
        assert record.provenance == {"infos": [["{}"] * 4] * 2}
    assert source[2].verdict.probability == pytest.approx(0.3)

    write_npz(source, tmp_path / "again.npz")
    again = open_records(tmp_path / "again.npz")
    assert list(again) == list(source)


def test_imitation_fragments_of_different_lengths(tmp_path: Path) -> None:
    """Two pairs; first sides of 2 and 3 steps, so 3 + 4 observations lie end to end and the second begins at step 2."""
    arrays = {
        "obs_1": np.arange(7.0)[:, None],
        "acts_1": np.arange(5.0)[:, None],
        "indices_1": np.array([2]),
        "obs_2": np.zeros((2, 3, 1)),
        "acts_2": np.zeros((2, 2, 1)),
        "preferences": np.array([1.0, 0.0]),
    }
    np.savez(tmp_path / "f.npz", **arrays)
    source = open_records(tmp_path / "f.npz")
    first, second = (record.responses[0].arrays for record in source)
    assert first["observations"].ravel().tolist() == [0, 1, 2]
    assert first["actions"].ravel().tolist() == [0, 1]
    assert second["observations"].ravel().tolist() == [3, 4, 5, 6]
    assert second["actions"].ravel().tolist() == [2, 3, 4]
    write_npz(source, tmp_path / "again.npz")
    assert list(open_records(tmp_path / "again.npz")) == list(source)


@pytest.mark.parametrize(
    ("changes", "where", "field"),
    [
        ({"obs_1": np.zeros((3, 4, 2))}, "f.npz, pair 1", "obs_1"),
        ({"acts_2": np.zeros((2, 4, 1))}, "f.npz", "acts_2"),
        ({"rews_1": np.zeros((3, 5))}, "f.npz, pair 1", "rews_1"),
        ({"obs_2": np.full((3, 5, 2), np.nan)}, "f.npz, pair 1", "obs_2"),
        ({"preferences": np.array([0.0, 1.0, 1.5])}, "f.npz, pair 3", "verdict"),
        ({"preference": np.zeros(3)}, "f.npz", "preference"),
        ({"indices_1": np.array([3, 2])}, "f.npz", None),
    ],
)
def test_imitation_refusals(tmp_path: Path, changes: dict[str, Any], where: str, field: str | None) -> None:
    np.savez(tmp_path / "f.npz", **fragments() | changes)
    with pytest.raises(RecordError) as caught:
        open_records(tmp_path / "f.npz")
    assert caught.value.where == where
    assert field is None or caught.value.field == field


# ----------------------------------------------------------------------------------------------------------- detection


def test_a_row_of_two_formats_must_be_told_apart(tmp_path: Path) -> None:
    row = {
        "prompt": "p",
        "chosen": "a",
        "rejected": "b",
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
        "rejected_response": "b",
    }
    (tmp_path / "r.jsonl").write_text(json.dumps(row))
    with pytest.raises(RecordError, match=r"r\.jsonl, line 1, .*fit the formats 'trl' and 'swift'; say which"):
        open_records(tmp_path / "r.jsonl")
    assert open_records(tmp_path / "r.jsonl", format="swift")[0].prompt.messages == (turn("user", "q"),)
    assert open_records(tmp_path / "r.jsonl", format="trl")[0].prompt.text == "p"
    with pytest.raises(PrefalignError, match=r"unknown format 'swiftt'; did you mean 'swift'"):
        open_records(tmp_path / "r.jsonl", format="swiftt")


def test_a_damaged_first_row_does_not_hide_the_format(tmp_path: Path) -> None:
    good = json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"})
    (tmp_path / "r.jsonl").write_text("{broken\n" + good + "\n")
    source = open_records(tmp_path / "r.jsonl", on_bad="skip")
    assert (source.layout, len(source), source.dropped) == ("flat", 1, 1)


def test_foreign_rows_in_parquet(tmp_path: Path, png: Callable[..., bytes]) -> None:
    """The columns of `datasets`' Image feature, nulls for what a row lacks, and a time, which becomes text."""
    import datetime

    rows = [
        {
            "prompt": [{"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "?"}]}],
            "images": [{"bytes": png(), "path": "x.png"}],
            "chosen": [{"role": "assistant", "content": [{"type": "text", "text": "a"}]}],
            "rejected": [{"role": "assistant", "content": [{"type": "text", "text": "b"}]}],
            "made_at": datetime.datetime(2024, 5, 1, 12, 0),
        }
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    record = open_records(tmp_path / "r.parquet")[0]
    assert record.prompt.media[0].data == png()
    assert record.prompt.messages == (turn("user", Slot("image"), "?"),)
    assert record.provenance == {"columns": {"made_at": "2024-05-01T12:00:00"}}


def test_every_layout_is_described() -> None:
    assert all(layout.summary and layout.name == name for name, layout in LAYOUTS.items())
