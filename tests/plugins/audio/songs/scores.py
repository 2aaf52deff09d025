"""Small MusicXML documents for tests."""

import io
import zipfile
from collections.abc import Sequence

Lyric = tuple[str, str, str]
"""(line, syllabic, text)."""


def note(
    pitch: str | None,
    duration: int,
    *lyrics: Lyric,
    fermata: bool = False,
    tie: Sequence[str] = (),
    voice: str = "1",
    chord: bool = False,
) -> str:
    """A note, such as `F#4`, or a rest if the pitch is None."""
    if pitch is None:
        sound = "<rest/>"
    else:
        alter = "<alter>1</alter>" if "#" in pitch else "<alter>-1</alter>" if "b" in pitch else ""
        sound = f"<pitch><step>{pitch[0]}</step>{alter}<octave>{pitch[-1]}</octave></pitch>"
    sung = "".join(
        f'<lyric number="{line}"><syllabic>{syllabic}</syllabic><text>{text}</text></lyric>'
        for line, syllabic, text in lyrics
    )
    marks = "<notations><fermata/></notations>" if fermata else ""
    ties = "".join(f'<tie type="{kind}"/>' for kind in tie)
    first = "<chord/>" if chord else ""
    return f"<note>{first}{sound}<duration>{duration}</duration>{ties}<voice>{voice}</voice>{marks}{sung}</note>"


def document(parts: dict[str, Sequence[str]], divisions: int = 2, key: str = "", tempo: str = "") -> bytes:
    """A partwise score. Every part is a list of measures, each the text inside `<measure>`."""
    listed = "".join(
        f'<score-part id="P{n}"><part-name>{name}</part-name></score-part>' for n, name in enumerate(parts)
    )
    start = f"<attributes><divisions>{divisions}</divisions>{key}</attributes>{tempo}"
    written = "".join(
        f'<part id="P{n}">'
        + "".join(
            f'<measure number="{m}">{start if m == 1 else ""}{inside}</measure>'
            for m, inside in enumerate(measures, start=1)
        )
        + "</part>"
        for n, measures in enumerate(parts.values())
    )
    text = f'<?xml version="1.0"?><score-partwise><part-list>{listed}</part-list>{written}</score-partwise>'
    return text.encode()


def packed(data: bytes, container: str | None = "score.xml", name: str = "score.xml") -> bytes:
    """A compressed MusicXML file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        if container is not None:
            inside = f'<container><rootfiles><rootfile full-path="{container}"/></rootfiles></container>'
            archive.writestr("META-INF/container.xml", inside)
        archive.writestr(name, data)
    return buffer.getvalue()
