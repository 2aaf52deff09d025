"""Phoneme error rate: is the lyric sung as it was asked?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.encoders.phone_recogniser import G2P, PhoneRecogniser
from prefalign_audio.encoders.phones import load_recogniser
from prefalign_audio.metrics.functional.phonemes import PhonemeErrors, phoneme_errors
from prefalign_audio.metrics.independence import ensure_independent_model


class PhonemeErrorRate(Metric):
    """Errors of the heard phonemes over the number of those asked for, all utterances taken together (LeVo 2506.07520).

    `compute()` gives `phoneme_error_rate` (0 or more, NaN without a valid sound) and its parts `substitutions`,
    `deletions`, `insertions`, each a phoneme asked for; `phonemes`, the number asked for; `clips`; and `invalid`, the
    share of sounds that are silent or too short to hold a phoneme, which count in no other figure: a policy that falls
    silent does not get a good rate, it gets a high `invalid`.

    A recogniser has errors of its own and reads singing worse than speech; compare rates of one recogniser only.

    Args:
        recogniser: `hama`, `ctc:ID`, `whisper:ID`, or one that is loaded already.
        g2p: from a text to phonemes in the recogniser's alphabet; by default the recogniser's own.
        resample: bring sounds to the recogniser's rate (16,000 Hz), which are refused otherwise.
        downmix: take the mean of several channels.
        trainers, allow_trainer: see `JudgedMetric`; the recogniser's fingerprint is compared.
        kwargs: of torchmetrics' `Metric`.

    Raises:
        PrefalignError: for an unknown recogniser, a package that is not installed, or one of the trainers.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    clips: Tensor
    invalid: Tensor
    counts: Tensor

    def __init__(
        self,
        recogniser: str | PhoneRecogniser = "hama",
        *,
        g2p: G2P | None = None,
        resample: bool = False,
        downmix: bool = False,
        trainers: Collection[str] = (),
        allow_trainer: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(recogniser, str):
            recogniser = load_recogniser(recogniser, g2p=g2p, resample=resample, downmix=downmix)
        elif resample or downmix:
            raise PrefalignError("resample and downmix are settings of the recogniser that is given: set them there")
        ensure_independent_model(recogniser, trainers, allow=allow_trainer)
        self.recogniser, self.g2p = recogniser, g2p or recogniser.g2p
        self.add_state("counts", torch.zeros(4, dtype=torch.int64), dist_reduce_fx="sum")
        for name in ("clips", "invalid"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def errors(self, sounds: Sequence[Media], asked: Sequence[str | Sequence[str]]) -> list[PhonemeErrors | None]:
        """The errors of each sound; None for one that is silent or too short.

        Args:
            sounds: N sounds.
            asked: N lyrics: texts, which go through the G2P, or phonemes.

        Raises:
            PrefalignError: for another number of lyrics; an empty one; or a text without a G2P. SoundError for a sound
                that cannot be read, or has another rate or several channels.
        """
        if len(sounds) != len(asked):
            raise PrefalignError(f"expected one lyric for each of {len(sounds)} sounds, got {len(asked)}")
        wanted = [self._phonemes(lyric, index) for index, lyric in enumerate(asked)]
        heard = [self.recogniser.phonemes(sound) for sound in sounds]
        return [None if found is None else phoneme_errors(one, found) for one, found in zip(wanted, heard, strict=True)]

    def update(self, sounds: Sequence[Media], asked: Sequence[str | Sequence[str]]) -> None:
        """Add N sounds and their lyrics.

        Raises:
            PrefalignError: see `errors`.
        """
        found = self.errors(sounds, asked)
        for one in found:
            if one is not None:
                counts = (one.substitutions, one.deletions, one.insertions, one.asked)
                self.counts += torch.tensor(counts, device=self.device)
        self.clips += len(found)
        self.invalid += sum(one is None for one in found)

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names."""
        errors, asked = self.counts[:3], self.counts[3]
        parts = dict(zip(("substitutions", "deletions", "insertions"), errors / asked, strict=True))
        rate = {"phoneme_error_rate": errors.sum() / asked}
        return {**rate, **parts, "phonemes": asked.clone(), "clips": self.clips.clone(), **self._invalid()}

    def _invalid(self) -> dict[str, Tensor]:
        return {"invalid": self.invalid / self.clips}

    def _phonemes(self, lyric: str | Sequence[str], index: int) -> list[str]:
        if not isinstance(lyric, str):
            found = list(lyric)
        elif self.g2p is None:
            raise PrefalignError(f"lyric {index} is a text, and this recogniser has no G2P; give g2p, or phonemes")
        else:
            found = self.g2p(lyric)
        if not found:
            raise PrefalignError(f"lyric {index}: no phoneme in {lyric!r}, so that no share of them can be wrong")
        return found
