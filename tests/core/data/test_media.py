"""Media: no path leaves the folder, no picture exhausts the memory, and broken ones are found before training."""

import io
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from prefalign.data.media import load_image, read_media, resolve_media
from prefalign.data.sources import open_records
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import Media


@pytest.fixture
def dataset(tmp_path: Path, png: Callable[..., bytes]) -> Path:
    """A dataset's folder with one picture inside and one outside of it."""
    folder = tmp_path / "set"
    (folder / "sub").mkdir(parents=True)
    (folder / "in.png").write_bytes(png())
    (tmp_path / "out.png").write_bytes(png((9, 9, 9)))
    return folder


def write(folder: Path, **columns: Any) -> Path:
    row = {"id": "r", "prompt": "p", "chosen": "a", "rejected": "b", **columns}
    (folder / "pairs.jsonl").write_text(json.dumps(row) + "\n")
    return folder / "pairs.jsonl"


def refusal(path: Path, **options: Any) -> RecordError:
    with pytest.raises(RecordError) as caught:
        open_records(path, **options)
    error = caught.value
    assert (error.where, error.record_id) == ("pairs.jsonl, line 1", "r")
    return error


def test_a_source_hands_out_absolute_checked_paths(dataset: Path) -> None:
    record = open_records(write(dataset, images=["in.png"]))[0]
    assert record.prompt.media == (Media(kind="image", path=str(dataset.resolve() / "in.png")),)
    image = load_image(record.prompt.media[0])
    assert (image.size, image.getpixel((0, 0))) == ((4, 3), (10, 20, 30))


def test_a_link_inside_the_folder_is_followed(dataset: Path) -> None:
    (dataset / "link.png").symlink_to("in.png")
    record = open_records(write(dataset, images=["sub/../link.png"]))[0]
    assert record.prompt.media[0].path == str(dataset.resolve() / "in.png")


def test_a_path_that_climbs_out(dataset: Path) -> None:
    for path in ("../out.png", "sub/../../out.png", "../set/../out.png"):
        error = refusal(write(dataset, images=[path]))
        assert error.field == "prompt.media[0]"
        assert error.problem == f"expected a path inside the dataset's folder, but '{path}' leaves it"


def test_an_absolute_path(dataset: Path) -> None:
    for path in (dataset.parent / "out.png", dataset / "in.png"):
        error = refusal(write(dataset, images=[str(path)]))
        assert error.problem.startswith(
            f"expected a path relative to the dataset's folder, got {str(path)!r}; set media"
        )


def test_a_link_that_leads_out(dataset: Path) -> None:
    (dataset / "link.png").symlink_to(dataset.parent / "out.png")
    (dataset / "linked").symlink_to(dataset.parent)
    for path in ("link.png", "linked/out.png"):
        assert f"but '{path}' leaves it" in refusal(write(dataset, images=[path])).problem


@pytest.mark.parametrize("address", ["https://example.org/a.png", "file:///etc/hosts", "s3://bucket/a.png"])
def test_an_address(dataset: Path, address: str) -> None:
    assert f"expected a file, got the address {address!r}" in refusal(write(dataset, images=[address])).problem


def test_a_missing_picture_a_folder_and_odd_names(dataset: Path) -> None:
    assert "there is none at 'none.png'" in refusal(write(dataset, images=["none.png"])).problem
    assert "there is none at 'sub'" in refusal(write(dataset, images=["sub"])).problem
    assert "expected a file name, got ''" in refusal(write(dataset, images=[""])).problem
    assert "expected a file name" in refusal(write(dataset, images=["a\0b"])).problem


