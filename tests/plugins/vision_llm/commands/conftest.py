"""Where the real captions are, for tests that use them."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real vision_llm inputs; tests that need it are skipped where it is absent."""
    beside = Path(__file__).parents[4].parent / "shared" / "data"
    folder = Path(os.environ.get("PREFALIGN_TEST_DATA") or beside) / "vision_llm"
    if not folder.is_dir():
        pytest.skip(f"no real captions at {folder}; set PREFALIGN_TEST_DATA to the folder that holds vision_llm/")
    return folder
