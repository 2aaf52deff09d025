"""Files of labels: small ones written by the tests, and BATON's own where the folder of real data is at hand."""

import gzip
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test leaves anything in the user's cache."""
    monkeypatch.setenv("PREFALIGN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def labels(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows, given as objects or as raw lines, to a file of JSON lines."""

    def write(rows: Sequence[Any], name: str = "labels.jsonl") -> Path:
        path = tmp_path / name
        content = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


@pytest.fixture(scope="session")
def real_labels() -> dict[int, Path]:
    """Number of events -> the published file of people's labels."""
    beside = Path(__file__).parents[4].parent / "shared" / "data"
    folder = Path(os.environ.get("PREFALIGN_TEST_DATA") or beside) / "audio"
    if not folder.is_dir():
        pytest.skip(f"no human labels at {folder}; set PREFALIGN_TEST_DATA to the folder that holds audio/")
    return {count: folder / f"baton_{count}label_HA.jsonl.gz" for count in (2, 3)}
