"""LLaMA-Factory's ranking sets."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.core.data.formats.rows import IMAGE, read, turn

from prefalign.data.formats import get_layout
from prefalign.data.sources import open_records
from prefalign.interfaces.errors import PrefalignError, RecordError
from prefalign.interfaces.record import Media, Prompt, Response, Slot
from prefalign.interfaces.verdict import Unary


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
