"""What pictures of meshes cost, by the number of faces.

    python benchmarks/mesh_rendering.py --json rendering.json
    python benchmarks/mesh_rendering.py --open3d

The shapes are the tori of `mesh_metrics.py`, of about 1,000, 12,000 and 100,000 faces; each is drawn from four sides
with 224 pixels along a side. Each time is the least CPU time of several repetitions on a mesh in memory, on one
thread, so that other work on the machine counts little. `--open3d` casts the same rays with open3d as well, one
through each sample, its acceleration structure built anew as for a new mesh.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from mesh_metrics import TORI, as_table, torus
from turns import machine

from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.rendering.cameras import Camera, ring_of_cameras
from prefalign_mesh3d.rendering.render import centred, render_mesh, render_points

SIZE = 224
CAMERAS = ring_of_cameras((0, 90, 180, 270), elevation=15)


def works(mesh: Mesh) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    cloud = np.random.default_rng(0).normal(size=(4096, 3)) / 5
    return {
        "4 views, 1 sample a pixel": lambda: render_mesh(mesh, CAMERAS, SIZE, supersample=1),
        "4 views, 4 samples a pixel": lambda: render_mesh(mesh, CAMERAS, SIZE, supersample=2),
        "1 view, 4 samples a pixel": lambda: render_mesh(mesh, CAMERAS[:1], SIZE, supersample=2),
        "1 view of 4,096 points": lambda: render_points(cloud, None, CAMERAS[:1], SIZE),
    }


def cast(mesh: Mesh, cameras: Sequence[Camera], size: int) -> np.ndarray:
    """(K, size, size) distances along each sample's ray, by open3d."""
    import open3d

    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    middle = (np.arange(size) + 0.5) / size * 2 - 1
    found = []
    for camera in cameras:
        reach = np.tan(np.radians(camera.fov or 40) / 2)
        x, y = np.meshgrid(middle * reach, -middle * reach)
        right, up, back = camera.axes
        ways = x[..., None] * right + y[..., None] * up - back
        rays = np.concatenate([np.broadcast_to(camera.position, ways.shape), ways], -1).astype(np.float32)
        found.append(scene.cast_rays(open3d.core.Tensor(rays), nthreads=1)["t_hit"].numpy())
    return np.stack(found)


def least(work: Callable[[], object], seconds: float) -> float:
    """Milliseconds of CPU time of the cheapest of at least three runs, and of as many as `seconds` allow."""
    times: list[float] = []
    while len(times) < 3 or (sum(times) < seconds and len(times) < 200):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return 1000 * min(times)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write what was asked for."""
    parser = argparse.ArgumentParser(description="What pictures of meshes cost, by the number of faces.")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure on each shape (3)")
    parser.add_argument("--most-faces", type=int, default=100_000, help="leave larger shapes out")
    parser.add_argument("--open3d", action="store_true", help="cast the same rays with open3d")
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    tori = [torus(*sections) for sections in TORI if 2 * sections[0] * sections[1] <= options.most_faces]
    rows: dict[str, list[float | None]] = {}
    for plain in tori:
        mesh = Mesh(centred(plain.vertices), plain.faces)
        asked = works(mesh)
        if options.open3d:
            asked["4 views of rays by open3d, 4 samples a pixel"] = lambda mesh=mesh: cast(mesh, CAMERAS, 2 * SIZE)
        for name, work in asked.items():
            rows.setdefault(name, []).append(least(work, options.seconds))
    faces = [len(mesh.faces) for mesh in tori]
    where = machine("numpy", "torch")
    print(f"{where['cpu']}, load {where['load_average']:.1f}, versions {where['versions']}\n\n{as_table(rows, faces)}")
    if options.json:
        options.json.write_text(json.dumps({"machine": where, "faces": faces, "ms": rows}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
