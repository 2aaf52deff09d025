"""Mesh files to a training set: file, checks, placing, bucket, tokens, Parquet. The same files give the same bytes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from prefalign.data.build import derive_seed
from prefalign.data.store import write_parquet
from prefalign.interfaces import Media, PreferenceRecord, Prompt, Response, Unary
from prefalign_mesh3d.data.augmentation import Augmentation, augmented
from prefalign_mesh3d.data.quality import Figures, Quality, figures
from prefalign_mesh3d.data.report import Bucket, CurationReport, Rejected, bucket_name
from prefalign_mesh3d.mesh.clouds import POINTS, cloud_bytes, cloud_of
from prefalign_mesh3d.mesh.errors import MeshError, MeshFileError
from prefalign_mesh3d.mesh.files import READABLE, Limits, mesh_from_bytes
from prefalign_mesh3d.mesh.grid import HALF_SIDE, Frame, frame_of, quantise, used_vertices
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.normals import face_normals
from prefalign_mesh3d.mesh.opening import read_file
from prefalign_mesh3d.tokenizers.base import MeshTokenizer

#: Reasons beside those of `Refusal` and of `Quality`.
DEGENERATE, DUPLICATE, UNPRINTABLE = "degenerate", "duplicate", "unprintable name"

#: A process takes seconds to begin, so that each gets at least so many files.
FILES_PER_WORKER = 64

#: A mesh that was placed stays where it is.
_PLACED = Frame((0.0, 0.0, 0.0), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curation:
    """How a set is made.

    Attributes:
        points: of the cloud beside each mesh; policies may read fewer.
        copies: records of each mesh. The first is the mesh as it is, further ones are augmented.
        augmentation: of further copies.
        quality: which meshes are kept.
        buckets: upper bounds of the ranges of face counts, ascending.
        limits: what is read at most.
        seed: of clouds and copies.

    Raises:
        MeshError: for less than one point or copy, a negative seed, bounds that do not ascend, or copies that could
            leave the cube.
    """

    points: int = 4096
    copies: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)
    quality: Quality = field(default_factory=Quality)
    buckets: tuple[int, ...] = (250, 500, 1000, 2000, 4000, 8000)
    limits: Limits = field(default_factory=Limits)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.points < 1 or self.copies < 1 or self.seed < 0:
            got = f"{self.points}, {self.copies} and {self.seed}"
            raise MeshError(f"expected points and copies of at least 1 and a seed of at least 0, got {got}")
        if not self.buckets or list(self.buckets) != sorted({*self.buckets, 1} - {1}):
            raise MeshError(f"buckets: expected ascending bounds above 1, got {self.buckets}")
        if self.copies > 1 and (reach := HALF_SIDE * self.augmentation.largest) > 1:
            raise MeshError(f"copies would reach {reach:.3f}, out of the cube [-1, 1]: lower scale or per_axis")


def curate(
    sources: Path | Sequence[Path],
    out: Path,
    tokenizer: MeshTokenizer,
    settings: Curation | None = None,
    *,
    workers: int = 1,
    progress: bool = False,
) -> CurationReport:
    """Write a set of records, one for each mesh and copy, in the order of the files' names.

    A record's prompt is the cloud, its one response the tokens with the end id, its verdict that it is good. Its
    provenance names the file, what the mesh is, its bucket, and how it was placed, so that it can be put back.

    Args:
        sources: files; or a folder, of which every file below with the suffix of a format is taken, and nothing that
            links lead to outside of it.
        out: the Parquet file. It has no rows if no mesh is kept.
        tokenizer: of the meshes; its levels are the grid.
        settings: how.
        workers: most processes; few files take fewer. With more than one, the calling script must be importable, as
            `multiprocessing` wants it.
        progress: show a bar.

    Returns:
        The report; the number of workers changes neither it nor the file.

    Raises:
        MeshError: for a folder that is none.
        PrefalignError: if the file cannot be written.
    """
    settings = settings or Curation()
    settled = {**asdict(settings), "tokenizer": tokenizer.settings()}
    folder = sources if isinstance(sources, Path) else None
    names, passed_over = _files(sources)
    report = CurationReport(settled, files=len(names), passed_over=passed_over)
    look = partial(_curated, folder=folder, tokenizer=tokenizer, settings=settings)
    with _mapped(look, names, workers) as results:
        if progress:
            from rich.progress import track

            results = track(results, description="curating", total=len(names))
        report.records = write_parquet(_records(results, report), out)
    report.buckets = dict(sorted(report.buckets.items(), key=lambda item: int(item[0].split("-")[0])))
    return report


@dataclass(frozen=True, slots=True)
class _Kept:
    records: tuple[PreferenceRecord, ...]
    content: bytes
    bucket: str
    counts: Bucket


def _files(sources: Path | Sequence[Path]) -> tuple[list[str], dict[str, int]]:
    """The files by name, relative to the folder if there is one, and how many others it holds by suffix."""
    if not isinstance(sources, Path):
        return [str(path) for path in sources], {}
    if not sources.is_dir():
        raise MeshError(f"{sources}: expected a folder")

    def fail(error: OSError) -> None:
        raise MeshError(f"{error.filename}: cannot be searched: {error.strerror}") from error

    found, others = [], Counter[str]()
    for place, _, names in os.walk(sources, onerror=fail):
        for name in names:
            path = Path(place, name)
            if path.suffix.lstrip(".").lower() in READABLE:
                found.append(path.relative_to(sources).as_posix())
            else:
                others[path.suffix.lower()] += 1
    return sorted(found), dict(sorted(others.items()))


@contextmanager
def _mapped(
    look: Callable[[str], _Kept | Rejected], names: Sequence[str], workers: int
) -> Iterator[Iterable[_Kept | Rejected]]:
    workers = min(workers, len(names) // FILES_PER_WORKER)
    if workers <= 1:
        yield map(look, names)
        return
    # Forking this process, which may run threads of torch and pyarrow, could leave a child waiting for ever. A server
    # that has only imported what is needed is forked instead.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload([__name__, "trimesh"])
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            yield pool.map(look, names, chunksize=max(1, min(16, len(names) // (4 * workers))))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _records(results: Iterable[_Kept | Rejected], report: CurationReport) -> Iterator[PreferenceRecord]:
    """The records of meshes that were not there before; all else goes into the report."""
    first: dict[bytes, str] = {}
    for result in results:
        if isinstance(result, Rejected):
            report.rejected.append(result)
            continue
        name = result.records[0].id
        if result.content in first:
            problem = f"the same mesh as {first[result.content]} on this grid"
            report.rejected.append(Rejected(name, DUPLICATE, problem))
            continue
        first[result.content] = name
        report.buckets.setdefault(result.bucket, Bucket()).add(result.counts)
        yield from result.records


def _curated(name: str, folder: Path | None, tokenizer: MeshTokenizer, settings: Curation) -> _Kept | Rejected:
    """One file."""
    path = folder / name if folder else Path(name)
    if not name.isprintable():
        # Records, tables and JSON could not hold it.
        return Rejected(ascii(name), UNPRINTABLE, "the name has bytes that are no text: rename the file")
    try:
        data = read_file(path, settings.limits.file_bytes, within=folder)
        mesh = mesh_from_bytes(data, path.suffix.lstrip("."), name, settings.limits, path.parent)
    except MeshFileError as error:
        return Rejected(name, error.reason, error.problem)
    try:
        return _tokenised(mesh, name, data, tokenizer, settings)
    except MeshError as error:
        return Rejected(name, DEGENERATE, str(error))


def _tokenised(mesh: Mesh, name: str, data: bytes, tokenizer: MeshTokenizer, settings: Curation) -> _Kept | Rejected:
    # A vertex that no face has would count in the size of the mesh.
    used, faces = used_vertices(mesh.faces, len(mesh.vertices))
    mesh = Mesh(mesh.vertices[used], faces)
    frame = frame_of(mesh)
    grid = quantise(mesh, tokenizer.levels, frame)
    if not face_normals(mesh)[1].any():
        return Rejected(name, DEGENERATE, f"none of its {len(faces)} faces has any area")
    if not len(grid.faces):
        return Rejected(name, DEGENERATE, f"none of its {len(faces)} faces has three corners on the grid")
    found = figures(grid, len(faces))
    if objection := settings.quality.objection(found):
        return Rejected(name, *objection)
    tokens = tokenizer.encode(grid)
    bucket = bucket_name(found.faces, settings.buckets)
    provenance = {
        "file": name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "file_faces": len(faces),
        **asdict(found),
        "bucket": bucket,
        "tokenizer": tokenizer.settings(),
        "frame": {"centre": list(frame.centre), "scale": frame.scale},
    }
    placed = Mesh(frame.place(mesh.vertices), mesh.faces)
    records = [_record(name, placed, tokens, tokenizer, settings, provenance)]
    for copy in range(1, settings.copies):
        records.append(_copy(copy, name, placed, tokenizer, settings, provenance))
    return _Kept(tuple(records), hashlib.sha256(tokens.tobytes()).digest(), bucket, _counts(found, tokens))


def _copy(
    copy: int, name: str, placed: Mesh, tokenizer: MeshTokenizer, settings: Curation, provenance: dict[str, object]
) -> PreferenceRecord:
    record_id = f"{name}#{copy}"
    seed = derive_seed(settings.seed, f"augmentation {record_id}")
    mesh = augmented(placed, settings.augmentation, seed)
    grid = quantise(mesh, tokenizer.levels, _PLACED)
    if not len(grid.faces):
        raise MeshError(f"no face of copy {copy} has three corners on the grid: let the scale stay nearer to 1")
    changed = {"faces": len(grid.faces), "matrix": settings.augmentation.matrix(seed).tolist()}
    return _record(record_id, mesh, tokenizer.encode(grid), tokenizer, settings, {**provenance, **changed})


def _record(
    record_id: str,
    placed: Mesh,
    tokens: np.ndarray,
    tokenizer: MeshTokenizer,
    settings: Curation,
    provenance: dict[str, object],
) -> PreferenceRecord:
    cloud = cloud_of(placed, settings.points, derive_seed(settings.seed, f"cloud {record_id}"), _PLACED)
    return PreferenceRecord(
        id=record_id,
        prompt=Prompt(media=(Media(kind=POINTS, data=cloud_bytes(cloud)),)),
        responses=(Response(token_ids=(*tokens.tolist(), tokenizer.eos_id)),),
        verdict=Unary((True,)),
        provenance=provenance,
    )


def _counts(found: Figures, tokens: np.ndarray) -> Bucket:
    return Bucket(1, found.faces, len(tokens), len(tokens), int(found.watertight))


__all__ = ["DEGENERATE", "DUPLICATE", "UNPRINTABLE", "Curation", "curate"]
