"""One batch for several rewards that read records in different ways."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from prefalign.interfaces import Batch, Codec, PreferenceRecord


class JointCodec:
    """Several codecs side by side; every record is encoded by each of them.

    Args:
        codecs: of the rewards that are combined. Codecs with one fingerprint encode once.
    """

    def __init__(self, codecs: Sequence[Codec]) -> None:
        prints = [codec.fingerprint() for codec in codecs]
        self.codecs = list(dict(zip(prints, codecs, strict=True)).values())
        self.place = [list(dict.fromkeys(prints)).index(one) for one in prints]

    def encode(self, record: PreferenceRecord) -> list[Any]:
        """The record as each codec encodes it.

        Raises:
            RecordError: for what any of them cannot represent.
        """
        return [codec.encode(record) for codec in self.codecs]

    def collate(self, examples: Sequence[list[Any]], needs: frozenset[str] = frozenset()) -> Batch:
        """One batch whose inputs carry the number of their codec, as in `1/input_ids`."""
        batches = [
            codec.collate([example[index] for example in examples], needs) for index, codec in enumerate(self.codecs)
        ]
        inputs = {f"{index}/{name}": value for index, one in enumerate(batches) for name, value in one.inputs.items()}
        keys = [
            hashlib.sha256(" ".join(row).encode()).hexdigest() for row in zip(*(b.keys for b in batches), strict=True)
        ]
        return replace(batches[0], inputs=inputs, keys=keys)

    def fingerprint(self) -> str:
        """Hash of the codecs' fingerprints."""
        return hashlib.sha256(" ".join(codec.fingerprint() for codec in self.codecs).encode()).hexdigest()

    def part(self, batch: Batch, member: int) -> Batch:
        """The batch as the codec of reward number `member` made it, but for the keys."""
        start = f"{self.place[member]}/"
        inputs = {name.removeprefix(start): value for name, value in batch.inputs.items() if name.startswith(start)}
        return replace(batch, inputs=inputs)
