"""Recordings of events: birds, telephones, gunshots, …, played from the General MIDI soundfont inside pretty_midi.

The soundfont is GPL-2, so it is neither copied nor shipped: it is read from where pretty_midi is installed, and
tinysoundfont plays it. Its velocities differ in loudness alone, which the scaling takes away again, so recordings of
one class differ by their key.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from prefalign.interfaces.errors import PrefalignError

RATE = 8000  # Hz
SECONDS = 0.8  # of a recording

_VELOCITY = 100
_FADE = 0.1  # seconds at a recording's end
_DRUMS = 128  # the bank of percussion, where a key is an instrument


@dataclass(frozen=True)
class EventClass:
    """A kind of event and where the soundfont keeps it.

    Attributes:
        name: one word, as captions say it.
        bank: 0, or 128 for percussion.
        program: number of the instrument in its bank, from 0.
        keys: MIDI keys, one recording each.
    """

    name: str
    bank: int
    program: int
    keys: tuple[int, int, int, int]


#: The first six are the world of the miniature; all eight are the harder one.
EVENTS = (
    EventClass("bird", 0, 123, (43, 45, 47, 49)),
    EventClass("telephone", 0, 124, (45, 48, 51, 54)),
    EventClass("applause", 0, 126, (48, 54, 60, 66)),
    EventClass("gunshot", 0, 127, (48, 54, 60, 66)),
    EventClass("trumpet", 0, 56, (55, 60, 65, 70)),
    EventClass("snare", _DRUMS, 0, (37, 38, 39, 40)),
    EventClass("bell", 0, 14, (55, 60, 65, 70)),
    EventClass("cowbell", 0, 113, (48, 51, 54, 57)),
)


class SoundsMissing(PrefalignError):
    """A package that the recordings come from is absent; the message holds the command that installs it."""


@dataclass(frozen=True, eq=False)
class SoundBank:
    """Recordings of every class.

    Attributes:
        names: of the classes.
        recordings: (classes, keys, samples) float32 of RMS 1.
        rate: Hz.
    """

    names: tuple[str, ...]
    recordings: Tensor
    rate: int = RATE

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.names)

    def at(self, keys: Sequence[int]) -> SoundBank:
        """The recordings of some of each class's keys, by their places 0 to 3.

        Raises:
            PrefalignError: for a place that no key has.
        """
        if strange := sorted(set(keys) - set(range(self.recordings.shape[1]))):
            raise PrefalignError(f"no key {strange[0]}: each class has {self.recordings.shape[1]}, counted from 0")
        return replace(self, recordings=self.recordings[:, list(keys)])


def render_sounds(classes: int = 6) -> SoundBank:
    """Play every key of the first `classes` of `EVENTS`; 0.8 s each, faded out and scaled to RMS 1.

    Raises:
        SoundsMissing: pretty_midi or tinysoundfont is not installed.
        PrefalignError: for a number of classes outside 2..8.
    """
    if not 2 <= classes <= len(EVENTS):
        raise PrefalignError(f"expected 2 to {len(EVENTS)} classes, got {classes}")
    player, font = _player(), _soundfont()
    events = EVENTS[:classes]
    recordings = [[_play(player, font, event, key) for key in event.keys] for event in events]
    sounds = torch.from_numpy(np.asarray(recordings, dtype=np.float32))
    fade = round(_FADE * RATE)
    sounds[..., -fade:] *= torch.linspace(1, 0, fade)
    sounds /= sounds.square().mean(-1, keepdim=True).sqrt()
    return SoundBank(tuple(event.name for event in events), sounds)


def _play(player: ModuleType, font: bytes, event: EventClass, key: int) -> np.ndarray:
    # A player of its own for each note: a voice that still rings would sound in the next recording.
    synth = player.Synth(samplerate=RATE)
    synth.program_select(0, synth.sfload(font), event.bank, event.program, event.bank == _DRUMS)
    synth.noteon(0, key, _VELOCITY)
    stereo = np.frombuffer(synth.generate(round(SECONDS * RATE)), dtype=np.float32)
    return stereo.reshape(-1, 2).mean(1)


def _player() -> ModuleType:
    try:
        return importlib.import_module("tinysoundfont")
    except ModuleNotFoundError:
        # Without its dependency pyaudio, which needs a system library and serves playing through loudspeakers only.
        raise SoundsMissing(
            "tinysoundfont, which plays the soundfont, is not installed: pip install --no-deps tinysoundfont"
        ) from None


def _soundfont() -> bytes:
    spec = importlib.util.find_spec("pretty_midi")  # found, not imported: only its file is wanted
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "TimGM6mb.sf2"
        if path.is_file():
            return path.read_bytes()
    raise SoundsMissing("pretty_midi, whose soundfont holds the sounds, is not installed: pip install pretty_midi")
