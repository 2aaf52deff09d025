"""The builder's runner: threads records through stages, writes them shard by shard, and keeps the manifest.

The inputs are taken in groups of `shard_size`. Each group runs through the whole chain and becomes one shard, so that a
run that is killed loses at most one group, and goes on with the next when it is started again. A resumed run ends with
the same bytes as one that was never stopped, because a group is always run as a whole and from its beginning.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from prefalign.data.atomic import atomic_path
from prefalign.data.canonical import record_to_dict
from prefalign.data.media import MediaPlacing
from prefalign.data.store import write_parquet
from prefalign.interfaces.builder import Stage, StageReport
from prefalign.interfaces.errors import PrefalignError, RecordError
from prefalign.interfaces.record import PreferenceRecord
from prefalign.interfaces.source import RecordSource

MANIFEST_FILE = "manifest.json"
_MANIFEST_VERSION = 1
_PLAN_FILE = "plan.json"
_PROGRESS_FOLDER = "progress"


def build(
    source: RecordSource,
    stages: Sequence[Stage],
    output: Path,
    *,
    seed: int,
    shard_size: int = 64,
    media: MediaPlacing = "copy",
) -> dict[str, Any]:
    """Run a chain of stages over a source into a folder of Parquet shards, or go on where a killed run stopped.

    Args:
        source: the inputs.
        stages: the chain, in order. Stage i is given `derive_seed(seed, i)`.
        output: the folder. It may be empty, hold an unfinished run of the same plan, or a finished one.
        seed: from which all randomness derives.
        shard_size: inputs per shard; a killed run loses the work on at most so many.
        media: what becomes of media files, as for `prefalign.data.store.write_parquet`.

    Returns:
        The manifest, which is also written to `manifest.json`: version of the manifest, `seed`, `shard_size`, `media`,
        `versions` of Python and of the packages involved, `inputs` (name, number of records, SHA-256 of their content
        with their media), `stages` (class, settings, records seen and made, and dropped by reason) and `outputs` (file,
        SHA-256, number of records). It holds nothing that differs between two runs of the same plan.

    Raises:
        PrefalignError: if the folder holds a run of another plan; the message names what differs.
        RecordError: if two inputs lead to records of the same id; and what the stages raise.
    """
    if shard_size < 1:
        raise PrefalignError(f"expected a shard_size of at least 1, got {shard_size}")
    output.mkdir(parents=True, exist_ok=True)
    plan = _plan(source, stages, seed, shard_size, media)
    _agree(output, plan)
    if (finished := _read(output / MANIFEST_FILE)) is not None:
        return finished
    _write(output / _PLAN_FILE, plan)
    shards: list[dict[str, Any]] = []
    ids: set[str] = set()
    for number, start in enumerate(range(0, len(source), shard_size)):
        path = output / f"part-{number:05d}.parquet"
        note = output / _PROGRESS_FOLDER / f"{path.stem}.json"
        done = _read(note)
        if done is None or not path.is_file() or _file_hash(path) != done["sha256"]:
            inputs = (source[index] for index in range(start, min(start + shard_size, len(source))))
            reports = [StageReport() for _ in stages]
            made = _unrepeated(run_stages(inputs, stages, seed, reports), ids)
            records = write_parquet(made, path, media)
            counts = [{"seen": r.seen, "made": r.made, "dropped": dict(sorted(r.dropped.items()))} for r in reports]
            done = {"file": path.name, "sha256": _file_hash(path), "records": records, "stages": counts}
            _write(note, done)
        else:
            ids.update(pq.read_table(path, columns=["id"]).column("id").to_pylist())
        shards.append(done)
    manifest = _manifest(plan, shards)
    _write(output / MANIFEST_FILE, manifest)
    _tidy(output)
    return manifest


def run_stages(
    records: Iterable[PreferenceRecord],
    stages: Sequence[Stage],
    seed: int,
    reports: Sequence[StageReport] | None = None,
) -> Iterator[PreferenceRecord]:
    """The records that come out of a chain; nothing is written, so that a chain can run between epochs as well.

    Args:
        records: the inputs.
        stages: the chain, in order.
        seed: as for `build`.
        reports: one report per stage, filled while the records are drawn. Records are counted here, so that the counts
            are right whatever the stage counts itself.
    """
    reports = [StageReport() for _ in stages] if reports is None else reports
    stream = iter(records)
    for number, (stage, report) in enumerate(zip(stages, reports, strict=True)):
        stream = _counted(stage, stream, derive_seed(seed, number), report)
    return stream


def _counted(
    stage: Stage, records: Iterator[PreferenceRecord], seed: int, report: StageReport
) -> Iterator[PreferenceRecord]:
    seen = made = 0

    def counting() -> Iterator[PreferenceRecord]:
        nonlocal seen
        for record in records:
            seen += 1
            yield record

    for record in stage(counting(), seed, report):
        made += 1
        yield record
    report.seen, report.made = seen, made


def derive_seed(seed: int, *parts: int | str) -> int:
    """A seed of 63 bits for one purpose, such as a stage's share of a run's seed, or a record's share of a stage's."""
    content = json.dumps([seed, *parts]).encode()
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little") >> 1


def records_hash(records: Iterable[PreferenceRecord]) -> str:
    """SHA-256 of records in order, with the content of their media files in the place of the paths.

    Raises:
        RecordError: if a media file is not there or cannot be read.
    """
    digest = hashlib.sha256()
    files: dict[str, str] = {}
    for record in records:
        form = record_to_dict(record)
        for medium in _media_forms(form):
            if (path := medium.get("path")) is not None:
                if path not in files:
                    try:
                        files[path] = _file_hash(Path(path))
                    except OSError as error:
                        reason = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
                        raise record.error(f"the file {path!r} {reason}; builders read media", "media") from error
                medium["path"] = files[path]
        digest.update(json.dumps(form, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def _media_forms(form: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The media in a record's canonical form."""
    responses = [*form["responses"], *([form["reference_answer"]] if "reference_answer" in form else [])]
    contexts = [response["context"] for response in responses if "context" in response]
    return (medium for part in (form["prompt"], *responses, *contexts) for medium in part.get("media", ()))