def test_media_of_responses_contexts_and_reference_answers_are_checked(dataset: Path) -> None:
    missing = [{"kind": "audio", "path": "none.wav"}]
    for column, value, field in (
        ("chosen", {"text": "a", "media": missing}, "responses[0].media[0]"),
        ("rejected", {"text": "b", "context": {"media": missing}}, "responses[1].context.media[0]"),
        ("reference", {"text": "c", "media": missing}, "reference_answer.media[0]"),
    ):
        assert refusal(write(dataset, **{column: value})).field == field


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_truncated_picture(dataset: Path, suffix: str) -> None:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(out, {"jpg": "JPEG"}.get(suffix, suffix.upper()))
    whole = out.getvalue()
    (dataset / f"a.{suffix}").write_bytes(whole)
    open_records(write(dataset, images=[f"a.{suffix}"]))
    (dataset / f"a.{suffix}").write_bytes(whole[: len(whole) * 2 // 3])
    error = refusal(write(dataset, images=[f"a.{suffix}"]))
    assert (error.field, error.problem[:24]) == ("prompt.media[0]", "expected a picture, but ")


def test_what_is_no_picture(dataset: Path) -> None:
    for content in (b"", b"GIF89a", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>", os.urandom(100)):
        (dataset / "a.png").write_bytes(content)
        assert "cannot be decoded" in refusal(write(dataset, images=["a.png"])).problem


def test_a_decompression_bomb(dataset: Path, bomb: bytes) -> None:
    (dataset / "bomb.png").write_bytes(bomb)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "the picture is too large" in refusal(write(dataset, images=["bomb.png"])).problem
        with pytest.raises(RecordError, match="the picture is too large"):
            load_image(Media(kind="image", data=bomb))


def test_the_limit_of_pixels_is_ours_to_set(png: Callable[..., bytes]) -> None:
    medium = Media(kind="image", data=png(size=(10, 10)))
    assert load_image(medium, max_pixels=100).size == (10, 10)
    with pytest.raises(RecordError, match="expected a picture of at most 99 pixels, got 10 × 10"):
        load_image(medium, max_pixels=99)


def test_pictures_may_be_left_undecoded_but_not_unfound(dataset: Path) -> None:
    (dataset / "a.png").write_bytes(b"broken")
    assert len(open_records(write(dataset, images=["a.png"]), check_media="exists")) == 1
    refusal(write(dataset, images=["none.png"]), check_media="exists")


def test_a_picture_that_changes_after_it_was_checked_is_checked_again(dataset: Path) -> None:
    path = write(dataset, images=["in.png"])
    source = open_records(path)
    (dataset / "in.png").write_bytes(b"broken")
    assert "cannot be decoded" in refusal(path).problem
    (dataset / "in.png").unlink()
    assert "there is none" in refusal(path).problem
    with pytest.raises(RecordError, match=r"pairs\.jsonl, line 1, record 'r', field 'prompt\.media\[0\]': .*is none"):
        source[0]


def test_another_folder_may_hold_the_media(dataset: Path, tmp_path: Path) -> None:
    record = open_records(write(dataset, images=["out.png"]), media_folder=tmp_path)[0]
    assert record.prompt.media[0].path == str(tmp_path.resolve() / "out.png")
    refusal(write(dataset, images=["set/../../out.png"]), media_folder=tmp_path)


def test_load_image_of_a_relative_path(dataset: Path) -> None:
    medium = Media(kind="image", path="in.png")
    assert load_image(medium, dataset).size == (4, 3)
    with pytest.raises(RecordError, match="is relative, and no folder is given"):
        load_image(medium)
    with pytest.raises(RecordError, match="leaves it"):
        load_image(Media(kind="image", path="../out.png"), dataset)
    with pytest.raises(RecordError, match="expected an image, got 'audio'"):
        load_image(Media(kind="audio", path="in.png"), dataset)
    with pytest.raises(RecordError, match="expected an existing file"):
        load_image(Media(kind="image", path=str(dataset / "gone.png")))


def test_the_spellings_of_media(dataset: Path) -> None:
    assert read_media("a.png", "image", "f") == Media(kind="image", path="a.png")
    assert read_media(b"xy", "image", "f") == Media(kind="image", data=b"xy")
    assert read_media({"bytes": b"xy", "path": "old.png"}, "image", "f") == Media(kind="image", data=b"xy")
    assert read_media({"bytes": None, "path": "a.png"}, "image", "f") == Media(kind="image", path="a.png")
    assert read_media("data:image/png;base64,eHk=", "image", "f") == Media(kind="image", data=b"xy")
    for value, problem in (
        ("data:image/png,xy", "a data address in base64"),
        ("data:image/png;base64,?", "expected base64"),
        (5, "expected an object, got 5"),
        ({"array": [0.0], "sampling_rate": 16000}, "a medium is a path, bytes"),
        ({"bytes": None}, "expected text, got nothing"),
    ):
        with pytest.raises(RecordError, match=problem):
            read_media(value, "image", "f")


def test_empty_bytes_are_no_medium(dataset: Path) -> None:
    with pytest.raises(RecordError, match="expected the bytes of a file, got none"):
        resolve_media(Media(kind="audio", data=b""), dataset, "f")
