"""Warn of modules past 400 lines and refuse those past 600: by then a file holds more than one thing."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WARN, FAIL = 400, 600


def module_sizes() -> dict[str, int]:
    """Lines of every Python file, the longest first."""
    folders = ("core", "plugins", "tests", "scripts", "benchmarks", "examples")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py") if "build" not in file.parts]
    sizes = {file.relative_to(ROOT).as_posix(): len(file.read_text("utf-8").splitlines()) for file in files}
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


if __name__ == "__main__":
    sizes = module_sizes()
    for name, lines in sizes.items():
        if lines > WARN:
            print(f"{name}: {lines} lines, {f'more than {FAIL}: split it' if lines > FAIL else 'think about a split'}")
    print(f"module sizes: {len(sizes)} files, longest {max(sizes.values())} lines")
    sys.exit(max(sizes.values()) > FAIL)