def _plan(
    source: RecordSource, stages: Sequence[Stage], seed: int, shard_size: int, media: MediaPlacing
) -> dict[str, Any]:
    """Everything that determines the output, before anything is made."""
    inputs = records_hash(source[index] for index in range(len(source)))
    plan = {
        "manifest": _MANIFEST_VERSION,
        "seed": seed,
        "shard_size": shard_size,
        "media": media,
        "versions": _versions(stages),
        "inputs": {"name": source.name, "records": len(source), "sha256": inputs},
        "stages": [
            {"class": f"{type(stage).__module__}.{type(stage).__qualname__}", "settings": stage.settings()}
            for stage in stages
        ],
    }
    try:
        found: dict[str, Any] = json.loads(json.dumps(plan, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise PrefalignError(f"the settings of the stages are not plain JSON values: {error}") from None
    return found


def _versions(stages: Sequence[Stage]) -> dict[str, str]:
    owners = packages_distributions()
    roots = {type(stage).__module__.partition(".")[0] for stage in stages}
    names = {"prefalign", "numpy", "pyarrow", "torch", *(name for root in roots for name in owners.get(root, ()))}
    found = {"python": platform.python_version()}
    for name in sorted(names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _agree(output: Path, plan: dict[str, Any]) -> None:
    """Refuse to go on with a run that was begun under another plan."""
    begun = _read(output / MANIFEST_FILE) or _read(output / _PLAN_FILE)
    if begun is None:
        if any(output.glob("*.parquet")):
            raise PrefalignError(f"{str(output)!r} holds Parquet files and no {MANIFEST_FILE}; choose an empty folder")
        return
    for number, stage in enumerate(begun.get("stages", ())):
        begun["stages"][number] = {key: stage.get(key) for key in ("class", "settings")}
    differing = [f"{name} was {was}, is {now}" for name, was, now in _differences(begun, plan, "") if name != "outputs"]
    if differing:
        problem = f"{str(output)!r} holds a run of another plan: {'; '.join(differing[:5])}"
        raise PrefalignError(f"{problem}; choose another folder, or remove this one")


def _differences(was: Any, now: Any, path: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted(was.keys() | now.keys()):
            yield from _differences(was.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for number, (a, b) in enumerate(zip(was, now, strict=True)):
            yield from _differences(a, b, f"{path}[{number}]")
    elif was != now:
        yield path, json.dumps(was), json.dumps(now)


def _unrepeated(records: Iterable[PreferenceRecord], ids: set[str]) -> Iterator[PreferenceRecord]:
    for record in records:
        if record.id in ids:
            raise RecordError("a record of this id was made already", field="id", record_id=record.id)
        ids.add(record.id)
        yield record


def _manifest(plan: dict[str, Any], shards: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The plan with what came of it."""
    stages = []
    for number, stage in enumerate(plan["stages"]):
        counts = [shard["stages"][number] for shard in shards]
        reasons = sorted({reason for count in counts for reason in count["dropped"]})
        stages.append(
            {
                **stage,
                "seen": sum(count["seen"] for count in counts),
                "made": sum(count["made"] for count in counts),
                "dropped": {r: sum(count["dropped"].get(r, 0) for count in counts) for r in reasons},
            }
        )
    outputs = [{name: shard[name] for name in ("file", "sha256", "records")} for shard in shards]
    return {**plan, "stages": stages, "outputs": outputs}


def _tidy(output: Path) -> None:
    """Remove what only an unfinished run needs, and what a killed one left half-written."""
    shutil.rmtree(output / _PROGRESS_FOLDER, ignore_errors=True)
    for path in (output / _PLAN_FILE, *output.rglob(".*.partial")):
        path.unlink(missing_ok=True)


def _file_hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise PrefalignError(f"{str(path)!r}: expected JSON: {error}") from None
    if not isinstance(found, dict):
        raise PrefalignError(f"{str(path)!r}: expected a JSON object")
    return found


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
