"""Clips of two events in noise, mixed a batch at a time, right or wrong as a caption "A then B" has it.

What a clip holds is drawn first, as a `Score`; mixing adds the recordings at their places. The two are apart so that
frame labels come from the score alone, at whatever hop a listener's front end has.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from prefalign.interfaces.errors import PrefalignError
from prefalign_audio.demo.sounds import RATE, SoundBank

CLIP_SECONDS = 2.0
CLIP_SAMPLES = round(CLIP_SECONDS * RATE)
MAX_OVERLAP = 0.5  # seconds; then the second event still starts at least 0.2 s after the first

_NOISE = 0.02  # standard deviation; recordings have RMS 1
_FIRST = (0.0, 0.25)  # seconds, where the first event starts
_SECOND = (0.95, 1.2)
_GAIN = (0.5, 1.2)
_WINDOW = 500  # samples, over which loudness is measured for the frame labels
_AUDIBLE = 0.1  # an event is on in a frame where its RMS exceeds this
_BATCH = 256  # clips mixed at a time, which bounds the memory


class Kind(enum.IntEnum):
    """How a clip relates to its caption."""

    CORRECT = 0
    SWAPPED = 1
    FIRST_MISSING = 2
    SECOND_MISSING = 3


#: Shares of the kinds: captions as a crawled corpus has them, the detectors' training, and flawless ones.
CRAWLED = {Kind.CORRECT: 0.55, Kind.SWAPPED: 0.25, Kind.FIRST_MISSING: 0.1, Kind.SECOND_MISSING: 0.1}
DETECTION = {Kind.CORRECT: 0.7, Kind.FIRST_MISSING: 0.15, Kind.SECOND_MISSING: 0.15}
FLAWLESS = {Kind.CORRECT: 1.0}


@dataclass(frozen=True, eq=False)
class Score:
    """What sounds in each clip, in the order in which it sounds; the second dimension is earlier and later event.

    Attributes:
        captions: (clips, 2) int64, the classes that the caption names, in its order.
        kinds: (clips,) int64, values of `Kind`.
        events: (clips, 2) int64, the classes that are played.
        recordings: (clips, 2) int64, which recording of the class.
        onsets: (clips, 2) int64, samples.
        gains: (clips, 2) float32; 0 for an event that is missing.
    """

    captions: Tensor
    kinds: Tensor
    events: Tensor
    recordings: Tensor
    onsets: Tensor
    gains: Tensor

    def __len__(self) -> int:
        return len(self.captions)


def all_captions(classes: int) -> Tensor:
    """(classes · (classes − 1), 2) int64: every ordered pair of two different classes."""
    first, second = torch.meshgrid(torch.arange(classes), torch.arange(classes), indexing="ij")
    return torch.stack([first, second], -1)[first != second]


def draw_score(
    captions: Tensor, shares: Mapping[Kind, float], recordings: int, generator: torch.Generator, overlap: float = 0.0
) -> Score:
    """Draw kinds, recordings, onsets and gains for captions.

    Args:
        captions: (clips, 2) int64 classes.
        shares: of the kinds; they are scaled to sum 1, and each clip's kind is drawn on its own.
        recordings: how many a class has.
        generator: source of all randomness.
        overlap: seconds in 0..0.5 by which the second event comes earlier than right after the first one's end; both
            are then also shifted together by up to as much, so that no place in the clip gives the order away.

    Raises:
        PrefalignError: for an overlap outside its range.
    """
    if not 0 <= overlap <= MAX_OVERLAP:
        raise PrefalignError(f"expected an overlap of 0 to {MAX_OVERLAP} s, got {overlap}")
    clips = len(captions)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(clips, *shape, generator=generator)

    names = list(shares)
    drawn = torch.multinomial(torch.tensor([shares[k] for k in names]), clips, replacement=True, generator=generator)
    kinds = torch.tensor([int(k) for k in names])[drawn]
    shift = uniform(0, overlap)
    starts = torch.stack([uniform(*_FIRST) + shift, uniform(*_SECOND) + shift - overlap], 1)
    gains = uniform(*_GAIN, 2)
    gains[kinds == Kind.FIRST_MISSING, 0] = 0
    gains[kinds == Kind.SECOND_MISSING, 1] = 0
    return Score(
        captions=captions,
        kinds=kinds,
        events=torch.where((kinds == Kind.SWAPPED)[:, None], captions.flip(1), captions),
        recordings=torch.randint(recordings, (clips, 2), generator=generator),
        onsets=(starts * RATE).round().long(),
        gains=gains,
    )


def mix(sounds: SoundBank, score: Score, generator: torch.Generator) -> Tensor:
    """(clips, 16000) float32: the score played over white noise."""
    waveforms = torch.empty(len(score), CLIP_SAMPLES).normal_(0, _NOISE, generator=generator)
    steps = torch.arange(sounds.recordings.shape[-1])
    for part in torch.arange(len(score)).split(_BATCH):
        played = sounds.recordings[score.events[part], score.recordings[part]] * score.gains[part, :, None]
        places = score.onsets[part, :, None] + steps
        waveforms[part] = waveforms[part].scatter_add(1, places.flatten(1), played.flatten(1))
    return waveforms


def active_frames(sounds: SoundBank, score: Score, hop: int) -> Tensor:
    """(clips, frames, classes) float32 of 0 and 1: where each class is audible, a frame every `hop` samples from 0.

    An event is audible where its RMS, without the noise, over the 500 samples around the frame's centre exceeds 0.1.
    """
    frames = CLIP_SAMPLES // hop
    length = sounds.recordings.shape[-1]
    # Energy up to each sample, once per recording: a window's energy is then a difference of two entries.
    energy = torch.zeros(*sounds.recordings.shape[:2], length + 1, dtype=torch.float64)
    energy[..., 1:] = sounds.recordings.double().square().cumsum(-1)
    starts = torch.arange(frames) * hop - _WINDOW // 2 - score.onsets[:, :, None]
    own = energy[
        score.events[:, :, None], score.recordings[:, :, None], torch.stack([starts, starts + _WINDOW]).clamp(0, length)
    ]
    rms = score.gains[:, :, None] * ((own[1] - own[0]).clamp(min=0) / _WINDOW).sqrt()
    active = torch.zeros(len(score), frames, sounds.classes)
    places = score.events[:, None, :].expand(-1, frames, -1)
    return active.scatter_(2, places, (rms > _AUDIBLE).float().transpose(1, 2))
