"""Episodes on disk: flat arrays that are mapped into memory, so that a store may be larger than it.

A store is a folder of shards, `<array>-<number>.npy`, in which whole episodes lie end to end, and `index.json`, which
names the arrays, the shards, and each episode's id and length. Files take their names only once they are whole, and a
shard counts only once the index names it: whatever interrupts a writer, the folder holds the episodes of the last
index, and its `complete` says whether more were to come.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from prefalign.data.atomic import atomic_path
from prefalign.interfaces import PreferenceRecord, Prompt, Response
from prefalign_robotics.segments.episodes import FLAGS, MATRICES, PER_STEP, Episode
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.pairs import SegmentPair
from prefalign_robotics.segments.segments import Segments

INDEX = "index.json"
FINAL = "final_observations"
"""This array has one row an episode, all others have one a step."""

_FORMAT, _VERSION = "prefalign-episodes", 1


@dataclass
class _Index:
    """What `index.json` says.

    Attributes:
        widths: numbers per row of each array, 0 for arrays of one axis.
        shards: how many episodes each shard holds.
        ids, lengths: of each episode.
    """

    name: str
    widths: dict[str, int] = field(default_factory=dict)
    shards: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    complete: bool = False

    def write(self, folder: Path) -> None:
        head = {"format": _FORMAT, "version": _VERSION}
        with atomic_path(folder / INDEX) as partial:
            partial.write_text(json.dumps(head | self.__dict__))

    @classmethod
    def read(cls, folder: Path) -> _Index:
        path = folder / INDEX
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise SegmentError(f"{path}: no such file; expected the folder of a store of episodes") from None
        except (OSError, ValueError, RecursionError) as error:
            raise SegmentError(f"{path}: damaged ({error}); write the store again") from None
        if not isinstance(found, dict) or (found.pop("format", None), found.pop("version", None)) != (
            _FORMAT,
            _VERSION,
        ):
            raise SegmentError(f"{path}: expected an index of format {_FORMAT!r}, version {_VERSION}")
        if problem := _misfit(found):
            raise SegmentError(f"{path}: damaged ({problem}); write the store again")
        return cls(**found)


def _misfit(found: dict[str, Any]) -> str | None:
    """Why an index cannot be one; None if it can."""
    kinds = {"name": str, "widths": dict, "shards": list, "ids": list, "lengths": list, "complete": bool}
    if {name: type(value) for name, value in found.items()} != kinds:
        return f"expected {', '.join(kinds)}, got {', '.join(found)}"
    numbers = [*found["widths"].values(), *found["shards"], *found["lengths"]]
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers) or 0 in found["lengths"]:
        return "expected whole numbers"
    if not set(found["widths"]) <= {*PER_STEP, FINAL}:
        return f"unknown arrays among {', '.join(found['widths'])}"
    if found["lengths"] and not set(MATRICES) <= set(found["widths"]):
        return f"expected the arrays {' and '.join(MATRICES)}, got {', '.join(found['widths'])}"
    counts = {len(found["ids"]), len(found["lengths"]), sum(found["shards"])}
    if len(counts) > 1 or 0 in found["shards"]:
        return "the numbers of episodes disagree"
    if not all(isinstance(name, str) for name in found["ids"]):
        return "expected ids to be text"
    return None


class EpisodeWriter:
    """Appends episodes to a store, new or begun; a context that marks the store as complete when it ends well.

    After an interruption a writer of the same folder goes on: `len(writer)` episodes are in already.

    Args:
        folder: of the store; made if need be.
        name: how messages call the store; the folder's name if None.
        shard_bytes: a shard is written once its arrays hold as much.

    Raises:
        SegmentError: if the folder holds an index that is damaged.
    """

    def __init__(self, folder: Path | str, name: str | None = None, shard_bytes: int = 2**26) -> None:
        self.folder, self.shard_bytes = Path(folder), shard_bytes
        self.folder.mkdir(parents=True, exist_ok=True)
        begun = (self.folder / INDEX).exists()
        self._index = _Index.read(self.folder) if begun else _Index(name or self.folder.name)
        self._waiting: list[Episode] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._index.lengths) + len(self._waiting)

    @property
    def ids(self) -> list[str]:
        """Of the episodes that are in already."""
        return [*self._index.ids, *(episode.id for episode in self._waiting)]

    @property
    def complete(self) -> bool:
        """Whether the store has been finished, and nothing been added to it since."""
        return self._index.complete and not self._waiting

    def append(self, episode: Episode) -> None:
        """Add an episode; it is on the disk once its shard is full or the context has ended.

        Raises:
            SegmentError: if it has other arrays, or other numbers of them, than those before it.
        """
        widths = {name: 0 if values.ndim == 1 else values.shape[1] for name, values in _arrays(episode).items()}
        known = self._index.widths = self._index.widths or widths
        if widths != known:
            spelled = (", ".join(f"{n} {w}" if w else n for n, w in each.items()) for each in (known, widths))
            raise episode.error("expected {} as in the episodes before it, got {}".format(*spelled))
        self._waiting.append(episode)
        self._bytes += sum(values.nbytes for values in _arrays(episode).values())
        if self._bytes >= self.shard_bytes:
            self._write_shard()

    def _write_shard(self) -> None:
        if not self._waiting:
            return
        columns = [_arrays(episode) for episode in self._waiting]
        for name in self._index.widths:
            values = np.concatenate([column[name] for column in columns])
            with atomic_path(_shard(self.folder, name, len(self._index.shards))) as partial, open(partial, "wb") as out:
                np.save(out, values, allow_pickle=False)
        self._index.shards.append(len(self._waiting))
        self._index.ids += [episode.id for episode in self._waiting]
        self._index.lengths += [len(episode) for episode in self._waiting]
        self._index.complete = False
        self._index.write(self.folder)
        self._waiting, self._bytes = [], 0

    def __enter__(self) -> EpisodeWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._write_shard()
            self._index.complete = True
            self._index.write(self.folder)


def write_store(folder: Path | str, episodes: Iterable[Episode], name: str | None = None) -> EpisodeStore:
    """Write `episodes` to a new store, or go on where an interrupted call with the same episodes ended.

    Raises:
        SegmentError: if there is a complete store already, or an interrupted one of other episodes.
    """
    with EpisodeWriter(folder, name) as writer:
        begun, known = len(writer), writer.ids
        if begun and writer.complete:
            raise SegmentError(f"{folder}: there is a store of {begun} episodes already; choose another folder")
        for number, episode in enumerate(episodes):
            if number >= begun:
                writer.append(episode)
            elif episode.id != known[number]:
                found = f"episode {number} is {known[number]!r} there and {episode.id!r} here"
                raise SegmentError(f"{folder}: begun with other episodes ({found}); choose another folder")
        if not len(writer):
            raise SegmentError(f"{folder}: there is no episode to write")
    return EpisodeStore(folder)


class EpisodeStore(Sequence[Episode]):
    """Episodes read from where a writer put them.

    Attributes:
        folder: of the store.
        name: how messages call it.
        ids: what the data called each episode.
        lengths: (E,) int64 steps of each episode.
        arrays: names of the arrays with one entry a step, and `final_observations` where there are such.

    Raises:
        SegmentError: if a file is absent or damaged, or the store was never finished.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        index = _Index.read(self.folder)
        if not index.complete:
            found = f"writing stopped after {len(index.lengths)} episodes"
            raise SegmentError(f"{self.folder}: {found}; go on with an EpisodeWriter or write_store")
        self.name, self.ids, self.arrays = index.name, index.ids, tuple(index.widths)
        self.lengths = np.array(index.lengths, np.int64)
        self._shard_of = np.repeat(np.arange(len(index.shards)), index.shards)
        self._first = np.zeros(len(self.lengths), np.int64)  # row of each episode's first step in its shard
        self._rank = np.zeros(len(self.lengths), np.int64)  # its number in the shard
        self._maps: list[dict[str, np.ndarray]] = []
        episode = 0
        for number, count in enumerate(index.shards):
            inside = slice(episode, episode + count)
            ends = np.cumsum(self.lengths[inside])
            self._first[inside], self._rank[inside] = ends - self.lengths[inside], np.arange(count)
            self._maps.append(_maps(self.folder, index.widths, number, int(ends[-1]), count))
            episode += count

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"])  # type: ignore[misc]  # maps do not travel between processes

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Episode:  # type: ignore[override]  # no slices
        """Episode `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"episode {index} of {len(self)}")
        return self.window(index, 0, int(self.lengths[index]))

    def window(self, episode: int, start: int, length: int) -> Episode:
        """Steps `start` to `start + length` of an episode; what was seen after them is the final observation.

        Raises:
            SegmentError: if there is no such episode or step, or its numbers are damaged.
        """
        self.check(np.array([[episode, start, length]]))
        maps, first = self._maps[self._shard_of[episode]], int(self._first[episode]) + start
        final = None
        if start + length < self.lengths[episode]:
            final = maps["observations"][first + length]
        elif FINAL in maps:
            final = maps[FINAL][self._rank[episode]]
        taken = {name: values[first : first + length] for name, values in maps.items() if name != FINAL}
        place = self._place(episode) + (f", from step {start}" if start else "")
        return Episode(**taken, final_observation=final, id=self.ids[episode], place=place)

    def segments(self, rows: np.ndarray) -> Segments:
        """The windows of `rows` (N, 3): episode, start and a length that all share.

        Raises:
            SegmentError: as `window`, and for different lengths or fewer than two rows.
        """
        rows = np.asarray(rows)
        if rows.ndim != 2 or rows.shape[1] != 3 or rows.dtype.kind not in "iu" or not len(rows):
            found = f"{rows.shape} {rows.dtype}"
            raise SegmentError(f"{self.folder}: expected rows (N, 3) of episode, start and length, got {found}")
        rows = rows.astype(np.int64)
        if len(np.unique(rows[:, 2])) > 1:
            lengths = f"{rows[:, 2].min()} to {rows[:, 2].max()}"
            raise SegmentError(f"{self.folder}: expected segments of one length, got {lengths} steps")
        self.check(rows)
        steps, shards = np.arange(rows[0, 2]), self._shard_of[rows[:, 0]]
        taken = {}
        for name in MATRICES:
            width = self._maps[0][name].shape[1]
            taken[name] = np.empty((len(rows), len(steps), width), np.float32)
            for shard in np.unique(shards):
                here = shards == shard
                first = self._first[rows[here, 0]] + rows[here, 1]
                taken[name][here] = self._maps[shard][name][first[:, None] + steps]
            self._refuse_damage(name, taken[name], rows)
        return Segments(taken["observations"], taken["actions"], self.name)

    def record(self, pair: SegmentPair) -> PreferenceRecord:
        """A comparison as a record of two responses, a and b, with `observations (T, O)` and `actions (T, A)`.

        Raises:
            SegmentError: as `window`, naming the pair.
            RecordError: if one of two equal segments is preferred.
        """
        try:
            both = [self.window(*segment) for segment in pair.segments]
        except SegmentError as error:
            raise pair.error(str(error)) from None
        judged: dict[str, Any] = {"source": pair.source, "segments": [list(segment) for segment in pair.segments]}
        return PreferenceRecord(
            id=pair.pair_id,
            prompt=Prompt(),
            responses=tuple(
                # Copies that may be written to, so that torch.from_numpy takes them.
                Response(arrays={name: np.array(getattr(window, name)) for name in MATRICES})
                for window in both
            ),
            verdict=pair.verdict,
            weight=pair.weight,
            annotator=pair.annotator,
            source=self.name,
            provenance=judged | ({} if pair.confidence is None else {"confidence": pair.confidence}),
        )

    def records(self, pairs: Iterable[SegmentPair]) -> Iterator[PreferenceRecord]:
        """The records of many comparisons, in order."""
        return map(self.record, pairs)

    def check(self, rows: np.ndarray) -> None:
        """Refuse rows (N, 3) of episode, start and length that lead out of the episodes.

        Raises:
            SegmentError: naming the first such episode and its steps.
        """
        episodes, starts, lengths = rows.T
        wrong = np.flatnonzero((episodes < 0) | (episodes >= len(self)))
        if len(wrong):
            raise SegmentError(f"{self.folder}: no episode {episodes[wrong[0]]}; it holds {len(self)}")
        wrong = np.flatnonzero((starts < 0) | (lengths < 1) | (starts > self.lengths[episodes] - lengths))
        if len(wrong):
            episode, start, length = rows[wrong[0]]
            asked = f"no {length} steps from step {start}"
            raise SegmentError(f"{self._place(episode)}: {asked}; the episode has {self.lengths[episode]} steps")

    def _refuse_damage(self, name: str, values: np.ndarray, rows: np.ndarray) -> None:
        if np.isfinite(values).all():
            return
        row, step, number = np.argwhere(~np.isfinite(values))[0]
        found = f"number {number} is {values[row, step, number]}"
        raise SegmentError(f"{self._place(rows[row, 0])}: {name} at step {rows[row, 1] + step}: {found}")

    def _place(self, episode: int) -> str:
        return f"{self.folder}, episode {episode} ({self.ids[episode]})"


def _arrays(episode: Episode) -> dict[str, np.ndarray]:
    found = {name: getattr(episode, name) for name in PER_STEP if getattr(episode, name) is not None}
    if episode.final_observation is not None:
        found[FINAL] = episode.final_observation[None]
    return found


def _shard(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:05d}.npy"


def _maps(folder: Path, widths: dict[str, int], number: int, steps: int, episodes: int) -> dict[str, np.ndarray]:
    """The arrays of a shard, mapped, after a check that they are what the index says."""
    found = {}
    for name, width in widths.items():
        path = _shard(folder, name, number)
        try:
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise SegmentError(f"{path}: no such file; the index of the store names it") from None
        except (OSError, ValueError, EOFError) as error:
            raise SegmentError(f"{path}: damaged ({error}); write the store again") from None
        rows = episodes if name == FINAL else steps
        wanted = ((rows, width) if width else (rows,), np.dtype(bool if name in FLAGS else np.float32))
        if (values.shape, values.dtype) != wanted:
            got = f"{values.shape} {values.dtype}"
            raise SegmentError(f"{path}: expected {wanted[0]} {wanted[1]} by the index, got {got}")
        found[name] = values
    return found
