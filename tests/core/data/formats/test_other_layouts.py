"""align-anything, Pick-a-Pic, whole conversations and fragments."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.core.data.formats.rows import IMAGE, read, turn

from prefalign.data.formats import get_layout
from prefalign.data.formats.imitation import write_npz
from prefalign.data.formats.layout import write_row
from prefalign.data.sources import open_records
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import Media, Prompt, Response, Slot
from prefalign.interfaces.verdict import Pair


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
