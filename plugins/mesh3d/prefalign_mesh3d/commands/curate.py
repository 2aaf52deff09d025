"""`prefalign mesh3d curate`: mesh files to a training set, and what was rejected and why."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from time import perf_counter

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.commands.tokenize import json_settings
from prefalign_mesh3d.data.augmentation import Augmentation
from prefalign_mesh3d.data.curation import Curation, curate
from prefalign_mesh3d.data.quality import Quality
from prefalign_mesh3d.tokenizers.names import TOKENIZERS, tokenizer


def _parser() -> argparse.ArgumentParser:
    quality, curation = Quality(), Curation()
    parser = argparse.ArgumentParser(
        prog="prefalign mesh3d curate",
        description="Check, place and tokenise mesh files; write one record for each mesh and copy.",
    )
    parser.add_argument("sources", nargs="+", type=Path, metavar="FOLDER", help="a folder, or files")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.parquet", help="the set")
    parser.add_argument("--tokenizer", default="deepmesh", metavar="NAME", help=f"{', '.join(TOKENIZERS)}")
    parser.add_argument("--settings", default="{}", metavar="JSON", help="its arguments, such as '{\"offsets\": 4}'")
    parser.add_argument("--points", type=int, default=curation.points, help="points of a cloud (%(default)s)")
    parser.add_argument("--copies", type=int, default=1, help="records of a mesh; from 2 on augmented (%(default)s)")
    parser.add_argument("--turns-about", default="x", metavar="AXES", help="of copies, such as xyz (%(default)s)")
    parser.add_argument("--mirror", default="", metavar="AXES", help="of copies (none)")
    parser.add_argument("--min-faces", type=int, default=quality.min_faces, help="on the grid (%(default)s)")
    parser.add_argument("--max-faces", type=int, default=quality.max_faces, help="on the grid (%(default)s)")
    for name, meaning in (
        ("lost", "share of a file's faces that the grid swallows"),
        ("boundary", "share of edges with one face"),
        ("non-manifold", "share of edges with more than two"),
    ):
        value = getattr(quality, name.replace("-", "_"))
        parser.add_argument(
            f"--{name}", type=float, default=value, metavar="SHARE", help=f"most {meaning} (%(default)s)"
        )
    parser.add_argument("--parts", type=int, default=quality.parts, help="most parts of a mesh (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of clouds and copies (%(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, every rejected file included")
    return parser


def _curation(options: argparse.Namespace) -> Curation:
    return Curation(
        points=options.points,
        copies=options.copies,
        augmentation=Augmentation(turns_about=options.turns_about, mirror=options.mirror),
        quality=Quality(
            min_faces=options.min_faces,
            max_faces=options.max_faces,
            lost=options.lost,
            boundary=options.boundary,
            non_manifold=options.non_manifold,
            parts=options.parts,
        ),
        seed=options.seed,
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0; 1 where no mesh was kept; 2 for arguments that make no sense.
    """
    options = _parser().parse_args(argv)
    sources = options.sources[0] if len(options.sources) == 1 and options.sources[0].is_dir() else options.sources
    began = perf_counter()
    try:
        if options.out.suffix != ".parquet":
            raise PrefalignError(f"--out {options.out}: expected a name ending in .parquet")
        how = tokenizer(options.tokenizer, **json_settings(options.settings))
        options.out.parent.mkdir(parents=True, exist_ok=True)
        bar = sys.stderr.isatty() and not options.json
        report = curate(sources, options.out, how, _curation(options), workers=options.workers, progress=bar)
    except (PrefalignError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    seconds = perf_counter() - began
    if options.json:
        print(json.dumps({**report.as_json(), "out": str(options.out), "seconds": round(seconds, 3)}, indent=2))
    else:
        print(f"thresholds: {json.dumps(report.settings['quality'])}\n")
        print(report.as_text())
        print(f"\n{options.out}, {seconds:.1f} s")
    if not report.records:
        print(f"error: no mesh of {report.files} files was kept", file=sys.stderr)
        return 1
    return 0
