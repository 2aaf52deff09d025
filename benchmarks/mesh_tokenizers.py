"""Faces a second from a mesh in memory to DeepMesh's tokens, on one core, without numba and with it.

    OMP_NUM_THREADS=1 python benchmarks/mesh_tokenizers.py --json tokenizers.json [--files MESH ...]

The chain checks the arrays, places, quantises, welds and sorts them, walks the fans and writes the ids. Vertices and
faces of the meshes made here come in random order. A peer's code may not be run everywhere, so the other side is
`literal_tokens`: the published algorithm as it is described, with the searches that make it quadratic. It must give the
same ids as our stream for old weights. (The file is not called `tokenizers`: that would hide the package of the name.)
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from turns import in_fresh_process, machine, status

from prefalign_mesh3d.mesh.files import read_mesh
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.tokenizers import fans
from prefalign_mesh3d.tokenizers.compiled import compiled_walk
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
LITERAL_SIZES = (1_000, 3_000, 6_000)
TOKENIZER, PUBLISHED = DeepMesh(), DeepMesh(compat=True)


def torus(faces: int, apart: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A bumpy torus of about so many faces, closed; with corners apart, as STL files have them, or shared."""
    around = max(3, round((faces / 2 * 1.25) ** 0.5))
    across = max(3, round(faces / 2 / around))
    i, j = np.meshgrid(np.arange(around), np.arange(across), indexing="ij")
    a, b = 2 * np.pi * i / around, 2 * np.pi * j / across
    radius = 1 + 0.3 * np.cos(b) + 0.08 * np.sin(3 * a)
    height = 0.3 * np.sin(b) + 0.1 * np.cos(2 * a)
    vertices = np.stack([radius * np.cos(a), radius * np.sin(a), height], axis=-1).reshape(-1, 3)

    def corner(p: int, q: int) -> np.ndarray:
        return ((i + p) % around * across + (j + q) % across).ravel()

    halves = [(corner(0, 0), corner(1, 0), corner(1, 1)), (corner(0, 0), corner(1, 1), corner(0, 1))]
    triangles = np.concatenate([np.stack(half, axis=1) for half in halves])
    generator = np.random.default_rng(0)
    generator.shuffle(triangles)
    if apart:
        return vertices[triangles.ravel()], np.arange(triangles.size).reshape(-1, 3)
    place = generator.permutation(len(vertices))
    moved = np.empty_like(vertices)
    moved[place] = vertices
    return moved, place[triangles]


def chain(arrays: tuple[np.ndarray, np.ndarray], how: DeepMesh = TOKENIZER) -> np.ndarray:
    """What is measured."""
    return how.tokenize(Mesh(*arrays))


@contextmanager
def walking(compiled: bool) -> Iterator[None]:
    """Walk fans in numba, or in plain Python, whatever was walked before."""
    before = fans.WORTH_COMPILING
    fans.WORTH_COMPILING = -1 if compiled else sys.maxsize
    try:
        yield
    finally:
        fans.WORTH_COMPILING = before


def seconds(function: Callable[[], Any], repetitions: int) -> tuple[float, float]:
    """The least of several wall times and CPU times: what the work takes where nothing else is in the way.

    On an idle machine both are one; on a busy one, CPU time leaves out the turns that others had.
    """
    walls, processors = [], []
    for _ in range(repetitions):
        wall, processor = time.perf_counter(), time.process_time()
        function()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return min(walls), min(processors)


def memory(faces: int, compiled: bool) -> int:
    """Peak bytes of a call above what the process holds before it, which includes the mesh."""
    arrays = torus(faces)
    with walking(compiled):
        chain(torus(100))
        before = status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        chain(arrays)
        return status("VmHWM") - before


def literal_tokens(arrays: tuple[np.ndarray, np.ndarray]) -> list[int]:
    """The stream of the published code by the letter, with the searches that its description has."""
    vertices, faces = arrays
    low, high = vertices.min(0), vertices.max(0)
    placed = (vertices - (low + high) / 2) / (((high - low).max() + 1e-6) / 1.9)
    cells = np.clip(np.rint((placed + 1) / 2 * 512 - 0.5), 0, 511).astype(int)
    unique, index = np.unique(cells, axis=0, return_inverse=True)
    order = np.lexsort(unique.T)
    unique = unique[order]
    # The ranks of all vertices anew for every face.
    ranked = [np.argsort(order)[index.ravel()[face]].tolist() for face in faces]
    turned = [face[at:] + face[:at] for face in ranked if len(set(face)) == 3 for at in [face.index(min(face))]]
    ordered = sorted({tuple(sorted(face)): face for face in turned}.items())
    corners = np.array([face for _, face in ordered])
    # Which vertices are used, by comparing all with all corners.
    used = (np.arange(len(unique))[:, None] == corners.ravel()[None]).any(1)
    corners, unique = (np.cumsum(used) - 1)[corners], unique[used]
    # Orientation by the name of every permutation of every face.
    sense = {}
    for face in corners.tolist():
        for number, permuted in enumerate(permutations(face)):
            sense["-".join(map(str, permuted))] = number in (0, 3, 4)
    degree = [int((corners == vertex).sum()) for vertex in range(len(unique))]

    visited = np.zeros(len(corners), bool)
    tokens: list[int] = []
    current: tuple[int, ...] = ()
    while sum(visited) < len(corners):
        where = np.flatnonzero(~visited)
        left = corners[~visited]
        centre = max(left[0].tolist(), key=lambda vertex: degree[vertex])
        at = np.flatnonzero((left == centre).any(1))
        pairs = sorted((*sorted(set(left[f].tolist()) - {centre}), int(where[f])) for f in at)
        count = len(pairs)
        ends = [vertex for pair in pairs for vertex in pair[:2]]
        single = [vertex for vertex in ends if ends.count(vertex) == 1]
        ring = [min(single) if single else pairs[0][0]]
        while fitting := [pair for pair in pairs if ring[-1] in pair[:2]]:
            u, w, face = fitting[0]
            pairs.remove(fitting[0])
            visited[face] = True
            ring.append(w if ring[-1] == u else u)
        if not sense[f"{centre}-{ring[0]}-{ring[1]}"]:
            ring.reverse()
        degree[centre] = len(pairs)
        for vertex in ring:
            degree[vertex] -= 2
        degree[ring[0]] += 1
        degree[ring[-1]] += 1
        assert len(ring) == count - len(pairs) + 1
        for place, vertex in enumerate([centre, *ring]):
            x, y, z = unique[vertex].tolist()
            region = x // 128 * 16 + y // 128 * 4 + z // 128
            block = 64 + x % 128 // 16 * 64 + y % 128 // 16 * 8 + z % 128 // 16
            offset = 576 + x % 16 * 256 + y % 16 * 16 + z % 16
            if place == 0:
                region += 4672 if tokens else 0
                tokens += [region, block, offset]
            else:
                same = (region == current[0]) + (current == (region, block))
                tokens += [region, block, offset][same:]
            current = (region, block)
    return tokens


