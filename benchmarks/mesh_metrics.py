"""What the metrics of meshes cost, by the number of faces.

    python benchmarks/mesh_metrics.py --json metrics.json
    python benchmarks/mesh_metrics.py --open3d 12000

The shapes are three boxes of 12 faces each, and tori of about 1,000, 12,000 and 100,000 faces whose vertices are moved
a little and whose vertices and faces are shuffled, so that nothing lies in memory as it lies in space. Each time is
the least of several repetitions on a mesh in memory. `--open3d` looks for faces that cross with open3d as well, on
shapes of up to so many faces: it tries all pairs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import trimesh
from turns import machine

from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.sampling import surface_points
from prefalign_mesh3d.mesh.welding import welded
from prefalign_mesh3d.metrics.functional.distances import chamfer, nearest
from prefalign_mesh3d.metrics.functional.edges import edges_of
from prefalign_mesh3d.metrics.functional.fidelity import cloud_from, fidelity
from prefalign_mesh3d.metrics.functional.integrity import integrity
from prefalign_mesh3d.metrics.functional.intersections import self_intersections
from prefalign_mesh3d.metrics.functional.quads import quads
from prefalign_mesh3d.metrics.functional.topology import (
    components,
    euler_number,
    non_manifold_vertex_ratio,
    valence_regularity,
)
from prefalign_mesh3d.metrics.functional.topology_score import topology_score
from prefalign_mesh3d.metrics.functional.triangles import degenerate_ratio, smallest_angles

#: Sections around the ring and around the tube of the tori.
TORI = ((25, 20), (100, 60), (250, 200))


def shapes() -> list[Mesh]:
    """The meshes, the smallest first."""
    boxes = [trimesh.creation.box() for _ in range(3)]
    for number, box in enumerate(boxes):
        box.apply_translation([2 * number, 0, 0])
    small = trimesh.util.concatenate(boxes)
    return [Mesh(small.vertices, small.faces), *(torus(*sections) for sections in TORI)]


def torus(around: int, across: int) -> Mesh:
    """A torus of 2 · around · across faces in no order."""
    random = np.random.default_rng(0)
    plain = trimesh.creation.torus(1, 0.4, major_sections=around, minor_sections=across)
    names, order = random.permutation(len(plain.vertices)), random.permutation(len(plain.faces))
    vertices = np.empty_like(plain.vertices)
    vertices[names] = plain.vertices + random.normal(0, 0.002, plain.vertices.shape)
    return Mesh(vertices, names[plain.faces][order])


def works(mesh: Mesh) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    edges, merged = edges_of(mesh), quads(mesh)
    first, second = (surface_points(mesh, 1024, seed).points for seed in (0, 1))
    return {
        "weld": lambda: welded(mesh),
        "draw 1,024 points": lambda: surface_points(mesh, 1024, 0),
        "neighbours and Chamfer, 1,024 points": lambda: chamfer(nearest(first, second)),
        "all distances with both draws, 1,024 points": lambda: drawn_and_compared(mesh, 1024),
        "all distances with both draws, 10,000 points": lambda: drawn_and_compared(mesh, 10_000),
        "edges: boundary, non-manifold, watertight, winding": lambda: edges_of(mesh),
        "components": lambda: components(edges),
        "fans at vertices": lambda: non_manifold_vertex_ratio(mesh),
        "Euler number": lambda: euler_number(mesh, edges),
        "valences": lambda: valence_regularity(edges, merged),
        "angles and degenerate faces": lambda: (smallest_angles(mesh), degenerate_ratio(mesh)),
        "quads": lambda: quads(mesh),
        "topology score, quads included": lambda: topology_score(mesh),
        "faces that cross": lambda: self_intersections(mesh),
        "all figures without a reference": lambda: integrity(mesh),
    }


def drawn_and_compared(mesh: Mesh, samples: int) -> dict[str, float]:
    """All distances between two draws from one surface."""
    return fidelity(cloud_from(mesh, samples, 0), cloud_from(mesh, samples, 1))


def open3d_crossing(mesh: Mesh) -> Callable[[], object]:
    """open3d's search for faces that cross."""
    import open3d

    vertices = open3d.utility.Vector3dVector(mesh.vertices)
    shape = open3d.geometry.TriangleMesh(vertices, open3d.utility.Vector3iVector(mesh.faces.astype(np.int32)))
    return lambda: shape.get_self_intersecting_triangles()


def least(work: Callable[[], object], seconds: float) -> float:
    """Milliseconds of the fastest of at least three runs, and of as many as `seconds` allow."""
    times: list[float] = []
    while len(times) < 3 or (sum(times) < seconds and len(times) < 200):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1000 * min(times)


def as_table(rows: dict[str, list[float | None]], faces: Sequence[int]) -> str:
    """The times as Markdown."""
    lines = ["| ms | " + " | ".join(f"{count:,} faces" for count in faces) + " |", "|---" * (len(faces) + 1) + "|"]
    for name, times in rows.items():
        lines.append(f"| {name} | " + " | ".join("-" if ms is None else f"{ms:.3g}" for ms in times) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write what was asked for."""
    parser = argparse.ArgumentParser(description="What the metrics of meshes cost, by the number of faces.")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure on each shape (2)")
    parser.add_argument("--most-faces", type=int, default=100_000, help="leave larger shapes out")
    parser.add_argument(
        "--open3d", type=int, default=0, metavar="FACES", help="compare on shapes of up to so many faces"
    )
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args(argv)
    meshes = [mesh for mesh in shapes() if len(mesh.faces) <= options.most_faces]
    rows: dict[str, list[float | None]] = {}
    for mesh in meshes:
        for name, work in works(mesh).items():
            rows.setdefault(name, []).append(least(work, options.seconds))
        if options.open3d:
            asked = len(mesh.faces) <= options.open3d
            time_taken = least(open3d_crossing(mesh), options.seconds) if asked else None
            rows.setdefault("faces that cross, by open3d", []).append(time_taken)
    faces = [len(mesh.faces) for mesh in meshes]
    where = machine("numpy", "scipy")
    print(f"{where['cpu']}, load {where['load_average']:.1f}, versions {where['versions']}\n\n{as_table(rows, faces)}")
    if options.json:
        options.json.write_text(json.dumps({"machine": where, "faces": faces, "ms": rows}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
