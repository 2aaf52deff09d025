"""A song as a sound: its vocal sung or played by a choir, its other parts by an instrument of the soundfont."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from prefalign.interfaces import unknown_name
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.espeak import GERMAN, RATE, voice_installed
from prefalign_audio.songs.singing import sing
from prefalign_audio.songs.song import Note, Song
from prefalign_audio.sound.soundfont import soundfont, synthesiser
from prefalign_audio.sound.waveform import Waveform

Voice = Literal["auto", "sung", "choir"]
VOICES: tuple[Voice, ...] = ("auto", "sung", "choir")

#: Programs of General MIDI, counted from 0.
CHOIR, CHURCH_ORGAN = 52, 19

_VELOCITY = 90
_TAIL = 0.6  # seconds in which the last notes ring
_VOICE_LEVEL = 2.0  # loudness of the vocal against all the rest together, as a factor of RMS: 6 dB
_LEVEL = 10 ** (-20 / 20)  # RMS of the whole, -20 dBFS
_PEAK = 10 ** (-1 / 20)  # and its largest sample, -1 dBFS


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """How songs are rendered.

    Attributes:
        voice: `sung` by espeak-ng (GPL-3, of the package espeakng_loader, where you installed it); `choir`, a pad
            without words; `auto`, sung where espeak-ng is installed, else by the choir, with a warning.
        language: of the lyric, for espeak-ng; in German (`de`) its phonemes are sung, else its text.
        instrument: program of General MIDI that plays the other parts, counted from 0: 0 is a piano, 19 a church organ.

    Raises:
        SongError: for an unknown voice, or a program outside 0..127.
    """

    voice: Voice = "auto"
    language: str = GERMAN
    instrument: int = CHURCH_ORGAN

    def __post_init__(self) -> None:
        if self.voice not in VOICES:
            raise SongError(str(unknown_name("voice", self.voice, VOICES)))
        if not 0 <= self.instrument < 128:
            raise SongError(f"instrument: expected a program of General MIDI, 0 to 127, got {self.instrument}")


def render_song(song: Song, rendering: Rendering | None = None) -> Waveform:
    """Render a song; the same song and settings always give the same samples.

    Args:
        song: with its syllables, where they are to be sung.
        rendering: how; by default the voice sings in German where it can, beside a church organ.

    Returns:
        Mono, 22,050 Hz, 0.6 s longer than the song, for the last notes to ring; RMS −20 dBFS, or less where a sample
        would exceed −1 dBFS. A song without notes is silent.

    Raises:
        SongError: for what the voice cannot sing; see `sing`.
        SoundsMissing: the soundfont or its synthesiser is not installed.
    """
    rendering = rendering or Rendering()
    frames = math.ceil(song.seconds * RATE) + round(_TAIL * RATE)
    vocal, others = torch.zeros(frames), torch.zeros(frames)
    if song.vocal and _sings(rendering.voice):
        sung = sing(song, rendering.language)
        vocal[: len(sung)] = sung
    elif song.vocal:
        vocal = play(song.vocal, song, CHOIR)
    for notes in song.parts.values():
        others += play(notes, song, rendering.instrument)
    mixed = _VOICE_LEVEL * _at_level(vocal, _LEVEL) + _at_level(others, _LEVEL)
    mixed = _at_level(mixed, _LEVEL)
    return Waveform((mixed * min(1.0, _PEAK / max(mixed.abs().max().item(), 1e-9)))[None], RATE)


def play(notes: Sequence[Note], song: Song, program: int) -> Tensor:
    """(frames,) float32 of a part on an instrument of the soundfont at 22,050 Hz, 0.6 s longer than the song.

    Args:
        notes: of the part.
        song: whose tempo and length count.
        program: of General MIDI, counted from 0.

    Raises:
        SoundsMissing: the soundfont or its synthesiser is not installed.
    """
    frames = math.ceil(song.seconds * RATE) + round(_TAIL * RATE)
    step = song.seconds_per_step * RATE
    changes = sorted(
        [(round(note.stop * step), 0, note.pitch) for note in notes]  # 0: a note ends before the next begins
        + [(round(note.start * step), 1, note.pitch) for note in notes]
    )
    synth = synthesiser().Synth(samplerate=RATE)
    synth.program_select(0, synth.sfload(soundfont()), 0, program, False)
    parts, now = [], 0
    for frame, begins, pitch in [*changes, (frames, -1, 0)]:
        if frame > now:
            parts.append(np.frombuffer(synth.generate(frame - now), np.float32).reshape(-1, 2).mean(1))
            now = frame
        if begins == 1:
            synth.noteon(0, pitch, _VELOCITY)
        elif begins == 0:
            synth.noteoff(0, pitch)
    sound = torch.from_numpy(np.concatenate(parts)[:frames])
    fall = round(0.1 * RATE)
    sound[-fall:] *= torch.linspace(1, 0, fall)
    return sound


def _sings(voice: Voice) -> bool:
    if voice == "auto" and not voice_installed():
        warnings.warn(
            'espeakng_loader is not installed, so a choir without words sings: pip install "prefalign-audio[songs]"',
            UserWarning,
            stacklevel=3,
        )
    return voice == "sung" or (voice == "auto" and voice_installed())


def _at_level(sound: Tensor, level: float) -> Tensor:
    """Scaled to an RMS over its sounding frames; silence stays silent."""
    sounding = sound[sound.abs() > 1e-4]
    return sound * (level / sounding.square().mean().sqrt()) if len(sounding) else torch.zeros_like(sound)
