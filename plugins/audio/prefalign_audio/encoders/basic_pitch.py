"""Basic Pitch: the notes of a sound, by a network of 230 kB that serves any instrument (2203.09893, Apache-2.0).

Only the weights are used, which the package holds; it declares TensorFlow, so it is installed without dependencies.
What it hears best is what is struck or plucked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.encoders.base import checked_sound
from prefalign_audio.encoders.packages import PackagedFile
from prefalign_audio.songs.timed import TimedNotes
from prefalign_audio.sound.files import read_sound
from prefalign_audio.sound.guard import inspect_sound

CHECKPOINT = PackagedFile(
    "basic_pitch",
    "basic-pitch==0.4.0",
    "saved_models/icassp_2022/nmp.onnx",
    "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec",
)

#: Hz, samples that the network hears at once, and samples between two of its frames.
RATE, WINDOW, HOP = 22_050, 43_844, 256
#: Frames at each end of a window that hear too little of what is around them, and those that are kept.
_EDGE, _KEPT = 16, 140
_LOWEST = 21  # MIDI pitch of the first of 88 bands


class BasicPitch:
    """A transcriber of notes.

    22,050 Hz. Pitches are whole MIDI numbers from 21 to 108.

    Args:
        resample: bring sounds of another rate to its own; they are refused otherwise.
        downmix: take the mean of several channels; they are refused otherwise.
        onset: probability from which a peak begins a note, in (0, 1).
        frame: probability below which a note is over, in (0, 1).
        shortest: s; shorter notes are left out.

    Raises:
        PrefalignError: if onnxruntime or the package with the weights is not installed, or for numbers outside their
            ranges.
    """

    rate = RATE

    def __init__(
        self,
        resample: bool = False,
        downmix: bool = False,
        *,
        onset: float = 0.5,
        frame: float = 0.3,
        shortest: float = 0.128,
    ) -> None:
        if not (0 < onset < 1 and 0 < frame < 1 and shortest >= 0):
            raise PrefalignError(
                f"expected thresholds in (0, 1) and a length of at least 0 s, got {onset}, {frame} and {shortest}"
            )
        self.resample, self.downmix = resample, downmix
        self.onset, self.frame, self.shortest = onset, frame, shortest
        file = CHECKPOINT.find()
        try:
            import onnxruntime
        except ImportError:
            raise PrefalignError(
                'Basic Pitch runs in onnxruntime, which is not installed: pip install "prefalign-audio[notes]"'
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session: Any = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def notes(self, sound: Media) -> TimedNotes:
        """The notes in a sound; none in silence.

        Raises:
            SoundError: for a sound that cannot be read, or has another rate or several channels.
        """
        whole = read_sound(sound)
        if inspect_sound(whole).silent:
            return find_notes(np.zeros((0, 88)), np.zeros((0, 88)), self.onset, self.frame, self.shortest)
        samples = checked_sound(sound, self.rate, self.resample, self.downmix).resampled(self.rate).samples[0]
        notes, onsets = self.posteriors(samples.numpy())
        return find_notes(notes, onsets, self.onset, self.frame, self.shortest)

    def posteriors(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T, 88) probabilities that a pitch sounds, and that it begins, with T = 1 + frames // 256.

        Windows are laid a whole number of the network's frames apart, so that no time is lost between them.

        Args:
            samples: (frames,) float32 at 22,050 Hz.
        """
        frames = 1 + len(samples) // HOP
        count = -(-frames // _KEPT)
        padded = np.zeros((count - 1) * _KEPT * HOP + WINDOW, np.float32)
        padded[_EDGE * HOP : _EDGE * HOP + len(samples)] = samples[: len(padded) - _EDGE * HOP]
        parts = []
        for start in range(0, count * _KEPT * HOP, _KEPT * HOP):
            window = padded[None, start : start + WINDOW, None]
            names = ["StatefulPartitionedCall:1", "StatefulPartitionedCall:2"]
            found = self._session.run(names, {"serving_default_input_2:0": window})
            parts.append([one[0, _EDGE : _EDGE + _KEPT] for one in found])
        notes, onsets = (np.concatenate(one)[:frames] for one in zip(*parts, strict=True))
        return notes, onsets

    def fingerprint(self) -> str:
        """The hash of the weights' file, with the thresholds."""
        return f"{CHECKPOINT.sha256}-{self.onset}-{self.frame}-{self.shortest}"


#: Frames for which a note may fall below the threshold without being over.
_PATIENCE = 11


def find_notes(notes: np.ndarray, onsets: np.ndarray, onset: float, frame: float, shortest: float) -> TimedNotes:
    """Notes from the network's probabilities.

    A note begins at a peak of its pitch's onsets, and lasts until the next one or until the pitch has not sounded for
    11 frames (0.13 s).

    Args:
        notes, onsets: (T, 88) probabilities that a pitch sounds, and that it begins.
        onset, frame, shortest: see `BasicPitch`.
    """
    rows = []
    padded = np.pad(onsets, ((1, 1), (0, 0)), constant_values=-np.inf)
    # Of two equal neighbours the first is the peak.
    peaks = (onsets >= onset) & (onsets > padded[:-2]) & (onsets >= padded[2:])
    for band in np.flatnonzero(peaks.any(0)):
        begins = np.flatnonzero(peaks[:, band])
        for start, limit in zip(begins, [*begins[1:], len(onsets)], strict=True):
            sounding = np.flatnonzero(notes[start:limit, band] >= frame)
            gaps = np.diff(sounding, prepend=0)
            over = np.flatnonzero(gaps > _PATIENCE)
            sounding = sounding[: over[0]] if len(over) else sounding
            if not len(sounding):
                continue
            stop = start + sounding[-1] + 1
            if (stop - start) * HOP / RATE >= shortest:
                rows.append((start * HOP / RATE, stop * HOP / RATE, band + _LOWEST))
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    return TimedNotes(*table.T)
