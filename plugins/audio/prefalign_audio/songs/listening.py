"""Songs before and after alignment as sound files and a page to listen to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prefalign.data.atomic import atomic_path
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.rendering import Rendering, render_song
from prefalign_audio.songs.song import Song, Syllable
from prefalign_audio.sound.files import write_sound
from prefalign_audio.sound.page import SIDES, listening_page


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One prompt with the song of two policies.

    Attributes:
        name: of the sound files; letters, digits, `-`, `_` and inner `.`.
        before, after: the songs.
        asked: the words of the lyric that was asked for; None is the lyric of `before`.
        mode, register: what else was asked for; empty where nothing was.
        scores: by name, of before and of after.

    Raises:
        SongError: for a name that is no name of a file.
    """

    name: str
    before: Song
    after: Song
    asked: Sequence[Syllable] | None = None
    mode: str = ""
    register: str = ""
    scores: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        letters = self.name.replace("-", "").replace("_", "").replace(".", "")
        if not letters.isalnum() or self.name.startswith("."):
            raise SongError(f"{self.name!r} cannot name a file; expected letters, digits, '-', '_' and inner '.'")

    @property
    def caption(self) -> str:
        """The lyric, what else was asked, and each score before and after."""
        words = lyric_text(self.before.lyric if self.asked is None else self.asked)
        asked = ", ".join(part for part in (self.mode, self.register) if part)
        scores = [f"{name} {before:.3g} → {after:.3g}" for name, (before, after) in self.scores.items()]
        return " · ".join(part for part in (words, asked, *scores) if part) or self.name


def lyric_text(syllables: Sequence[Syllable]) -> str:
    """The words of a lyric, the syllables of one word joined by hyphens."""
    parts = [syllable.text + (" " if syllable.ends_word else "-") for syllable in syllables]
    return "".join(parts).strip(" -")


def write_comparisons(
    out: Path, comparisons: Sequence[Comparison], rendering: Rendering | None = None, title: str = "Songs"
) -> Path:
    """Render comparisons into `before/` and `after/` of a folder, with `captions.json` and the page `index.html`.

    Args:
        out: the folder; what it holds under other names stays.
        comparisons: at least one, with different names.
        rendering: how; see `render_song`.
        title: heading of the page.

    Returns:
        The page.

    Raises:
        SongError: without a comparison, for a name that stands twice, or what cannot be rendered, with the name.
    """
    names = [one.name for one in comparisons]
    if not names or len({name.lower() for name in names}) < len(names):
        raise SongError(f"expected comparisons, none called like another, got {names}")
    for side in SIDES:
        (out / side).mkdir(parents=True, exist_ok=True)
    for one in comparisons:
        for side, song in zip(SIDES, (one.before, one.after), strict=True):
            try:
                sound = render_song(song, rendering)
            except SongError as error:
                raise type(error)(f"{one.name}, {side}: {error}") from None
            write_sound(out / side / f"{one.name}.wav", sound)
    captions = {f"{one.name}.wav": one.caption for one in comparisons}
    with atomic_path(out / "captions.json") as partial:
        partial.write_text(json.dumps(captions, ensure_ascii=False, indent=1), "utf-8")
    page = out / "index.html"
    with atomic_path(page) as partial:
        partial.write_text(listening_page(out, title), "utf-8")
    return page
