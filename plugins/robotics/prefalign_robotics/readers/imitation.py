"""What `imitation` saves without pickle: trajectories in Arrow files, and pairs of fragments as plain arrays.

Trajectories: a folder of `datasets` with one row a trajectory: `obs` (T+1 lists), `acts` (T), `terminal`, and `rews`
where there are such. Pairs: an `.npz` file as `prefalign.data.fragments` describes it. Its preference sets and older
trajectories are pickles, which run code as they load and are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from prefalign.data.sources import open_records
from prefalign.interfaces import PreferenceRecord, RecordError
from prefalign.interfaces.source import RecordSource
from prefalign_robotics.readers.arrow import matrix, read_table
from prefalign_robotics.readers.paths import inside
from prefalign_robotics.segments.episodes import MATRICES, Episode
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.pairs import verdict_of

_PICKLES = (".pkl", ".pickle", ".pt", ".pth")


def refuse_pickle(path: Path) -> None:
    """Refuse what `imitation` pickles, and say how to convert it.

    Raises:
        SegmentError: for a file that is named or begins like a pickle.
    """
    begins = b""
    if path.is_file():
        with open(path, "rb") as file:
            begins = file.read(2)
    # Protocols 2 to 5 begin with the byte 0x80 and their number.
    if path.suffix in _PICKLES or (begins[:1] == b"\x80" and begins[1:2] in (b"\2", b"\3", b"\4", b"\5")):
        raise SegmentError(
            f"{path}: a pickle, which can run any code as it loads, so it is not read. If you trust it, load it with "
            "imitation and save its arrays: trajectories by imitation.data.serialize.save, pairs by numpy.savez with "
            "obs_1, acts_1, obs_2, acts_2 (stacked over pairs) and preferences"
        )


def read_trajectories(folder: Path | str) -> Iterator[Episode]:
    """The trajectories of a folder in order.

    Raises:
        SegmentError: naming file and row, for what is absent, damaged or pickled, and paths that leave the folder.
    """
    root = Path(folder)
    refuse_pickle(root)
    files = sorted(root.glob("*.arrow"))
    if not files:
        raise SegmentError(f"{root}: there is no .arrow file in it; expected a folder that imitation saved")
    number = 0
    for path in files:
        table = read_table(inside(root, path))
        for name in ("obs", "acts", "terminal"):
            if name not in table.column_names:
                raise SegmentError(f"{path}: no column {name!r}; it holds {', '.join(table.column_names)}")
        for row in range(len(table)):
            yield _episode(table, row, number, f"{path}, row {row}")
            number += 1


def _episode(table: pa.Table, row: int, number: int, place: str) -> Episode:
    def cell(name: str) -> np.ndarray:
        values = table[name][row].values if hasattr(table[name][row], "values") else None
        if values is None:
            raise SegmentError(f"{place}, {name!r}: expected a list, got {table[name][row].as_py()!r}")
        return matrix(values, f"{place}, {name!r}")

    observations, actions, terminal = cell("obs"), cell("acts"), table["terminal"][row].as_py()
    if len(observations) != len(actions) + 1:
        counts = f"{len(observations)} and {len(actions)}"
        raise SegmentError(f"{place}: expected one more observation than actions, got {counts}")
    if not isinstance(terminal, bool):
        raise SegmentError(f"{place}, 'terminal': expected true or false, got {terminal!r}")
    ends = np.arange(len(actions)) == len(actions) - 1
    if observations.ndim == 1:
        observations = observations[:, None]
    return Episode(
        observations[:-1],
        actions,
        rewards=cell("rews") if "rews" in table.column_names else None,
        terminations=ends & terminal,
        truncations=ends & (not terminal),
        final_observation=observations[-1],
        id=str(number),
        place=place,
    )


class FragmentSource(Sequence[PreferenceRecord]):
    """Pairs of fragments as pairs of segments: `observations (T, O)` and `actions (T, A)`.

    The observation after the last action is left out, and a probability of 1/2 is a tie.

    Attributes:
        name: how messages call the file.
    """

    def __init__(self, pairs: RecordSource) -> None:
        self.name, self._pairs = pairs.name, pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> PreferenceRecord:  # type: ignore[override]  # no slices
        """Record `index`.

        Raises:
            RecordError: for fragments of pictures.
        """
        record = self._pairs[index]
        responses = []
        for number, response in enumerate(record.responses):
            arrays = {"observations": response.arrays["observations"][:-1], "actions": response.arrays["actions"]}
            for name in MATRICES:
                values = arrays[name]
                arrays[name] = np.array(values[:, None] if values.ndim == 1 else values, np.float32)
                if arrays[name].ndim != 2:
                    problem = f"expected {name} (steps, numbers), got {values.shape}"
                    raise RecordError(problem, field=f"responses[{number}].{name}", record_id=record.id)
            responses.append(replace(response, arrays=arrays))
        # `imitation` gives P(the first is better).
        verdict = verdict_of(1 - record.verdict.probability)  # type: ignore[union-attr]  # always a pair
        return replace(record, responses=tuple(responses), verdict=verdict)


def open_fragments(path: Path | str) -> FragmentSource:
    """The pairs of an `.npz` file.

    Raises:
        RecordError: for a damaged file or arrays that do not fit, naming the array.
        SegmentError: for a pickle.
    """
    refuse_pickle(Path(path))
    return FragmentSource(open_records(Path(path), format="imitation"))
