"""The guard as a builder's stage: records with a bad clip are dropped and counted, or marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from prefalign.interfaces.builder import Stage, StageReport
from prefalign.interfaces.errors import unknown_name
from prefalign.interfaces.record import PreferenceRecord
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import read_sound
from prefalign_audio.sound.guard import GuardLimits, inspect_sound

PROBLEMS = ("unreadable", "silent", "clipped")


class SoundFilter(Stage):
    """Drops records with a response whose sound is unreadable, silent or clipped.

    Args:
        drop: the problems to drop for. A record with any other is kept, with the problem of each response under
            `sound_guard` in its provenance, so that it can be counted.
        limits: where silence and clipping begin.

    Raises:
        PrefalignError: for a problem that is not known; when run, RecordError for a response that holds no sound.
    """

    def __init__(self, drop: Sequence[str] = PROBLEMS, limits: GuardLimits | None = None) -> None:
        for name in drop:
            if name not in PROBLEMS:
                raise unknown_name("problem of a sound", name, PROBLEMS)
        self.drop = tuple(name for name in PROBLEMS if name in drop)
        self.limits = limits or GuardLimits()

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """Pass on the good ones. A record with several problems is counted under the first of `unreadable`, `silent`
        and `clipped`."""
        for record in records:
            found = self.problems(record)
            reason = next((name for name in self.drop if any(name in names for names in found.values())), None)
            if reason is not None:
                report.drop(reason)
            elif found:
                yield replace(record, provenance={**record.provenance, "sound_guard": found})
            else:
                yield record

    def problems(self, record: PreferenceRecord) -> dict[str, list[str]]:
        """The problems of each response that has any, by the response's field name."""
        found: dict[str, list[str]] = {}
        for index, response in enumerate(record.responses):
            field = f"responses[{index}].media"
            sounds = [medium for medium in response.media if medium.kind == "audio"]
            if not sounds:
                raise record.error("expected a medium of kind 'audio' to examine", field)
            for medium in sounds:
                try:
                    names: Sequence[str] = inspect_sound(read_sound(medium), self.limits).problems
                except SoundError:
                    names = ("unreadable",)
                if names:
                    found.setdefault(field, []).extend(names)
        return found

    def settings(self) -> dict[str, Any]:
        """What is dropped, and the limits."""
        return {"drop": list(self.drop), **asdict(self.limits)}
