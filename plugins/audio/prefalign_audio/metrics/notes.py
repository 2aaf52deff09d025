"""Are the notes of a score those that sound?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torchmetrics import Metric

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.metrics.functional.notes import NoteCounts, match_notes
from prefalign_audio.metrics.independence import ensure_independent_model
from prefalign_audio.songs.song import Song
from prefalign_audio.songs.timed import TimedNotes, timed_notes


class Transcriber(Protocol):
    """Something that hears notes."""

    def notes(self, sound: Media) -> TimedNotes:
        """The notes in a sound."""

    def fingerprint(self) -> str:
        """A hash of its weights and settings."""


class NoteAgreement(Metric):
    """F1 of the notes that a transcriber hears against those of the score: pitch and onset, 50 ms and 50 cents.

    `compute()` gives `note_f1`, `note_precision`, `note_recall` over all sounds together (in [0, 1]; NaN where there is
    nothing to divide by), `notes` (asked for) and `clips`. A silent sound holds no note.

    A transcriber errs by itself, most on soft attacks: measure it on a rendering of the score first.

    Args:
        transcriber: by default Basic Pitch.
        resample, downmix: of the default transcriber; see `BasicPitch`.
        trainers, allow_trainer: see `JudgedMetric`; the transcriber's fingerprint is compared.
        kwargs: of torchmetrics' `Metric`.

    Raises:
        PrefalignError: if Basic Pitch cannot be had, or the transcriber is one of the trainers.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    counts: Tensor
    clips: Tensor

    def __init__(
        self,
        transcriber: Transcriber | None = None,
        *,
        resample: bool = False,
        downmix: bool = False,
        trainers: Collection[str] = (),
        allow_trainer: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if transcriber is None:
            from prefalign_audio.encoders.basic_pitch import BasicPitch

            transcriber = BasicPitch(resample, downmix)
        elif resample or downmix:
            raise PrefalignError("resample and downmix are settings of the transcriber that is given: set them there")
        ensure_independent_model(transcriber, trainers, allow=allow_trainer)
        self.transcriber = transcriber
        self.add_state("counts", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def matches(self, sounds: Sequence[Media], songs: Sequence[Song]) -> list[NoteCounts]:
        """What of each song was heard.

        Raises:
            PrefalignError: for another number of songs, or one without notes. SoundError for a sound that cannot be
                used.
        """
        if len(sounds) != len(songs):
            raise PrefalignError(f"expected one song for each of {len(sounds)} sounds, got {len(songs)}")
        asked = [timed_notes(song) for song in songs]
        for song, notes in zip(songs, asked, strict=True):
            if not len(notes):
                raise PrefalignError(f"{song.name}: a song without notes, so that no share of them can be heard")
        return [match_notes(one, self.transcriber.notes(sound)) for one, sound in zip(asked, sounds, strict=True)]

    def update(self, sounds: Sequence[Media], songs: Sequence[Song]) -> None:
        """Add N sounds and the songs that they render.

        Raises:
            PrefalignError: see `matches`.
        """
        found = self.matches(sounds, songs)
        for one in found:
            self.counts += torch.tensor((one.matched, one.asked, one.heard), device=self.device)
        self.clips += len(found)

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names."""
        matched, asked, heard = self.counts.unbind()
        shares = {"note_precision": matched / heard, "note_recall": matched / asked}
        f1 = {"note_f1": 2 * matched / (asked + heard)}
        return {**f1, **shares, "notes": asked.clone(), "clips": self.clips.clone()}
