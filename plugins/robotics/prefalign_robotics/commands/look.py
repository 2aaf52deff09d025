"""`prefalign robotics look RUN`: a page about one pair of tasks and seed of the demonstration."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page; returns 2 for a folder that cannot be shown."""
    parser = argparse.ArgumentParser(
        prog="prefalign robotics look",
        description="Write one HTML file about a run of `prefalign robotics demo`: policies with films, the learned "
        "reward along episodes, the transfer. Films need a way to draw: MUJOCO_GL=osmesa or egl in the environment.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a pair and a seed, such as OUT/A--B/seed0")
    parser.add_argument("--out", type=Path, help="file to write (default RUN/index.html)")
    options = parser.parse_args(argv)
    from prefalign.data.atomic import atomic_path
    from prefalign.interfaces import PrefalignError
    from prefalign_robotics.demo.page import run_page

    try:
        text = run_page(options.run)
    except PrefalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    out = options.out or options.run / "index.html"
    with atomic_path(out) as partial:
        partial.write_text(text, encoding="utf-8")
    print(out)
    return 0
