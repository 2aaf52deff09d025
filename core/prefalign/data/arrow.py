"""Arrow rows in random access. Parquet is decoded once into an Arrow file, which is then mapped into memory, not read.

A row of a Parquet file cannot be had without decoding its whole row group, which a shuffled epoch would do once a row.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prefalign.data.schema import check_schema
from prefalign.interfaces.errors import RecordError

_BATCH_BYTES = 8 * 2**20


class ArrowRows:
    """The rows of an Arrow file or stream; pages are loaded as they are touched.

    Args:
        path: an Arrow IPC file, or a stream such as `datasets` saves.
        name: how messages call the file.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._open()

    def _open(self) -> None:
        try:
            source = pa.memory_map(str(self.path))
            if source.read(6) == b"ARROW1":
                file = pa.ipc.open_file(source)
                self.schema = file.schema
                self._batches = [file.get_batch(i) for i in range(file.num_record_batches)]
            else:
                source.seek(0)
                stream = pa.ipc.open_stream(source)
                self.schema = stream.schema
                self._batches = list(stream)
        except (pa.ArrowException, OSError) as error:
            raise RecordError(f"expected Arrow data: {_first_line(error)}", field="file", where=self.name) from None
        self._ends = list(itertools.accumulate(batch.num_rows for batch in self._batches))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def place(self, index: int) -> str:
        return f"{self.name}, row {index + 1}"

    def row(self, index: int) -> Mapping[str, Any]:
        number = bisect.bisect_right(self._ends, index)
        inner = index - (self._ends[number - 1] if number else 0)
        try:
            found: dict[str, Any] = self._batches[number].slice(inner, 1).to_pylist()[0]
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise RecordError(f"expected a readable row: {_first_line(error)}", field="row") from None
        return found

    def raw(self, index: int) -> Any:
        return self.row(index)


def unpack_parquet(source: Path, target: Path, name: str) -> None:
    """Write the rows of a Parquet file to the Arrow file `target`, a few MiB at a time.

    Raises:
        RecordError: for a damaged file, or one that claims our schema and does not have it.
    """
    try:
        with pq.ParquetFile(source, pre_buffer=False) as file:
            schema: pa.Schema = file.schema_arrow
            check_schema(schema, name)
            with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, schema) as out:
                for batch in file.iter_batches(batch_size=_batch_rows(file.metadata)):
                    out.write_batch(batch)
    except (pa.ArrowException, OSError) as error:
        raise RecordError(f"expected Parquet: {_first_line(error)}", field="file", where=name) from None


def _batch_rows(metadata: Any) -> int:
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    return max(1, min(4096, _BATCH_BYTES * metadata.num_rows // max(1, size)))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
