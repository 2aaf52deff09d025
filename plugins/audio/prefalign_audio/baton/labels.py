"""BATON's labels (arXiv 2402.00744): captions, the clips made for them, and what people or a reward model said of each.

A row has `captions`, `location` (the clip's file), a label from 0 to 1 under `feedback` (people) or `SED` (the reward
model), and mostly `dataset`. The rows of one caption become one record. The published files hold no sound: a clip's
path is checked not to leave its folder, and whether there is a file is found out by who opens it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

from prefalign.data.fields import Fields, expected
from prefalign.data.quarantine import Quarantine, quarantine_path
from prefalign.data.sources import OnBad
from prefalign.interfaces import (
    Group,
    Media,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    RecordError,
    Response,
    Unary,
    unknown_name,
)
from prefalign_audio.baton.files import HUMAN, MODEL, STATED, open_rows
from prefalign_audio.captions.parse import parse
from prefalign_audio.captions.stages import EVENTS

#: Scheme of the addresses under which labels are opened: `baton:path/to/labels.jsonl.gz`.
SCHEME = "baton"

Task = Literal["integrity", "temporal"]
TASK = "task"
"""Under this name a prompt's conditions keep what was asked: `integrity`, are both events there, or `temporal`, do all
three come in their order."""

LABEL = "label"
"""Under this name a response's scores keep its label as a number."""

_TASKS: Mapping[str, Task] = {"2": "integrity", "3": "temporal"}
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class _Clip:
    """One row: a clip's file, absolute, its label, and whether people gave it."""

    path: str
    label: float
    human: bool


