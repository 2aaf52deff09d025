"""Which key notes are in, and how well they keep to it.

Axes: N songs, 12 pitch classes (0 is C), 24 keys: 0 to 11 are the major keys on C to B, 12 to 23 the minor ones. -1
stands for a song that is in no key, since nothing sounds in it or all pitch classes sound alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefalign_audio.songs.errors import SongError

MODES = ("major", "minor")
NO_KEY = -1

#: Krumhansl and Kessler's probe-tone ratings of the pitch classes from the tonic upwards, major and minor (Krumhansl,
#: "Cognitive Foundations of Musical Pitch", 1990, table 2.1).
PROFILES = np.array(
    [
        [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88],
        [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17],
    ]
)

#: Semitones above the tonic: the major scale, and the natural minor one, as InferAlign counts them.
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))

_NAMES = ("C", "C#", "D", "E-", "E", "F", "F#", "G", "A-", "A", "B-", "B")
# Pitch class `p` of key `(mode, tonic)` is the degree `(p - tonic) % 12`.
_DEGREES = (np.arange(12) - np.arange(12)[:, None]) % 12
_KEY_PROFILES = PROFILES[:, _DEGREES].reshape(24, 12)
_IN_SCALE = np.array([[degree in scale for degree in range(12)] for scale in SCALES])[:, _DEGREES].reshape(24, 12)


def key_name(key: int) -> str:
    """`C major`, `F# minor`, …; `no key` for -1."""
    return "no key" if key == NO_KEY else f"{_NAMES[key % 12]} {MODES[key // 12]}"


def profile_fits(weights: ArrayLike) -> NDArray[np.float64]:
    """(N, 24) correlation of pitch-class weights with the profile of each key, in [-1, 1]; 0 for constant weights.

    Args:
        weights: (N, 12) how long each pitch class sounds, in any unit, at least 0.

    Raises:
        SongError: for another shape, or weights that are negative or not finite.
    """
    centred = _checked(weights)
    centred = centred - centred.mean(axis=1, keepdims=True)
    profiles = _KEY_PROFILES - _KEY_PROFILES.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(centred, axis=1)[:, None] * np.linalg.norm(profiles, axis=1)
    return np.divide(centred @ profiles.T, scale, out=np.zeros_like(scale), where=scale > 1e-9)


def key_by_profile(weights: ArrayLike) -> NDArray[np.int64]:
    """(N,) the key whose profile correlates best with pitch-class weights (N, 12); of equal ones the first.

    Raises:
        SongError: as `profile_fits`.
    """
    fits = profile_fits(weights)
    return np.where((fits == 0).all(axis=1), NO_KEY, fits.argmax(axis=1))


@dataclass(frozen=True)
class SpiralArray:
    """Chew's spiral array (2000): pitches on a helix along the line of fifths, with triads and keys inside it.

    A triad lies at the weighted mean of root, fifth and third; a major key at that of the triads on the first, fifth
    and fourth degree. A minor key mixes, on its fifth degree, the major triad with the minor one, and on its fourth the
    minor with the major.

    The radius is 1. InferAlign (text2midi-InferAlign, its file `key_reward.py`) takes a step of 0.4 and the weights
    0.536, 0.274, 0.19. Users of Chew's thesis report √(2/15) and 0.516, 0.315, 0.168; the thesis itself was not
    consulted.

    Attributes:
        step: rise from one fifth to the next.
        weights: of root, fifth and third of a triad, and of first, fifth and fourth degree of a key.
        mix: share of the major triad on a minor key's fifth degree, and of the minor one on its fourth.
    """

    step: float = 0.4
    weights: tuple[float, float, float] = (0.536, 0.274, 0.19)
    mix: float = 0.75

    def pitch(self, fifths: ArrayLike) -> NDArray[np.float64]:
        """(…, 3) where pitches are that lie so many fifths above C."""
        steps = np.asarray(fifths, dtype=np.float64)
        return np.stack([np.sin(steps * np.pi / 2), np.cos(steps * np.pi / 2), steps * self.step], axis=-1)

    def triad(self, fifths: int, minor: bool = False) -> NDArray[np.float64]:
        """(3,) where the triad is whose root lies so many fifths above C."""
        return np.array(self.weights) @ self.pitch([fifths, fifths + 1, fifths - 3 if minor else fifths + 4])

    def key(self, fifths: int, minor: bool = False) -> NDArray[np.float64]:
        """(3,) where the key is whose tonic lies so many fifths above C."""
        fifth, fourth = self.triad(fifths + 1), self.triad(fifths - 1, minor)
        if minor:
            fifth = self.mix * fifth + (1 - self.mix) * self.triad(fifths + 1, minor=True)
            fourth = self.mix * fourth + (1 - self.mix) * self.triad(fifths - 1)
        return np.array(self.weights) @ np.stack([self.triad(fifths, minor), fifth, fourth])


INFERALIGN = SpiralArray()

# How pitch classes above C are spelled in C major and A minor, as fifths above C: D flat, E flat, G flat, A flat, B
# flat. InferAlign spells every key like this, from its own tonic (of a minor key, that of the relative major).
_SPELLING = np.array([0, -5, 2, -3, 4, -1, -6, 1, -4, 3, -2, 5])


def key_by_spiral(weights: ArrayLike, spiral: SpiralArray = INFERALIGN) -> NDArray[np.int64]:
    """(N,) the key that lies nearest to the mean position of the notes, for pitch-class weights (N, 12).

    InferAlign weighs a pitch class by the number of sixteenths in which it sounds, octaves counted each, in the first
    half of the piece without its drums; which half is the caller's affair. Its fixed spelling takes a minor key's
    raised leading note for a flat, so that it misses minor keys which `key_by_profile` finds.

    Args:
        weights: (N, 12) at least 0.
        spiral: its constants.

    Raises:
        SongError: as `profile_fits`.
    """
    weights = _checked(weights)
    total = weights.sum(axis=1)
    # (N, 12, 3): the mean position when the pitch classes are spelled from each of 12 tonics.
    spelled = weights[:, (np.arange(12)[:, None] + np.arange(12)) % 12] @ spiral.pitch(_SPELLING)
    centres = spelled / np.maximum(total, 1e-12)[:, None, None]
    major = np.linalg.norm(centres - spiral.key(0), axis=2)
    # A minor key on `t` has its relative major three semitones above.
    minor = np.linalg.norm(centres - spiral.key(3, minor=True), axis=2)[:, (np.arange(12) + 3) % 12]
    nearest = np.concatenate([major, minor], axis=1).argmin(axis=1)
    return np.where(total > 0, nearest, NO_KEY)


def scale_share(counts: ArrayLike, keys: ArrayLike) -> NDArray[np.float64]:
    """(N,) share of the notes that are in the scale of their song's key, in [0, 1]; NaN without notes or key.

    Args:
        counts: (N, 12) notes of each pitch class.
        keys: (N,) each song's key.

    Raises:
        SongError: for counts as in `profile_fits`, or what is no key.
    """
    counts, found = _checked(counts), np.asarray(keys)
    if found.shape != counts.shape[:1] or found.dtype.kind not in "iu" or ((found < NO_KEY) | (found > 23)).any():
        raise SongError(f"expected {len(counts)} keys from -1 to 23, got {found.tolist()}")
    total = counts.sum(axis=1)
    inside = (counts * _IN_SCALE[found]).sum(axis=1)
    return np.divide(inside, total, out=np.full(len(counts), np.nan), where=(total > 0) & (found != NO_KEY))


def common_pitch_share(counts: ArrayLike) -> NDArray[np.float64]:
    """(N,) share of the most common pitch among the notes, in (0, 1]; NaN without notes.

    Args:
        counts: (N, P) notes of each pitch.
    """
    numbers = np.asarray(counts, dtype=np.float64)
    total = numbers.sum(axis=1)
    return np.divide(numbers.max(axis=1), total, out=np.full(len(numbers), np.nan), where=total > 0)


def _checked(weights: Any) -> NDArray[np.float64]:
    found = np.asarray(weights, dtype=np.float64)
    if found.ndim != 2 or found.shape[1] != 12:
        raise SongError(f"expected weights of pitch classes (N, 12), got {list(found.shape)}")
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise SongError("expected finite weights of pitch classes, at least 0")
    return found
