"""The General MIDI soundfont inside pretty_midi, and the synthesiser that plays it.

The soundfont is GPL-2, so it is neither copied nor shipped: it is read from where pretty_midi is installed, and
tinysoundfont plays it.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from prefalign.interfaces.errors import PrefalignError


class SoundsMissing(PrefalignError):
    """A package that sounds come from is absent; the message holds the command that installs it."""


def synthesiser() -> ModuleType:
    """tinysoundfont.

    Raises:
        SoundsMissing: it is not installed.
    """
    try:
        return importlib.import_module("tinysoundfont")
    except ModuleNotFoundError:
        # Without its dependency pyaudio, which needs a system library and serves playing through loudspeakers only.
        raise SoundsMissing(
            "tinysoundfont, which plays the soundfont, is not installed: pip install --no-deps tinysoundfont"
        ) from None


def soundfont() -> bytes:
    """The soundfont's file.

    Raises:
        SoundsMissing: pretty_midi is not installed.
    """
    spec = importlib.util.find_spec("pretty_midi")  # found, not imported: only its file is wanted
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "TimGM6mb.sf2"
        if path.is_file():
            return _content(path)
    raise SoundsMissing("pretty_midi, whose soundfont holds the sounds, is not installed: pip install pretty_midi")


@lru_cache(maxsize=1)
def _content(path: Path) -> bytes:
    return path.read_bytes()