class LabelSource(Sequence[PreferenceRecord]):
    """The records of a file of labels, one a caption, in the order in which captions first appear.

    People's labels of 0 and 1 are a `Unary` verdict, all others a `Group`. The clips are responses in the order of
    their names. The task follows from the row's `dataset` (`2label…`, `3label…`), else from the number of events that
    the caption names: two are a question of integrity, three or more of order.

    Args:
        path: JSON lines, plain or gzipped; the same in a `.json` file; a JSON array of rows; or an object
            `{"grouped_ratings": {caption: {file: label}}}`, whose file's name stands for `dataset`.
        media_folder: to which locations are relative and which they may not leave; the labels' own folder if None.
        on_bad: `error` raises at the first row that cannot be used; `skip` writes such rows to the quarantine file.
        quarantine: that file, or the folder for it; beside the labels if None.

    Attributes:
        name: how messages call it.
        folder: the labels' folder.
        media_folder: the clips' folder.
        dropped: how many rows were left out.

    Raises:
        RecordError: naming file, line and field of the first bad row.
        PrefalignError: if there is no such file, or nothing in it is usable.
    """

    def __init__(
        self,
        path: str | Path,
        media_folder: str | Path | None = None,
        on_bad: OnBad = "error",
        quarantine: Path | None = None,
    ) -> None:
        if on_bad not in ("error", "skip"):
            raise unknown_name("on_bad", on_bad, ("error", "skip"))
        rows, self.name, self.folder = open_rows(path)
        self.media_folder = (self.folder if media_folder is None else Path(media_folder)).resolve()
        self._prompts: dict[tuple[str | None, str], list[_Clip]] = {}
        self._places: dict[str, str] = {}
        self.dropped = 0
        with ExitStack() as stack:
            refused = None
            if on_bad == "skip":
                target = quarantine_path(self.name, self.folder, quarantine)
                refused = stack.enter_context(Quarantine(target, "reading"))
            for index in range(len(rows)):
                try:
                    self._add(rows.row(index), rows.place(index))
                except RecordError as error:
                    located = error.located(rows.place(index))
                    if refused is None:
                        raise located from error
                    refused.write(rows.raw(index), located)
                    self.dropped += 1
        if not self._prompts:
            raise PrefalignError(f"{self.name}: none of its {len(rows)} rows is usable")
        self._keys = list(self._prompts)

    def _add(self, row: Mapping[str, Any], place: str) -> None:
        fields = Fields(row)
        caption, dataset = fields.text("captions"), fields.maybe_text("dataset")
        task_of(caption, dataset)
        label, human = _label(fields)
        path = _inside(fields.text("location"), self.media_folder)
        if (earlier := self._places.get(path)) is not None:
            raise RecordError(f"the clip is labelled already at {earlier}", field="location")
        self._places[path] = place
        self._prompts.setdefault((dataset, caption), []).append(_Clip(path, label, human))

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> PreferenceRecord:  # type: ignore[override]  # no slices
        """Record `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        dataset, caption = self._keys[index]
        clips = sorted(self._prompts[dataset, caption], key=lambda clip: clip.path)
        human = all(clip.human for clip in clips)
        labels = tuple(clip.label for clip in clips)
        plain = human and set(labels) <= {0.0, 1.0}
        task = task_of(caption, dataset)
        conditions: dict[str, Any] = {TASK: task}
        events = list(parse(caption).events)
        if (len(events) == 2) == (task == "integrity") and len(events) > 1:
            conditions[EVENTS] = events
        return PreferenceRecord(
            id=f"{dataset or SCHEME}-{hashlib.sha256(caption.encode()).hexdigest()[:12]}",
            prompt=Prompt(text=caption, conditions=conditions),
            responses=tuple(
                Response(media=(Media(kind="audio", path=clip.path),), scores={LABEL: clip.label}) for clip in clips
            ),
            verdict=Unary(tuple(label == 1 for label in labels)) if plain else Group(labels),
            annotator="people" if human else "reward model",
            source=dataset,
        )


def task_of(caption: str, dataset: str | None = None) -> Task:
    """What was asked about the clips of a caption.

    Args:
        caption: what the clips were made for.
        dataset: the name of the set, whose `2label` or `3label` decides where it says so.

    Raises:
        RecordError: for a caption without events, or of one event where the set does not say what was asked.
    """
    events = parse(caption).events
    if not events:
        raise RecordError(f"expected a caption that names events, got {caption!r}", field="captions")
    stated = STATED.match(dataset or "")
    if stated:
        return _TASKS[stated[1]]
    if len(events) == 1:
        problem = f"expected a caption of two or three events, found no connecting word in {caption!r}"
        raise RecordError(f"{problem}; or say in 'dataset' what was asked, 2label or 3label", field="captions")
    return "integrity" if len(events) == 2 else "temporal"


def _label(fields: Fields) -> tuple[float, bool]:
    """The number, and whether people gave it."""
    if HUMAN in fields and MODEL in fields:
        raise RecordError(f"expected a label under {HUMAN!r} or under {MODEL!r}, got both", field=MODEL)
    name = MODEL if MODEL in fields else HUMAN
    label = fields.number(name)
    if not 0 <= label <= 1:
        raise expected("a label from 0 to 1", label, name)
    return label, name == HUMAN


def _inside(location: str, folder: Path) -> str:
    """The absolute path of a clip, which need not exist but may not leave the folder."""
    if not location.strip() or "\0" in location or _ADDRESS.match(location):
        raise expected("the name of a file", location, "location")
    if os.path.isabs(location):
        problem = f"expected a path relative to {str(folder)!r}, got {location!r}"
        raise RecordError(f"{problem}; set media_folder to the folder that holds the clips", field="location")
    target = (folder / location).resolve()
    if not target.is_relative_to(folder) or target == folder:
        raise RecordError(f"expected a path inside {str(folder)!r}, but {location!r} leaves it", field="location")
    return str(target)


def open_baton(uri: str, split: str) -> LabelSource | None:
    """The source behind `baton:<path>`; None for other addresses.

    Behind a question mark may stand `media_folder=<folder>` and `on_bad=skip`, joined by `&`. A file of labels has no
    parts, so `split` says nothing.

    Raises:
        PrefalignError: for another option; and as `LabelSource`.
    """
    scheme, _, path = uri.partition(":")
    if scheme != SCHEME or not path:
        return None
    options: dict[str, Any] = {}
    if not Path(path).exists():
        path, _, query = path.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in ("media_folder", "on_bad"):
            raise unknown_name("option", name, ("media_folder", "on_bad"))
    return LabelSource(path, **options)
