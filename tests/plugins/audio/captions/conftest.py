"""The captions of BATON's human labels, where the folder of real data is at hand."""

import gzip
import json
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_captions() -> dict[int, list[str]]:
    """Number of events -> captions, each once."""
    beside = Path(__file__).parents[4].parent / "shared" / "data"
    folder = Path(os.environ.get("PREFALIGN_TEST_DATA") or beside) / "audio"
    if not folder.is_dir():
        pytest.skip(f"no human labels at {folder}; set PREFALIGN_TEST_DATA to the folder that holds audio/")
    found = {}
    for count in (2, 3):
        with gzip.open(folder / f"baton_{count}label_HA.jsonl.gz", "rt", encoding="utf-8") as file:
            found[count] = list(dict.fromkeys(json.loads(line)["captions"] for line in file))
    return found
