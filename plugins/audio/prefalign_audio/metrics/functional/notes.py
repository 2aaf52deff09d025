"""Which notes of a score were heard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_audio.songs.timed import TimedNotes

#: Differences of time are rounded to this many decimals of a second before they are compared, as mir_eval does.
_DECIMALS = 4


@dataclass(frozen=True)
class NoteCounts:
    """Notes of one sound, or of several, which add up.

    Attributes:
        matched: pairs of an asked and a heard note.
        asked, heard: how many there are of each.
    """

    matched: int
    asked: int
    heard: int

    @property
    def precision(self) -> float:
        """Share of the heard notes that were asked for; NaN where none was heard."""
        return self.matched / self.heard if self.heard else float("nan")

    @property
    def recall(self) -> float:
        """Share of the asked notes that were heard; NaN where none was asked for."""
        return self.matched / self.asked if self.asked else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both, 2 · matched / (asked + heard); NaN without any note."""
        both = self.asked + self.heard
        return 2 * self.matched / both if both else float("nan")

    def __add__(self, other: NoteCounts) -> NoteCounts:
        """Both together."""
        return NoteCounts(self.matched + other.matched, self.asked + other.asked, self.heard + other.heard)


def match_notes(asked: TimedNotes, heard: TimedNotes, seconds: float = 0.05, semitones: float = 0.5) -> NoteCounts:
    """The most pairs of an asked and a heard note of one pitch that begin together, each note in at most one pair.

    Where notes end plays no part. The defaults are MIREX's and mir_eval's: 50 ms and 50 cents, both inclusive.

    Args:
        asked: notes of the score.
        heard: notes of the transcription.
        seconds: by which onsets may differ.
        semitones: by which pitches may differ.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    together = np.abs(asked.onsets[:, None] - heard.onsets).round(_DECIMALS) <= seconds
    alike = np.abs(asked.pitches[:, None] - heard.pitches) <= semitones
    pairs = csr_matrix(together & alike)
    matched = int((maximum_bipartite_matching(pairs) >= 0).sum()) if pairs.nnz else 0
    return NoteCounts(matched, len(asked), len(heard))
