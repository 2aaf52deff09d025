"""What one sees of a comparison: clouds, meshes before and after, as a picture and as files for a viewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prefalign.data.build import derive_seed
from prefalign_mesh3d.demo.preparation import CLOUD_POINTS, Judged, Prepared, open_policy, sample_and_judge, tokenizer
from prefalign_mesh3d.mesh.clouds import load_cloud
from prefalign_mesh3d.mesh.files import write_mesh
from prefalign_mesh3d.mesh.grid import dequantise
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.rendering.pictures import Example, comparison

#: Held-out clouds that are shown, evenly spread over all, and the temperature at which their meshes are drawn.
SHOWN, TEMPERATURE = 4, 0.7


def draw_comparison(prepared: Prepared, after: Path, out: Path, seed: int) -> Path:
    """Write `comparison.png` and the meshes as GLB; returns the picture's path.

    Args:
        prepared: with the base, which made the meshes before.
        after: folder of the tuned model.
        out: folder to write to.
        seed: of the meshes, the same for both models.
    """
    out.mkdir(parents=True, exist_ok=True)
    shapes = prepared.shapes.held_out[:: max(1, len(prepared.shapes.held_out) // SHOWN)][:SHOWN]
    drawn = [
        sample_and_judge(open_policy(folder), shapes, 1, TEMPERATURE, derive_seed(seed, "picture"))
        for folder in (prepared.folder / "base" / "export", after)
    ]
    examples = []
    for index, (before, tuned) in enumerate(zip(*drawn, strict=True)):
        meshes = {"before": _mesh(before), "after": _mesh(tuned)}
        for name, mesh in meshes.items():
            if len(mesh.faces):
                write_mesh(mesh, out / f"{name}-{index}.glb")
        cloud = load_cloud(before.prompt.media[0], CLOUD_POINTS)
        captions = ("cloud", _caption(before), _caption(tuned))
        examples.append(Example(cloud, meshes["before"], meshes["after"], captions))
    picture = out / "comparison.png"
    comparison(examples).save(picture)
    return picture


def _mesh(one: Judged) -> Mesh:
    return dequantise(tokenizer().decode(np.asarray(one.responses[0].token_ids)).mesh)


def _caption(one: Judged) -> str:
    found = one.judgements[0]
    return f"Chamfer {found.chamfer:.3f}, {'closed' if found.closed else f'{found.boundary:.0%} of edges open'}"
