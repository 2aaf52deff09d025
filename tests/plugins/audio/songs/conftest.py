"""A cache of its own for every test."""

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left in the user's cache, and nothing found there."""
    monkeypatch.setenv("PREFALIGN_CACHE", str(tmp_path_factory.mktemp("user-cache")))
