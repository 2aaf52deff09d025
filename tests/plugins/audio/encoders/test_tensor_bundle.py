"""The reader of TensorFlow checkpoints, on bundles written here byte by byte."""

import struct
from pathlib import Path

import numpy as np
import pytest

from prefalign_audio.encoders.tensor_bundle import BundleError, read_bundle

MAGIC = bytes.fromhex("57fb808b247547db")


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def block(entries: list[tuple[int, bytes, bytes]]) -> bytes:
    """Entries of (shared length, rest of the key, value), one restart point, type byte and checksum."""
    body = b"".join(varint(s) + varint(len(k)) + varint(len(v)) + k + v for s, k, v in entries)
    return body + struct.pack("<II", 0, 1) + b"\0" + b"\0\0\0\0"


def entry(kind: int, shape: tuple[int, ...], offset: int, size: int) -> bytes:
    dims = b"".join(b"\x12" + varint(len(d)) + d for d in (b"\x08" + varint(n) for n in shape))
    found = b"\x08" + varint(kind) + b"\x12" + varint(len(dims)) + dims
    found += b"\x20" + varint(offset) if offset else b""
    found += b"\x28" + varint(size) if size else b""
    return found + b"\x35\0\0\0\0"  # field 6, a checksum of 32 bits


def write(folder: Path, entries: list[tuple[int, bytes, bytes]], data: bytes) -> tuple[Path, Path]:
    values = block([(0, b"", b"\x08\x01"), *entries])
    handle = varint(0) + varint(len(values) - 5)
    index = block([(0, b"z", handle)])
    footer = varint(0) + varint(0) + varint(len(values)) + varint(len(index) - 5)
    (folder / ".index").write_bytes(values + index + footer.ljust(40, b"\0") + MAGIC)
    (folder / ".data").write_bytes(data)
    return folder / ".index", folder / ".data"


def good(folder: Path) -> tuple[Path, Path]:
    matrix, step = np.arange(6, dtype="<f4"), np.array(300, dtype="<i8")
    return write(
        folder,
        [
            (0, b"dense/bias", entry(1, (0,), 0, 0)),
            (6, b"kernel", entry(1, (2, 3), 0, 24)),  # shares "dense/" with the key before it
            (0, b"step", entry(9, (), 24, 8)),
        ],
        matrix.tobytes() + step.tobytes(),
    )


def test_reads_names_shapes_types_and_values(tmp_path: Path) -> None:
    tensors = read_bundle(*good(tmp_path))
    assert set(tensors) == {"dense/bias", "dense/kernel", "step"}
    assert tensors["dense/kernel"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["dense/kernel"].dtype == np.float32
    assert tensors["step"] == 300
    assert tensors["step"].shape == ()
    assert tensors["dense/bias"].shape == (0,)


def test_refuses_another_kind_of_file(tmp_path: Path) -> None:
    index, data = good(tmp_path)
    index.write_bytes(b"PK\x03\x04" * 20)
    with pytest.raises(BundleError, match=r"no TensorFlow checkpoint index"):
        read_bundle(index, data)
    index.write_bytes(b"")
    with pytest.raises(BundleError, match=r"no TensorFlow checkpoint index"):
        read_bundle(index, data)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (entry(1, (2, 3), 16, 24), "does not fit 24 bytes at 16 of 32"),  # past the end of the data
        (entry(1, (2, 3), 0, 20), "does not fit 20 bytes"),
        (entry(1, (2**40, 2**40), 0, 24), "does not fit"),
        (entry(7, (1,), 0, 24), "type 7"),  # a string
        (b"\x08\x01\x18\x01", "several data files"),
        (b"\x0b", "wire type 3"),
        (b"\x08" + b"\xff" * 11, "longer than 64 bits"),
    ],
)
def test_refuses_entries_that_point_elsewhere(tmp_path: Path, bad: bytes, said: str) -> None:
    index, data = write(tmp_path, [(0, b"w", bad)], bytes(32))
    with pytest.raises(BundleError, match=said):
        read_bundle(index, data)


def test_refuses_blocks_outside_the_file_and_compressed_ones(tmp_path: Path) -> None:
    index, data = good(tmp_path)
    whole = index.read_bytes()
    footer = varint(0) + varint(0) + varint(10**6) + varint(20)
    index.write_bytes(whole[:-48] + footer.ljust(40, b"\0") + MAGIC)
    with pytest.raises(BundleError, match="lies outside the file"):
        read_bundle(index, data)
    # The type byte stands 5 bytes before the end of the index block, which the footer follows.
    index.write_bytes(whole[:-53] + b"\x01" + whole[-52:])
    with pytest.raises(BundleError, match="compressed"):
        read_bundle(index, data)


def test_every_cut_of_a_bundle_is_refused(tmp_path: Path) -> None:
    index, data = good(tmp_path)
    whole = index.read_bytes()
    for length in range(len(whole)):
        index.write_bytes(whole[:length])
        with pytest.raises(BundleError):
            read_bundle(index, data)
