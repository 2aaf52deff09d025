"""Media of records: paths that cannot leave the dataset's folder, and pictures that cannot exhaust the memory.

In a file, a medium's path is relative to the dataset's folder. A source hands records out with absolute paths that have
been checked, so that whoever meets an absolute path in a record may open it, and needs to know no folder.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import io
import os
import re
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from prefalign.data.fields import Fields, expected
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import Media, PreferenceRecord, Prompt, Response

MAX_PIXELS = 64 * 10**6
"""Pixels of the largest picture that is decoded: 8000 × 8000. A few kilobytes of PNG can claim a thousandfold."""

MediaPlacing = Literal["refer", "copy", "embed"]
"""What becomes of media files when records are written: `refer` to them where they are, `copy` them into a folder
`media` beside the records, or `embed` their bytes."""

# Only what decodes in process: PIL would hand EPS to an interpreter.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DECODE_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, OverflowError, MemoryError),
    Image.DecompressionBombError,
)


def resolve_media(medium: Media, folder: Path, field: str) -> Media:
    """The medium with its path made absolute and found to exist inside `folder`; one with its bytes is left as it is.

    Raises:
        RecordError: for a path that leaves the folder by `..`, by being absolute or through a symbolic link, for an
            address, and for what is not an existing file.
    """
    if medium.path is None:
        if not medium.data:
            raise RecordError("expected the bytes of a file, got none", field=field)
        return medium
    path = medium.path
    if _ADDRESS.match(path):
        problem = f"expected a file, got the address {path[:80]!r}; download it first and name the file"
        raise RecordError(problem, field=field)
    if not path or "\0" in path:
        raise expected("a file name", path, field)
    if os.path.isabs(path):
        problem = f"expected a path relative to the dataset's folder, got {path!r}"
        raise RecordError(f"{problem}; set media_folder to the folder that holds the media", field=field)
    root = folder.resolve()
    target = (root / path).resolve()
    if not target.is_relative_to(root):
        raise RecordError(f"expected a path inside the dataset's folder, but {path!r} leaves it", field=field)
    if not target.is_file():
        raise RecordError(f"expected an existing file, but there is none at {path!r} in {str(folder)!r}", field=field)
    return dataclasses.replace(medium, path=str(target))


def load_image(medium: Media, folder: Path | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The decoded picture of a medium.

    Args:
        medium: a medium of kind `image`, by bytes or by path.
        folder: the dataset's folder where the path is relative; records from a source need none.
        max_pixels: refuse larger pictures before decoding them; at most PIL's own limit of 179 million counts.

    Raises:
        RecordError: for a path that leaves the folder, a picture that is too large, or one that cannot be decoded.
    """
    if medium.kind != "image":
        raise expected("an image", medium.kind, "media.kind")
    if medium.path is not None and not os.path.isabs(medium.path):
        if folder is None:
            raise RecordError(f"the path {medium.path!r} is relative, and no folder is given", field="media.path")
        medium = resolve_media(medium, folder, "media.path")
    with _opened(medium, max_pixels) as image:
        try:
            image.load()
        except _DECODE_ERRORS as error:
            raise _broken(medium, error) from error
        return image


