"""ms-swift's rows."""

from typing import Any

import pytest
from tests.core.data.formats.rows import IMAGE, read, turn

from prefalign.data.formats import get_layout
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import Media, Prompt, Response, Slot
from prefalign.interfaces.verdict import Unary

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
