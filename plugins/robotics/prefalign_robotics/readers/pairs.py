"""Comparisons of segments as preference records, from the files that hold them.

`robotics-pairs:<path>` opens three kinds: `.npz` archives of human comparisons (`segments.human`), `.npz` archives of
fragment pairs (`readers.imitation`), and Parquet tables (`exports.preferences`) beside a store of episodes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np

from prefalign.interfaces import PreferenceRecord, Prompt, Response, unknown_name
from prefalign.interfaces.source import RecordSource
from prefalign_robotics.exports.preferences import read_preferences
from prefalign_robotics.readers.imitation import open_fragments, refuse_pickle
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.human import SHIPPED, read_comparisons
from prefalign_robotics.segments.pairs import verdict_of
from prefalign_robotics.segments.store import EpisodeStore

#: Scheme of the addresses under which comparisons are opened: `robotics-pairs:path/to/can.npz`.
SCHEME = "robotics-pairs"


class ComparisonSource(Sequence[PreferenceRecord]):
    """The comparisons of an archive that people made; the first segment is response 0, the second 1.

    Attributes:
        name: how messages call the file.

    Raises:
        SegmentError: as `read_comparisons`, and for an archive in which nothing is preferred.
    """

    def __init__(self, path: Path | str) -> None:
        self.name = Path(path).name
        self._segments, self._comparisons = read_comparisons(path)
        if not self._comparisons.decided.any():
            raise SegmentError(f"{path}: none of its {len(self)} pairs is decided; expected labels other than 1/2")

    def __len__(self) -> int:
        return len(self._comparisons)

    def __getitem__(self, index: int) -> PreferenceRecord:  # type: ignore[override]  # no slices
        """Record `index`.

        Raises:
            RecordError: if one of two equal segments is preferred.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        return PreferenceRecord(
            id=f"{self._segments.name}-{index}",
            prompt=Prompt(),
            responses=tuple(
                Response(
                    arrays={
                        "observations": np.array(self._segments.observations[row]),
                        "actions": np.array(self._segments.actions[row]),
                    }
                )
                for row in self._comparisons.pairs[index]
            ),
            verdict=verdict_of(float(self._comparisons.labels[index])),
            annotator="people",
            source=self._segments.name,
            provenance={"source": "human"},
        )


class StoredPairSource(Sequence[PreferenceRecord]):
    """The comparisons of a Parquet table over a store of episodes; segment a is response 0, b is 1.

    Attributes:
        name: how messages call the table.
        store: the episodes.
        pairs: the comparisons.

    Raises:
        SegmentError: as `read_preferences` and `EpisodeStore`, and if a pair leaves its episode.
    """

    def __init__(self, path: Path | str, store: Path | str | None = None) -> None:
        self.name = Path(path).name
        self.pairs = read_preferences(path)
        self.store = EpisodeStore(Path(path).parent if store is None else store)
        for pair in self.pairs:
            try:
                self.store.check(np.array(pair.segments))
            except SegmentError as error:
                raise SegmentError(f"{path}: pair {pair.pair_id!r}: {error}") from None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> PreferenceRecord:  # type: ignore[override]  # no slices
        """Record `index`.

        Raises:
            RecordError: if one of two equal segments is preferred.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        return self.store.record(self.pairs[index])


def open_pairs(uri: str, split: str) -> RecordSource | None:
    """The source behind `robotics-pairs:<path>`, or `robotics-pairs:shipped:can`; None for other addresses.

    Behind a table's path may stand `?store=<folder>`: where its episodes are, if not in the table's own folder. None
    of these files has parts, so `split` says nothing.

    Raises:
        SegmentError: for a file of another kind, or one that cannot be used.
        RecordError: for fragments that do not fit one another.
        PrefalignError: for another option.
    """
    scheme, _, path = uri.partition(":")
    if scheme != SCHEME or not path:
        return None
    if path.startswith(SHIPPED):
        return ComparisonSource(path)
    options: dict[str, str] = {}
    if not Path(path).exists():
        path, _, query = path.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
    file = Path(path)
    known = ("store",) if file.suffix == ".parquet" else ()
    for name in options:
        if name not in known:
            raise unknown_name(f"option of {file.name}", name, known)
    if file.suffix == ".parquet":
        return StoredPairSource(file, options.get("store"))
    refuse_pickle(file)
    if file.suffix != ".npz":
        raise SegmentError(f"{file}: expected an archive (.npz) or a table (.parquet) of comparisons")
    return open_fragments(file) if "acts_1" in _members(file) else ComparisonSource(file)


def _members(path: Path) -> list[str]:
    """Names of an archive's arrays; none where it cannot be told, which the reader then says."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return []
