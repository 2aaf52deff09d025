"""The voice of a song: every syllable spoken at its note's pitch, its vowel on the beat and held for the note's length.

The vowel is held by pitch-synchronous overlap-add (Moulines and Charpentier 1990, "Pitch-synchronous waveform
processing techniques"): grains of two periods, laid one period of the note apart. espeak-ng keeps to whole Hz, so the
periods of the source need no search, and the note's own period corrects the rounding. Consonants stay as spoken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.espeak import GERMAN, OPEN, RATE, Spoken, speak, utterance
from prefalign_audio.songs.song import Note, Song, Syllable

_EDGE = round(0.04 * RATE)  # frames of a vowel next to a consonant, where it moves, which are not stretched
_SHORTEST = round(0.05 * RATE)  # frames that a vowel keeps in a note that is too short for its consonants
_JOIN = round(0.008 * RATE)  # frames in which one pitch of a melisma gives way to the next
_RISE, _FALL = round(0.003 * RATE), round(0.02 * RATE)  # frames at the ends of a syllable
_NATURAL, _EIGHTH = 175, 0.35  # words per minute at which most syllables fit into so many seconds
_FASTEST = 400


@dataclass(frozen=True)
class SungSyllable:
    """A syllable with its notes, which are sung on one vowel without a break.

    Attributes:
        syllable: what is sung.
        notes: its notes, each beginning where the last one stops.
        whole: with its consonants; without, its vowel is taken up again after a rest.
    """

    syllable: Syllable
    notes: tuple[Note, ...]
    whole: bool


def hertz(pitch: float) -> float:
    """Frequency of a MIDI pitch, 440 Hz for 69."""
    return 440.0 * 2.0 ** ((pitch - 69) / 12)


def sung_syllables(song: Song) -> Iterator[SungSyllable]:
    """The vocal's notes with the syllables they sing.

    The n-th note that begins a syllable sings the n-th of the lyric; where the lyric has ended, and before its first
    syllable, an open vowel. A note that begins none goes on with the vowel before it.
    """
    lyric = iter(song.lyric)
    syllable, whole = OPEN, False
    held: list[Note] = []
    for note in song.vocal:
        if held and (note.begins or note.start > held[-1].stop):
            yield SungSyllable(syllable, tuple(held), whole)
            held, whole = [], False
        if note.begins:
            syllable, whole = next(lyric, OPEN), True
        held.append(note)
    if held:
        yield SungSyllable(syllable, tuple(held), whole)


def sing(song: Song, language: str = GERMAN) -> Tensor:
    """(frames,) float32 of the song's vocal at 22,050 Hz, ⌈seconds · rate⌉ frames.

    Args:
        song: what is sung.
        language: of the lyric; one of espeak-ng's voices.

    Raises:
        SongError: espeak-ng is absent or does not know the language; a phoneme that is not known; or a pitch outside of
            the voice's range; or steps of less than 0.02 s.
    """
    if song.seconds_per_step * RATE < _FALL:
        raise SongError(
            f"{song.name}: a step of {song.seconds_per_step:.2g} s is too short to be sung; expected 0.02 s"
        )
    sung = list(sung_syllables(song))
    asked = [
        utterance(one.syllable, hertz(note.pitch), _speed(one.notes[0].length * song.seconds_per_step), language)
        for one in sung
        for note in one.notes
    ]
    spoken = iter(speak(asked, language))
    sources = [[next(spoken) for _ in one.notes] for one in sung]
    voice = torch.zeros(math.ceil(song.seconds * RATE))
    step = song.seconds_per_step * RATE
    onsets = [source[0].nucleus[0] if one.whole else 0 for one, source in zip(sung, sources, strict=True)]
    begins = _begins(sung, onsets, step)
    for one, source, begin, following in zip(sung, sources, begins, [*begins[1:], len(voice)], strict=True):
        stop = min(round(one.notes[-1].stop * step), following)
        starts = [begin, *(round(note.start * step) for note in one.notes[1:])]
        lengths = [end - start for start, end in zip(starts, [*starts[1:], stop], strict=True)]
        voice[begin:stop] = sung_sound(one, source, lengths)
    return voice


def _begins(sung: list[SungSyllable], onsets: list[int], step: float) -> list[int]:
    """The frame at which each syllable begins: before its note, so that its vowel is on the beat, as singers do it.

    Its consonants take up to half of the note before. Where that does not hold them, the vowel comes late, as at the
    beginning of a song.
    """
    begins, free = [], 0
    for one, onset in zip(sung, onsets, strict=True):
        begins.append(max(round(one.notes[0].start * step) - onset, free))
        last = one.notes[-1]
        free = round((last.start + last.length / 2) * step)
    return begins


def sung_sound(sung: SungSyllable, spoken: list[Spoken], lengths: list[int]) -> Tensor:
    """(frames,) one syllable on its notes: consonants, the vowel on every pitch, consonants.

    Args:
        sung: the syllable and its notes.
        spoken: the syllable at the pitch of each.
        lengths: frames of each.
    """
    total, single = sum(lengths), len(lengths) == 1
    # Where a note is too short, consonants give way: what is next to the vowel stays.
    onset = _last(spoken[0].samples[: spoken[0].nucleus[0]], lengths[0] - _SHORTEST) if sung.whole else torch.empty(0)
    coda = max(0, lengths[-1] - _SHORTEST - (len(onset) if single else 0)) if sung.whole else 0
    coda = min(coda, len(spoken[-1].samples) - spoken[-1].nucleus[1])
    sound = torch.zeros(total)
    sound[: len(onset)] = onset
    starts = [len(onset), *(sum(lengths[:index]) for index in range(1, len(lengths))), total - coda]
    for index, (one, note) in enumerate(zip(spoken, sung.notes, strict=True)):
        start, stop, closes = starts[index], starts[index + 1], index == len(spoken) - 1
        # The next pitch fades in over the last frames of this one.
        stop = stop if closes else min(stop + _JOIN, total)
        opening = index == 0 and sung.whole
        piece, place = held(one, hertz(note.pitch), stop - start, opens=opening, closes=closes and sung.whole)
        if index:
            ramp = torch.linspace(0, 1, min(_JOIN, len(piece)))
            piece[: len(ramp)] *= ramp
            sound[start : start + len(ramp)] *= 1 - ramp
        sound[start:stop] += piece
        if closes:  # consonants go on where the last grain was taken from, so that the wave does not jump
            rest = one.samples[place : place + coda]
            sound[stop : stop + len(rest)] = rest
    rise, fall = min(_RISE, total), min(_FALL, total)
    sound[:rise] *= torch.linspace(0, 1, rise)
    sound[total - fall :] *= torch.linspace(1, 0, fall)
    return sound


def held(spoken: Spoken, pitch: float, frames: int, *, opens: bool, closes: bool) -> tuple[Tensor, int]:
    """Hold the vowel of a syllable.

    Args:
        spoken: the syllable, at about the pitch.
        pitch: Hz.
        frames: how long.
        opens, closes: whether the vowel's first and last 40 ms, which lead from and to consonants, are kept as they
            are; they are left out otherwise.

    Returns:
        (frames,) float32 samples, and the frame of the source behind the last of them.
    """
    source, target = RATE / spoken.hertz, RATE / pitch  # frames of a period
    out = torch.arange(math.ceil(frames / target) + 2, dtype=torch.float64) * target  # where each grain is laid
    wanted = _source_frames(spoken.nucleus, out, frames, opens, closes)
    # Grains are taken whole periods apart, so that all have the same phase; between two of them both are mixed, since a
    # vowel that moved in steps would rattle.
    first = wanted[0]
    periods = (wanted - first) / source
    taken, share = first + periods.floor() * source, periods.frac()[:, None]
    reach = math.ceil(target)
    laid = out.round().long()[:, None] + torch.arange(-reach, reach + 1)  # (grains, 2 reach + 1) frames of the result
    offset = laid - out[:, None]
    # Hann windows one period apart add up to 1.
    weight = 0.5 * (1 + torch.cos(math.pi * offset / target)) * (offset.abs() < target)
    place = taken[:, None] + offset
    grains = weight * torch.lerp(_between(spoken.samples, place), _between(spoken.samples, place + source), share)
    inside = (laid >= 0) & (laid < frames)
    sound = torch.zeros(frames, dtype=torch.float64).index_add_(0, laid[inside], grains[inside])
    last = int((out < frames).sum()) - 1
    nearest = first + periods[last].round() * source
    return sound.float(), int((nearest + frames - out[last]).round())


def _between(samples: Tensor, place: Tensor) -> Tensor:
    """float64 values at places between samples, by straight lines; the first and the last one go on beyond the ends."""
    place = place.clamp(0, len(samples) - 1.001)
    below = place.long()
    return torch.lerp(samples[below].double(), samples[below + 1].double(), place - below)


def _source_frames(nucleus: tuple[int, int], out: Tensor, frames: int, opens: bool, closes: bool) -> Tensor:
    """The frame of the source for each of `out`: the edges at their own speed, the middle as slowly as is asked."""
    start, stop = nucleus
    edge = min(_EDGE, (stop - start) // 3)
    left, right = start + (0 if opens else edge), stop - (0 if closes else edge)
    kept = min(edge, frames // 3)
    head, tail = (kept if opens else 0), (kept if closes else 0)
    knots = torch.tensor([0, head, max(frames - tail, head + 1), frames + 1], dtype=torch.float64)
    values = torch.tensor([left, left + head, right - tail, right], dtype=torch.float64)
    above = torch.searchsorted(knots, out, right=True).clamp(1, 3)
    share = ((out - knots[above - 1]) / (knots[above] - knots[above - 1])).clamp(0, 1)
    return torch.lerp(values[above - 1], values[above], share)


def _last(samples: Tensor, count: int) -> Tensor:
    return samples[max(0, len(samples) - max(0, count)) :]


def _speed(seconds: float) -> int:
    return min(max(round(_NATURAL * _EIGHTH / seconds), _NATURAL), _FASTEST)
