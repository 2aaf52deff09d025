"""Recordings of events: birds, telephones, gunshots, …, played from the General MIDI soundfont inside pretty_midi.

The soundfont is GPL-2, so it is neither copied nor shipped: it is read from where pretty_midi is installed, and
tinysoundfont plays it. Its velocities differ in loudness alone, which the scaling takes away again, so what makes
recordings of one class different sounds is the key and a slight detuning, a "take". Detectors learn from some takes and
are tested on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from prefalign.interfaces.errors import PrefalignError
from prefalign_audio.sound.soundfont import soundfont, synthesiser

RATE = 8000  # Hz
SECONDS = 0.8  # of a recording
#: Semitones of detuning; each is a take of every key.
TUNINGS = (-0.3, -0.1, 0.1, 0.3)

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
        keys: MIDI keys, one recording each and take.
    """

    name: str
    bank: int
    program: int
    keys: tuple[int, int, int, int] = (50, 53, 56, 59)


#: The first six are the world of the miniature; all eight are the harder one.
EVENTS = (
    EventClass("bird", 0, 123),
    EventClass("telephone", 0, 124),
    # The soundfont moves applause by a fifth of a semitone a key, so near keys of two takes would be the same sound.
    EventClass("applause", 0, 126, (42, 50, 58, 66)),
    EventClass("gunshot", 0, 127),
    EventClass("trumpet", 0, 56),
    EventClass("snare", _DRUMS, 0, (37, 38, 39, 40)),  # side stick, snare, clap, another snare
    EventClass("bell", 0, 14),
    EventClass("agogo", 0, 113),
)


@dataclass(frozen=True, eq=False)
class SoundBank:
    """Recordings of every class.

    Attributes:
        names: of the classes.
        recordings: (classes, recordings, samples) float32 of RMS 1: the four keys of the first take, then of the next.
        rate: Hz.
    """

    names: tuple[str, ...]
    recordings: Tensor
    rate: int = RATE

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.names)

    def at(self, takes: Sequence[int]) -> SoundBank:
        """The recordings of some takes, numbers of `TUNINGS`.

        Raises:
            PrefalignError: for a take that does not exist.
        """
        if strange := sorted(set(takes) - set(range(len(TUNINGS)))):
            raise PrefalignError(f"no take {strange[0]}: there are {len(TUNINGS)}, counted from 0")
        return replace(self, recordings=self.recordings.unflatten(1, (len(TUNINGS), -1))[:, list(takes)].flatten(1, 2))


def render_sounds(classes: int = 6) -> SoundBank:
    """Play every take of every key of the first `classes` of `EVENTS`; 0.8 s each, faded out and scaled to RMS 1.

    Raises:
        SoundsMissing: pretty_midi or tinysoundfont is not installed.
        PrefalignError: for a number of classes outside 2..8.
    """
    if not 2 <= classes <= len(EVENTS):
        raise PrefalignError(f"expected 2 to {len(EVENTS)} classes, got {classes}")
    player, font = synthesiser(), soundfont()
    events = EVENTS[:classes]
    recordings = [
        [_play(player, font, event, key, tuning) for tuning in TUNINGS for key in event.keys] for event in events
    ]
    sounds = torch.from_numpy(np.asarray(recordings, dtype=np.float32))
    fade = round(_FADE * RATE)
    sounds[..., -fade:] *= torch.linspace(1, 0, fade)
    sounds /= sounds.square().mean(-1, keepdim=True).sqrt()
    return SoundBank(tuple(event.name for event in events), sounds)


def _play(player: ModuleType, font: bytes, event: EventClass, key: int, tuning: float) -> np.ndarray:
    # A player of its own for each note: a voice that still rings would sound in the next recording.
    synth = player.Synth(samplerate=RATE)
    synth.program_select(0, synth.sfload(font), event.bank, event.program, event.bank == _DRUMS)
    synth.set_tuning(0, tuning)
    synth.noteon(0, key, _VELOCITY)
    stereo = np.frombuffer(synth.generate(round(SECONDS * RATE)), dtype=np.float32)
    return stereo.reshape(-1, 2).mean(1)
