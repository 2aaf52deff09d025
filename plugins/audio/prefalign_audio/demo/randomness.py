"""One seed, many streams: a part that draws more or less than before leaves all other parts as they were."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import torch


def generator_for(seed: int, stream: str) -> torch.Generator:
    """The generator of a named stream of the seed."""
    return torch.Generator().manual_seed(_mixed(seed, stream))


@contextlib.contextmanager
def seeded(seed: int, stream: str) -> Iterator[None]:
    """Run with torch's global generator, which initialises modules, at a named stream; it is restored afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_mixed(seed, stream))
        yield


def _mixed(seed: int, stream: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{stream}".encode()).digest()[:7], "big")