def rates(faces: int, function: Callable[[], Any], repetitions: int) -> dict[str, float]:
    """Faces a second by wall time and by CPU time."""
    wall, cpu = seconds(function, repetitions)
    return {"wall": faces / wall, "cpu": faces / cpu}


def both_ways(arrays: tuple[np.ndarray, np.ndarray], how: DeepMesh, repetitions: int) -> dict[str, dict[str, float]]:
    """Rates of our chain, plain and, where there is numba, with it; by the faces that the mesh comes with."""
    found = {}
    for kind in kinds():
        with walking(kind == "numba"):
            chain(arrays, how)
            found[kind] = rates(len(arrays[1]), lambda: chain(arrays, how), repetitions)
    return found


def kinds() -> list[str]:
    """Ways to walk fans here."""
    return ["plain"] if compiled_walk() is None else ["plain", "numba"]


def measure(name: str, arrays: tuple[np.ndarray, np.ndarray], repetitions: int) -> dict[str, Any]:
    """One mesh."""
    tokens = len(chain(arrays))
    return {"mesh": name, "faces": len(arrays[1]), "tokens": tokens, **both_ways(arrays, TOKENIZER, repetitions)}


def compare(faces: int, repetitions: int) -> dict[str, Any]:
    """Ours beside the letter, on one mesh.

    Raises:
        RuntimeError: if their tokens differ.
    """
    arrays = torus(faces)
    if literal_tokens(arrays) != chain(arrays, PUBLISHED).tolist():
        raise RuntimeError(f"{faces} faces: the literal algorithm gives other tokens")
    literal = rates(len(arrays[1]), lambda: literal_tokens(arrays), 3)
    return {"faces": len(arrays[1]), "literal": literal, **both_ways(arrays, PUBLISHED, repetitions)}


def exponent(rows: list[dict[str, Any]], kind: str) -> float:
    """The power of the number of faces that CPU time grows with, by least squares over the sizes."""
    faces = np.log([row["faces"] for row in rows])
    return float(np.polyfit(faces, faces - np.log([row[kind]["cpu"] for row in rows]), 1)[0])


def _rate(row: dict[str, Any], kind: str) -> str:
    return " / ".join(f"{row[kind][clock] / 1e3:,.0f}" for clock in ("wall", "cpu")) if kind in row else "-"


def main() -> None:
    """Measure, print tables, and write what they hold as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="FACES")
    parser.add_argument("--literal-sizes", type=int, nargs="*", default=LITERAL_SIZES, metavar="FACES")
    parser.add_argument("--files", type=Path, nargs="*", default=[], metavar="MESH", help="real meshes to measure too")
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": machine("numpy", "prefalign-mesh3d"), "made": [], "files": []}
    print("Thousands of faces a second, by wall time / by CPU time.\n")
    print("| mesh | faces | tokens | plain | numba |\n|---|---|---|---|---|")
    for apart in (False, True):
        for size in options.sizes:
            name = f"torus, corners {'apart' if apart else 'shared'}"
            result["made"].append(measure(name, torus(size, apart), options.repetitions))
    for file in options.files:
        mesh = read_mesh(file)
        result["files"].append(measure(file.name, (mesh.vertices, mesh.faces), options.repetitions))
    for row in result["made"] + result["files"]:
        print(f"| {row['mesh']} | {row['faces']} | {row['tokens']} | {_rate(row, 'plain')} | {_rate(row, 'numba')} |")
    most = max(options.sizes)
    for kind in kinds():
        power = exponent(result["made"][: len(options.sizes)], kind)
        size = in_fresh_process(memory, most, kind == "numba") / most
        result[f"{kind}_exponent"], result[f"{kind}_bytes_per_face"] = power, size
        print(f"\n{kind}: CPU time grows with faces to the power {power:.2f}; {size:.0f} bytes a face at {most} faces")
    result["literal"] = [compare(size, options.repetitions) for size in options.literal_sizes]
    print("\n| faces | by the letter | plain | times | numba | times |\n|---|---|---|---|---|---|")
    for row in result["literal"]:
        times = [
            f"{row[kind]['cpu'] / row['literal']['cpu']:.0f}" if kind in row else "-" for kind in ("plain", "numba")
        ]
        letter = " / ".join(f"{row['literal'][clock] / 1e3:.1f}" for clock in ("wall", "cpu"))
        cells = [letter, _rate(row, "plain"), times[0], _rate(row, "numba"), times[1]]
        print(f"| {row['faces']} | {' | '.join(cells)} |")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
