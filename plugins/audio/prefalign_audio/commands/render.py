"""`prefalign audio render FILE OUT`: songs before and after as sounds, with a page to listen to."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Render the songs of a file; returns 2 for a file or song that cannot be rendered."""
    parser = argparse.ArgumentParser(
        prog="prefalign audio render",
        description="Render the songs of a file of JSON lines into OUT/before and OUT/after, with a listening page.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="comparisons, one JSON object a line")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write sounds, captions and page to")
    parser.add_argument(
        "--voice", default="auto", help="auto, sung (by espeak-ng) or choir; auto sings where espeak-ng is installed"
    )
    parser.add_argument("--language", default="de", help="of the lyric, a voice of espeak-ng (default de)")
    parser.add_argument(
        "--instrument", type=int, default=19, metavar="N", help="General MIDI program of the other parts, from 0"
    )
    parser.add_argument("--title", default="Before and after", help="heading of the page")
    options = parser.parse_args(argv)
    from prefalign.interfaces import PrefalignError
    from prefalign_audio.songs.files import read_comparisons
    from prefalign_audio.songs.listening import write_comparisons
    from prefalign_audio.songs.rendering import Rendering

    try:
        rendering = Rendering(voice=options.voice, language=options.language, instrument=options.instrument)
        page = write_comparisons(options.out, read_comparisons(options.file), rendering, options.title)
    except (PrefalignError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(page)
    return 0
