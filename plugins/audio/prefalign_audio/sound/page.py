"""A page to listen to: sounds before and after, side by side, in one file that needs nothing else."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import read_sound, sound_files, wav_bytes
from prefalign_audio.sound.picture import spectrogram_png

SIDES = ("before", "after")

_STYLE = (
    "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}td,th{padding:.5em;text-align:left;vertical-align:top}"
    "tr{border-top:1px solid #ccc}img,audio{display:block;width:100%}"
)


def listening_page(run: Path, title: str = "Before and after") -> str:
    """HTML with a row per sound that both `before/` and `after/` of a folder hold.

    Args:
        run: the folder. Its `captions.json`, if there is one, maps file names to what was asked for.
        title: heading of the page.

    Raises:
        SoundError: for a missing folder, folders without a sound in common, captions that are no mapping, or a sound
            that cannot be read.
    """
    found = {side: _sounds(run, side) for side in SIDES}
    names = sorted(found["before"].keys() & found["after"].keys())
    if not names:
        raise SoundError(f"{run}: before/ and after/ have no file name in common; expected the same names in both")
    captions = _captions(run)
    rows = "\n".join(_row(name, captions.get(name, name), [found[side][name] for side in SIDES]) for name in names)
    heading = html.escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{heading}</h1>\n"
        "<p>Spectrograms: time to the right, frequency upwards on the mel scale, one colour scale for all.</p>\n"
        f'<table>\n<tr><th scope="col">Asked for</th><th scope="col">Before</th><th scope="col">After</th></tr>\n'
        f"{rows}\n</table></body></html>\n"
    )


def _sounds(run: Path, side: str) -> Mapping[str, Path]:
    if not (run / side).is_dir():
        raise SoundError(f"{run}: no folder {side}/; expected before/ and after/ with sounds of the same names")
    return {path.name: path for path in sound_files(run / side)}


def _captions(run: Path) -> Mapping[str, str]:
    file = run / "captions.json"
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise SoundError(f"{file}: not JSON ({error}); expected file names with captions") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise SoundError(f"{file}: expected a mapping of file names to captions")
    return found


def _row(name: str, caption: str, sides: Sequence[Path]) -> str:
    cells = "".join(f"<td>{_player(path, f'{caption}, {side}')}</td>" for path, side in zip(sides, SIDES, strict=True))
    return f'<tr><th scope="row" title="{html.escape(name)}">{html.escape(caption)}</th>{cells}</tr>'


def _player(path: Path, label: str) -> str:
    waveform = read_sound(path)
    sound = base64.b64encode(wav_bytes(waveform)).decode()
    picture = base64.b64encode(spectrogram_png(waveform)).decode()
    said = html.escape(label)
    return (
        f'<img alt="spectrogram: {said}" src="data:image/png;base64,{picture}">'
        f'<audio controls preload="metadata" aria-label="{said}" src="data:audio/wav;base64,{sound}"></audio>'
    )
