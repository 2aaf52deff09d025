"""Safetensors files, read a tensor at a time and written a tensor at a time."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign.merging.layout import Entry

_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "C64": torch.complex64,
}


class WeightFile:
    """One file.

    Args:
        path: where.

    Attributes:
        path: where.
        metadata: the strings that its header carries.
        layout: dtype and shape of each tensor, in the order in which they lie in the file.

    Raises:
        PrefalignError: for a file that is not safetensors, is cut off, or holds a dtype that cannot be merged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # It checks that the header is sound and fits the file; the file is mapped, and nothing is read yet.
            self._file: Any = safe_open(path, framework="pt")
        except (SafetensorError, OSError) as error:
            raise PrefalignError(f"{path}: not a whole safetensors file: {error}") from error
        header = json.loads(self.header[8:])
        self.metadata: dict[str, str] = header.pop("__metadata__", {})
        for name, entry in header.items():
            if entry["dtype"] not in _DTYPES:
                raise PrefalignError(f"{path}: {name!r} is of dtype {entry['dtype']}, which cannot be merged")
        ordered = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
        self.layout = {name: Entry(_DTYPES[entry["dtype"]], tuple(entry["shape"])) for name, entry in ordered}

    @cached_property
    def header(self) -> bytes:
        """The header as it stands in the file, with its length before it."""
        with open(self.path, "rb") as file:
            length = file.read(8)
            return length + file.read(struct.unpack("<Q", length)[0])

    def read(self, name: str) -> Tensor:
        """One tensor."""
        tensor: Tensor = self._file.get_tensor(name)
        return tensor

    def write_like(self, target: Path, make: Callable[[str], Tensor]) -> None:
        """Write a file of the same layout, of which one tensor is in memory at a time.

        Args:
            target: where.
            make: a name to its tensor, of the layout's dtype and shape.
        """
        with open(target, "wb") as file:
            file.write(self.header)
            for name, entry in self.layout.items():
                tensor = make(name)
                assert Entry(tensor.dtype, tuple(tensor.shape)) == entry
                file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
