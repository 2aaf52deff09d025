"""`prefalign audio listen RUN`: a page with players for the sounds of a run, before and after."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Write `index.html` into the folder; returns 2 for a folder that cannot be shown."""
    parser = argparse.ArgumentParser(
        prog="prefalign audio listen",
        description="Write one HTML file with players and spectrograms for the sounds in RUN/before and RUN/after.",
    )
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="folder with before/, after/ and, if you like, captions.json"
    )
    parser.add_argument("--title", default="Before and after", help="heading of the page")
    parser.add_argument("--out", type=Path, help="file to write (default RUN/index.html)")
    options = parser.parse_args(argv)
    from prefalign.interfaces import PrefalignError
    from prefalign_audio.sound.page import listening_page

    try:
        text = listening_page(options.run, options.title)
    except PrefalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    out = options.out or options.run / "index.html"
    out.write_text(text, encoding="utf-8")
    print(out)
    return 0
