"""Fragment pairs of `imitation`: observations, actions, ends and rewards of two fragments, and P(first is better).

A fragment of T steps has T+1 observations. `imitation` itself pickles its preference sets, which are not read: export
the arrays to `.npz` under the names that `prefalign.data.fragments` lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prefalign.data.atomic import atomic_path
from prefalign.data.fields import Fields, as_text
from prefalign.data.formats.flat import read_id
from prefalign.data.formats.layout import Layout, pair_of, write_row
from prefalign.data.fragments import KEYS, PREFERENCES, REQUIRED
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import PreferenceRecord, Prompt, Response
from prefalign.interfaces.verdict import Pair

ARRAYS = {"obs": "observations", "acts": "actions", "rews": "rewards", "terminal": "terminal"}
"""Name of an array in the file → in `Response.arrays`."""


def read_fragments(row: Mapping[str, Any], fallback_id: str) -> PreferenceRecord:
    """The record of a pair of fragments.

    Its responses have the arrays `observations (T+1, …)`, `actions (T, …)` and, where given, `rewards (T,)` and
    `terminal ()`. The texts of `infos (T,)` go to `provenance`.
    """
    fields = Fields(row)
    fields.only(KEYS)
    responses = tuple(_fragment(fields, side) for side in (1, 2))
    infos = [fields.get(f"infos_{side}") for side in (1, 2)]
    return PreferenceRecord(
        id=read_id(fields, fallback_id),
        prompt=Prompt(),
        responses=responses,
        verdict=Pair(probability=fields.number(PREFERENCES)),
        weight=fields.number("weight") if "weight" in fields else 1.0,
        annotator=fields.maybe_text("annotator"),
        provenance={"infos": [_texts(info) for info in infos]} if any(i is not None for i in infos) else {},
    )


def _fragment(fields: Fields, side: int) -> Response:
    arrays: dict[str, np.ndarray] = {}
    for theirs, ours in ARRAYS.items():
        name = f"{theirs}_{side}"
        value = fields.need(name, "an array") if theirs in REQUIRED else fields.get(name)
        if value is None:
            continue
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise RecordError(f"expected finite numbers, got dtype {array.dtype} with others", field=name)
        if theirs != "terminal" and not array.ndim:
            raise RecordError("expected an array with an axis of steps", field=name)
        arrays[ours] = array
    steps, states = len(arrays["actions"]), len(arrays["observations"])
    if states != steps + 1:
        raise RecordError(f"expected one more observation than actions, got {states} and {steps}", field=f"obs_{side}")
    if "rewards" in arrays and arrays["rewards"].shape != (steps,):
        raise RecordError(f"expected {steps} rewards, got shape {arrays['rewards'].shape}", field=f"rews_{side}")
    return Response(arrays=arrays)


def _texts(info: Any) -> list[str] | None:
    return None if info is None else [as_text(str(text), "infos") for text in np.asarray(info).tolist()]


def write_fragments(record: PreferenceRecord) -> dict[str, Any]:
    """The arrays of one pair, under the names in the file."""
    first, second = pair_of(record)
    assert isinstance(record.verdict, Pair)
    row: dict[str, Any] = {"id": record.id, PREFERENCES: record.verdict.probability}
    for side, response in ((1, first), (2, second)):
        row |= {f"{t}_{side}": response.arrays[ours] for t, ours in ARRAYS.items() if ours in response.arrays}
    for side, info in enumerate(record.provenance.get("infos", ()), 1):
        if info is not None:
            row[f"infos_{side}"] = np.array(info)
    if record.weight != 1.0:
        row["weight"] = record.weight
    if record.annotator is not None:
        row["annotator"] = record.annotator
    return row


IMITATION = Layout(
    name="imitation",
    summary="imitation: obs_1, acts_1, terminal_1, rews_1, the same with _2, and preferences, in an .npz file",
    matches=lambda row: all(row.get(name) is not None for name in ("obs_1", "acts_1", "obs_2", "acts_2", PREFERENCES)),
    read=read_fragments,
    write=write_fragments,
)


def write_npz(records: Iterable[PreferenceRecord], path: Path) -> int:
    """Write pairs of fragments to one `.npz` file, end to end where their lengths differ, and return how many.

    All of them are held in memory, as the container demands.

    Raises:
        RecordError: naming the field that the layout cannot carry, or the array that only some pairs have.
    """
    rows = [write_row(IMITATION, record) for record in records]
    keys = sorted({key for row in rows for key in row} - {"id"})
    columns: dict[str, np.ndarray] = {"id": np.array([str(row["id"]) for row in rows])}
    for key in keys:
        part, _, side = key.rpartition("_")
        lacking = next((row["id"] for row in rows if key not in row), None)
        if key == "weight":
            columns[key] = np.array([row.get(key, 1.0) for row in rows])
        elif lacking is not None:
            raise RecordError("this pair lacks an array that others have", field=key, record_id=str(lacking))
        elif side not in ("1", "2"):
            columns[key] = np.array([row[key] for row in rows])
        else:
            columns[key] = _stack(rows, part, side)
    for side in ("1", "2"):
        steps = [len(row[f"acts_{side}"]) for row in rows]
        if len(set(steps)) > 1:
            columns[f"indices_{side}"] = np.cumsum(steps)[:-1]
    with atomic_path(path) as partial, open(partial, "wb") as out:
        np.savez_compressed(out, **columns)  # type: ignore[arg-type]
    return len(rows)


def _stack(rows: list[dict[str, Any]], part: str, side: str) -> np.ndarray:
    arrays = [np.asarray(row[f"{part}_{side}"]) for row in rows]
    same_length = len({len(row[f"acts_{side}"]) for row in rows}) == 1
    try:
        return np.stack(arrays) if same_length or part == "terminal" else np.concatenate(arrays)
    except ValueError as error:
        raise RecordError(f"the pairs' arrays do not fit one another: {error}", field=f"{part}_{side}") from None
