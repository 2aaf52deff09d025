"""TRL's columns."""

from typing import Any

import pytest
from tests.core.data.formats.rows import IMAGE, read, turn

from prefalign.data.formats import get_layout
from prefalign.data.formats.layout import write_row
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import Media, PreferenceRecord, Prompt, Response, Segment, Slot
from prefalign.interfaces.verdict import Pair, Ranking, Unary


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
