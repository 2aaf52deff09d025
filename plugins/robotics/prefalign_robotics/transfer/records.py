"""Transferred answers as preference records."""

from __future__ import annotations

import numpy as np

from prefalign.interfaces import PreferenceRecord
from prefalign_robotics.segments.records import comparison_records
from prefalign_robotics.segments.segments import Comparisons, Segments
from prefalign_robotics.transfer.transfer import Transfer


def transferred_records(segments: Segments, found: Transfer) -> list[PreferenceRecord]:
    """The answers as records with soft labels; pairs without answer are left out."""
    answered = np.isfinite(found.probability)
    comparisons = Comparisons(found.pairs[answered], found.probability[answered].clip(0, 1))
    return comparison_records(segments, comparisons, "transferred")
