"""`prefalign mesh3d score`: every figure of a mesh, with the frame, the points and the seed that it depends on."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from prefalign.cli.table import render_table
from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.files import read_mesh
from prefalign_mesh3d.mesh.grid import frame_of, quantise
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.welding import welded
from prefalign_mesh3d.metrics.comparison import Comparison, DistanceTo
from prefalign_mesh3d.metrics.functional.fidelity import SAMPLES
from prefalign_mesh3d.metrics.functional.integrity import integrity
from prefalign_mesh3d.metrics.functional.token_health import token_health
from prefalign_mesh3d.metrics.functional.topology_score import DIALECT
from prefalign_mesh3d.metrics.functional.triangles import SLIVER_DEGREES
from prefalign_mesh3d.metrics.placement import FrameOf, Placement, PlacementName
from prefalign_mesh3d.tokenizers.files import TokenFile, read_tokens
from prefalign_mesh3d.tokenizers.names import TOKENIZERS, tokenizer


@dataclass(frozen=True, slots=True)
class Scores:
    """What is known of one file.

    Attributes:
        file, reference: paths.
        integrity: figures of the mesh alone.
        distances: figures beside the reference.
        tokens: figures of its tokens.
        settings: what the figures depend on.
    """

    file: str
    reference: str | None
    integrity: dict[str, Any]
    settings: dict[str, Any]
    distances: dict[str, float] = field(default_factory=dict)
    tokens: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values, None for a figure that this mesh has not."""
        return _plain({name: value for name, value in asdict(self).items() if value != {}})

    def as_text(self) -> str:
        """A table of figures, each with what it depends on."""
        rows = [["integrity", name, _spoken(value), _INTEGRITY.get(name, "")] for name, value in self.integrity.items()]
        if self.distances:
            how = "{placement}, frame of {frame}; {samples} points to {to}, seed {seed}".format_map(self.settings)
            rows += [["distance", name, _spoken(value), how] for name, value in self.distances.items()]
        if self.tokens:
            coder = self.tokens["tokenizer"]["name"]
            figures = {name: value for name, value in self.tokens.items() if name != "tokenizer"}
            rows += [["tokens", name, _spoken(value), coder] for name, value in figures.items()]
        beside = f" beside {self.reference}" if self.reference else ""
        return f"{self.file}{beside}\n\n{render_table(['', 'figure', 'value', 'depends on'], rows)}"


_INTEGRITY = {
    "sliver_ratio": f"angles below {SLIVER_DEGREES:g} degrees",
    "topology_score": f"dialect {DIALECT}",
    **dict.fromkeys(("quad_ratio", "quad_angle", "quad_aspect", "quad_consistency"), f"dialect {DIALECT}"),
}


def score_file(file: Path, reference: Path | None, how: Comparison, name: str | None = None) -> Scores:
    """Measure one file.

    Args:
        file: a mesh, or ids that `prefalign mesh3d tokenize --out` wrote.
        reference: a mesh.
        how: the two are compared.
        name: of a tokenizer through which the mesh goes first; its figures are then the best that its model can reach.

    Raises:
        PrefalignError: for files that cannot be read, meshes without a proper face or without area, and token files
            beside the name of another tokenizer.
    """
    mesh, tokens = _mesh(file, name)
    try:
        alone = asdict(integrity(mesh))
    except MeshError as error:
        raise PrefalignError(f"{file}: {error}") from error
    settings: dict[str, Any] = {"topology_score": DIALECT, "sliver_degrees": SLIVER_DEGREES}
    if reference is None:
        return Scores(str(file), None, alone, settings, tokens=tokens)
    whole = welded(read_mesh(reference))
    distances = how.figures(mesh, whole, str(reference))
    if distances is None:
        raise PrefalignError(f"{file}: no points can be drawn from the mesh: its faces have no area")
    frame = how.placement.frame_of(whole)
    settings |= {**how.settings(), "reference_centre": list(frame.centre), "reference_scale": frame.scale}
    return Scores(str(file), str(reference), alone, settings, distances, tokens)


def _mesh(file: Path, name: str | None) -> tuple[Mesh, dict[str, Any]]:
    if file.suffix == ".npz":
        held = read_tokens(file)
        if name is not None and name != held.tokenizer.name:
            wrote = held.tokenizer.name
            raise PrefalignError(f"{file}: its tokens are of {wrote}, not of {name}; leave --tokenizer out")
    elif name is None:
        return welded(read_mesh(file)), {}
    else:
        how, mesh = tokenizer(name), read_mesh(file)
        frame = frame_of(mesh)
        held = TokenFile(how.encode(quantise(mesh, how.levels, frame)), how, frame)
    mesh, decoded = held.decode()
    figures: dict[str, Any] = token_health(held.tokens, held.tokenizer, decoded)
    if file.suffix != ".npz":
        del figures["ended"]  # an encoder's tokens end where they end
    return mesh, {"tokenizer": held.tokenizer.settings(), **figures}


def _spoken(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:g}" if isinstance(value, int) or float(value).is_integer() else f"{value:.5g}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign mesh3d score",
        description="Measure a mesh: how it is built, and how far it is from a reference.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a mesh, or the .npz of its tokens")
    parser.add_argument("--reference", type=Path, metavar="FILE", help="the mesh that it should be")
    parser.add_argument(
        "--tokenizer", metavar="NAME", help=f"send the mesh through {', '.join(TOKENIZERS)} first, and count the tokens"
    )
    names, frames = get_args(PlacementName), get_args(FrameOf)
    parser.add_argument("--placement", default=names[0], choices=names, help=f"how shapes are placed ({names[0]})")
    parser.add_argument("--frame", default=frames[0], choices=frames, help=f"whose frame they are in ({frames[0]})")
    parser.add_argument("--samples", type=int, default=SAMPLES, help=f"points of either surface ({SAMPLES})")
    parser.add_argument("--seed", type=int, default=0, help="of the points (0)")
    parser.add_argument(
        "--surface", action="store_true", help="measure from points to surfaces, not to points; needs open3d"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of a table")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0, or 2 where a file cannot be read or measured.
    """
    options = _parser().parse_args(argv)
    try:
        to: DistanceTo = "surface" if options.surface else "points"
        how = Comparison(Placement(options.placement, options.frame), options.samples, options.seed, to=to)
        scores = score_file(options.file, options.reference, how, options.tokenizer)
    except PrefalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(scores.as_json(), indent=2) if options.json else scores.as_text())
    return 0
