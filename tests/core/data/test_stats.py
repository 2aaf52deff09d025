"""Statistics of a set, counted by hand."""

from typing import Any

import numpy as np
import pytest

from prefalign.data.stats import describe, prompt_length, response_length
from prefalign.interfaces.record import Media, Message, PreferenceRecord, Prompt, Response, Segment, Slot
from prefalign.interfaces.verdict import Group, Pair, Ranking, Unary, Verdict


def record(name: str, texts: tuple[str, ...], verdict: Verdict, prompt: str = "p", **changes: Any) -> PreferenceRecord:
    answers = tuple(Response(text=text) for text in texts)
    return PreferenceRecord(
        id=name, **{"prompt": Prompt(text=prompt), "responses": answers, "verdict": verdict} | changes
    )


def test_lengths_by_payload() -> None:
    """Text in characters, tokens as tokens, trajectories in steps of their actions."""
    turns = (Message("assistant", ("ab", Slot("image"), "c")), Message("assistant", ("d",)))
    assert response_length(Response(text="abc")) == ("char", 3)
    assert response_length(Response(messages=turns)) == ("char", 4)
    assert response_length(Response(token_ids=(1, 2))) == ("token", 2)
    arrays = {"a": np.zeros((9, 1)), "actions": np.zeros((4, 2)), "terminal": np.array(True)}
    assert response_length(Response(arrays=arrays)) == ("step", 4)
    assert response_length(Response(arrays={"terminal": np.array(True)})) is None
    assert response_length(Response(media=(Media(kind="image", path="a"),))) is None
    assert prompt_length(Prompt(messages=(Message("user", ("ab", "c")),))) == 3


def test_relations_ties_and_labels() -> None:
    """The ranking 0 < 1 = 1 implies two decided pairs and one tie; the group 1, 2 one pair."""
    found = describe(
        [
            record("a", ("x", "y"), Pair()),
            record("b", ("x", "y"), Pair(probability=0.7)),
            record("c", ("x", "y"), Pair(0, 1, 0.5, True)),
            record("d", ("x", "y", "z"), Ranking((0, 1, 1))),
            record("e", ("x", "y"), Group((1.0, 2.0))),
            record("f", ("x", "y", "z"), Unary((True, False, True))),
        ]
    )
    assert found["records"] == 6
    assert found["relations"] == {"pair": 3, "ranking": 1, "group": 1, "unary": 1}
    assert found["responses"] == {"2": 4, "3": 2}
    assert found["pairs"] == {"count": 7, "ties": 2, "soft": 1}
    assert found["labels"] == {"desirable": 2, "undesirable": 1}


def test_length_bias_counts_the_better_side() -> None:
    """Better − worse: +2 (plain), −1 (probability 0.2 turns the pair round), 0 (equal); the tie is left out."""
    found = describe(
        [
            record("a", ("xxx", "y"), Pair()),
            record("b", ("xx", "y"), Pair(probability=0.2)),
            record("c", ("x", "y"), Pair()),
            record("d", ("xxxxxxxx", "y"), Pair(0, 1, 0.5, True)),
        ]
    )
    assert found["length_bias"] == {
        "char": {
            "pairs": 3,
            "chosen_longer": pytest.approx(1 / 3),
            "chosen_shorter": pytest.approx(1 / 3),
            "mean_difference": pytest.approx(1 / 3),
        }
    }
    assert found["lengths"]["chosen (char)"] == {
        "mean": pytest.approx(5 / 3),
        "median": 1.0,
        "p95": pytest.approx(2.8),
        "max": 3.0,
    }
    assert found["lengths"]["response (char)"]["max"] == 8.0


def test_media_duplicates_annotators_and_the_rest() -> None:
    picture = (Media(kind="image", path="a.png"),)
    found = describe(
        [
            record("a", ("x", "y"), Pair(), annotator="kim", source="s", margin=1.0),
            record("b", ("x", "y"), Pair(), annotator="kim", weight=2.0, criteria={"helpful": Pair()}),
            record("c", ("x", "z"), Pair(), annotator="lee"),
            record(
                "d",
                (),
                Pair(),
                prompt="other",
                responses=(Response(media=picture, segments=(Segment(0, 1, 1.0),)), Response(text="y")),
                reference_answer=Response(media=picture),
            ),
            record("e", ("q", "y"), Pair(), prompt="new"),
        ]
    )
    assert found["duplicates"] == {"prompts": 2, "records": 1}
    assert found["media"] == {"reference_answer image": 1, "responses image": 1}
    assert found["annotators"] == {"distinct": 2, "most": {"kim": 2, "lee": 1}}
    assert found["sources"] == {"distinct": 1, "most": {"s": 1}}
    assert found["criteria"] == {"helpful": 1}
    assert found["with"] == {"segments": 1, "margin": 1, "weight other than 1": 1}


def test_an_empty_set() -> None:
    assert describe([])["records"] == 0
