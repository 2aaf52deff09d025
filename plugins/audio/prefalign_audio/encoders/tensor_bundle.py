"""TensorFlow checkpoints (version 2, "tensor bundles") read with NumPy alone.

The index is a sorted string table: a footer points to an index block, that to data blocks, whose values are small
protocol buffers that say where a tensor lies in the data file. Nothing in it is executed.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from prefalign.interfaces import PrefalignError

_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER = 48
_DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 2: np.dtype("<f8"), 3: np.dtype("<i4"), 9: np.dtype("<i8")}


class BundleError(PrefalignError):
    """A file that is no tensor bundle, or one that is damaged or of a kind that is not read."""


def read_bundle(index: Path, data: Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint by name.

    Args:
        index: the `.index` file.
        data: the only data file, `.data-00000-of-00001`.

    Raises:
        BundleError: for files that are damaged, compressed, or hold other types than numbers of 32 and 64 bits.
    """
    table, values = index.read_bytes(), data.read_bytes()
    if len(table) < _FOOTER or table[-8:] != _MAGIC:
        raise BundleError(f"{index}: no TensorFlow checkpoint index; its last 8 bytes are not the magic number")
    try:
        tensors = {}
        for name, entry in _entries(table):
            if name:  # the empty name describes the bundle itself
                tensors[name.decode()] = _tensor(entry, values)
    except (IndexError, ValueError, struct.error, UnicodeDecodeError) as error:
        raise BundleError(f"{index}: the checkpoint cannot be read: {error}") from error
    return tensors


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(table) - _FOOTER
    for _ in range(2):  # skip the handle of the block of properties
        _, place = _varint(table, place)
    for _, handle in _block(table, *_handle(table, place)):
        yield from _block(table, *_handle(handle, 0))


def _handle(data: bytes, place: int) -> tuple[int, int]:
    offset, place = _varint(data, place)
    return offset, _varint(data, place)[0]


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; a key shares its start with the one before it."""
    if offset + size >= len(table):
        raise ValueError(f"a block of {size} bytes at {offset} lies outside the file")
    if table[offset + size]:
        raise ValueError("its blocks are compressed, which this reader does not undo")
    block = table[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    end, place, key = len(block) - 4 * (restarts + 1), 0, b""
    while place < end:
        shared, place = _varint(block, place)
        fresh, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + fresh]
        place += fresh
        yield key, block[place : place + length]
        place += length


def _tensor(entry: bytes, values: bytes) -> np.ndarray:
    numbers, parts = _fields(entry)
    kind, offset, size = numbers.get(1, 0), numbers.get(4, 0), numbers.get(5, 0)
    if numbers.get(3, 0):
        raise ValueError("its tensors are in several data files, of which only one is read")
    if kind not in _DTYPES:
        raise ValueError(f"a tensor has the TensorFlow type {kind}; expected one of {sorted(_DTYPES)}")
    dtype = _DTYPES[kind]
    shape = [_fields(part)[0].get(1, 0) for number, text in parts if number == 2 for part in _repeated(text, 2)]
    count = math.prod(shape)
    if size != count * dtype.itemsize or offset + size > len(values):
        raise ValueError(f"a tensor of shape {shape} does not fit {size} bytes at {offset} of {len(values)}")
    return np.frombuffer(values, dtype, count, offset).reshape(shape).copy()


def _repeated(data: bytes, wanted: int) -> list[bytes]:
    return [part for number, part in _fields(data)[1] if number == wanted]


def _fields(data: bytes) -> tuple[dict[int, int], list[tuple[int, bytes]]]:
    """A protocol buffer's whole numbers by field, and its nested parts in order."""
    place, numbers, parts = 0, {}, []
    while place < len(data):
        tag, place = _varint(data, place)
        field, kind = tag >> 3, tag & 7
        if kind == 0:
            numbers[field], place = _varint(data, place)
        elif kind == 2:
            length, place = _varint(data, place)
            parts.append((field, data[place : place + length]))
            place += length
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field has the unknown wire type {kind}")
    return numbers, parts


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, lowest first, and the place behind it."""
    number = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
    raise ValueError("a number is longer than 64 bits")