def check_image(medium: Media, max_pixels: int = MAX_PIXELS) -> None:
    """Decode a picture for the sake of its errors, JPEG at an eighth of its size, which reads every byte all the same.

    Raises:
        RecordError: as `load_image`.
    """
    with _opened(medium, max_pixels) as image:
        try:
            image.draft("RGB", (image.width // 8, image.height // 8))
            image.load()
        except _DECODE_ERRORS as error:
            raise _broken(medium, error) from error


def _opened(medium: Media, max_pixels: int) -> Image.Image:
    source: Any = medium.path if medium.data is None else io.BytesIO(medium.data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # ours is the stricter limit, below
            image = Image.open(source, formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise RecordError(f"the picture is too large: {error}", field="media") from error
    except FileNotFoundError:
        raise RecordError(f"expected an existing file, but there is none at {medium.path!r}", field="media") from None
    except _DECODE_ERRORS as error:
        raise _broken(medium, error) from error
    if image.width * image.height > max_pixels:
        size = f"{image.width} × {image.height}"
        image.close()
        raise RecordError(f"expected a picture of at most {max_pixels} pixels, got {size}", field="media")
    return image


def _broken(medium: Media, error: BaseException) -> RecordError:
    what = "bytes" if medium.path is None else repr(os.path.basename(medium.path))
    return RecordError(f"expected a picture, but {what} cannot be decoded: {error}", field="media")


def media_of(record: PreferenceRecord) -> Iterator[tuple[str, Media]]:
    """Every medium of a record with its dotted field name."""

    def of_prompt(prompt: Prompt, path: str) -> Iterator[tuple[str, Media]]:
        return ((f"{path}.media[{i}]", medium) for i, medium in enumerate(prompt.media))

    def of_response(response: Response, path: str) -> Iterator[tuple[str, Media]]:
        yield from ((f"{path}.media[{i}]", medium) for i, medium in enumerate(response.media))
        if response.context is not None:
            yield from of_prompt(response.context, f"{path}.context")

    yield from of_prompt(record.prompt, "prompt")
    for i, response in enumerate(record.responses):
        yield from of_response(response, f"responses[{i}]")
    if record.reference_answer is not None:
        yield from of_response(record.reference_answer, "reference_answer")


def map_media(record: PreferenceRecord, change: Callable[[Media, str], Media]) -> PreferenceRecord:
    """The record with `change(medium, field)` in the place of every medium."""
    if next(media_of(record), None) is None:
        return record

    def in_list(media: Sequence[Media], path: str) -> tuple[Media, ...]:
        return tuple(change(medium, f"{path}.media[{i}]") for i, medium in enumerate(media))

    def in_prompt(prompt: Prompt, path: str) -> Prompt:
        return dataclasses.replace(prompt, media=in_list(prompt.media, path)) if prompt.media else prompt

    def in_response(response: Response, path: str) -> Response:
        context = None if response.context is None else in_prompt(response.context, f"{path}.context")
        if not response.media and context is response.context:
            return response
        return dataclasses.replace(response, media=in_list(response.media, path), context=context)

    answer = record.reference_answer
    return dataclasses.replace(
        record,
        prompt=in_prompt(record.prompt, "prompt"),
        responses=tuple(in_response(r, f"responses[{i}]") for i, r in enumerate(record.responses)),
        reference_answer=None if answer is None else in_response(answer, "reference_answer"),
    )


class MediaPlacer:
    """Makes the media of records that are to be written independent of where they were read.

    Args:
        folder: the folder that the records are written to.
        placing: what becomes of media files. `refer` refuses files outside the folder; `copy` names the copies by their
            content, so that equal files are kept once and the same records give the same folder.
    """

    def __init__(self, folder: Path, placing: MediaPlacing = "refer") -> None:
        self.folder, self.placing = folder, placing
        self._copied: dict[str, str] = {}

    def __call__(self, record: PreferenceRecord) -> PreferenceRecord:
        try:
            return map_media(record, self._place)
        except RecordError as error:
            raise RecordError(error.problem, field=error.field, record_id=record.id) from error

    def _place(self, medium: Media, field: str) -> Media:
        if medium.path is None:
            return medium
        source = (self.folder / medium.path).resolve()
        if not source.is_file():
            raise RecordError(f"expected an existing file, but there is none at {medium.path!r}", field=field)
        if self.placing == "embed":
            return Media(kind=medium.kind, data=source.read_bytes())
        if self.placing == "copy":
            return Media(kind=medium.kind, path=self._copy(source))
        root = self.folder.resolve()
        if not source.is_relative_to(root):
            problem = f"{medium.path!r} lies outside the folder {str(self.folder)!r} that the records are written to"
            raise RecordError(f"{problem}; write them beside it, or have the media copied or embedded", field=field)
        return Media(kind=medium.kind, path=source.relative_to(root).as_posix())

    def _copy(self, source: Path) -> str:
        if (known := self._copied.get(str(source))) is not None:
            return known
        with open(source, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        relative = f"media/{digest[:2]}/{digest[2:34]}{source.suffix.lower()}"
        target = self.folder / relative
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
            shutil.copyfile(source, partial)
            os.replace(partial, target)
        self._copied[str(source)] = relative
        return relative


def read_media(value: Any, kind: str, path: str) -> Media:
    """A medium as other libraries spell it: a path, a `data:` address, bytes, or an object of `bytes` or `path`."""
    if isinstance(value, bytes):
        return Media(kind=kind, data=value)
    if isinstance(value, str):
        if value.startswith("data:"):
            return Media(kind=kind, data=_data_address(value, path))
        return Media(kind=kind, path=value)
    row = Fields(value, path)
    row.only(("bytes", "path"), "a medium is a path, bytes, or an object of 'bytes' and 'path'")
    content = row.get("bytes")
    if content is not None:
        if not isinstance(content, bytes):
            raise expected("bytes", content, row.at("bytes"))
        return Media(kind=kind, data=content)
    return Media(kind=kind, path=row.text("path"))


def _data_address(address: str, path: str) -> bytes:
    head, comma, body = address.partition(",")
    if not comma or not head.endswith(";base64"):
        raise expected("a data address in base64", address, path)
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise RecordError(f"expected base64: {error}", field=path) from None


def write_media(medium: Media) -> Any:
    """The spelling of a medium that `read_media` reads: its path, or its bytes."""
    return medium.path if medium.data is None else medium.data
