"""Within-prompt pairs of labelled clips: every good clip of a caption against every bad one of the same caption."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from prefalign.data.atomic import atomic_path
from prefalign.data.build import run_stages
from prefalign.data.canonical import record_to_dict
from prefalign.data.media import map_media
from prefalign.data.stages import AllLabelPairs, desirable
from prefalign.interfaces import Media, PreferenceRecord
from prefalign_audio.baton.labels import TASK

THRESHOLD = 0.5
"""A label above this counts as good where labels are not 0 and 1."""


@dataclass
class LabelCounts:
    """What a set of labels holds.

    Attributes:
        prompts: captions.
        clips: labelled clips.
        positives: clips that are good.
        mixed: captions with both good and bad clips.
        pairs: (good, bad) pairs within captions.
        tasks: captions by task.
    """

    prompts: int = 0
    clips: int = 0
    positives: int = 0
    mixed: int = 0
    pairs: int = 0
    tasks: Counter[str] = field(default_factory=Counter)

    def add(self, record: PreferenceRecord, threshold: float = THRESHOLD) -> None:
        """Count the clips of one caption."""
        labels = desirable(record, threshold) or ()
        good = sum(labels)
        self.prompts += 1
        self.clips += len(labels)
        self.positives += good
        self.mixed += 0 < good < len(labels)
        self.pairs += good * (len(labels) - good)
        self.tasks[str(record.prompt.conditions.get(TASK, "unknown"))] += 1


def count_labels(records: Iterable[PreferenceRecord], threshold: float = THRESHOLD) -> LabelCounts:
    """The counts of records with one label per response.

    Args:
        records: one a caption.
        threshold: above it a label that is neither 0 nor 1 is good.
    """
    counts = LabelCounts()
    for record in records:
        counts.add(record, threshold)
    return counts


def within_prompt_pairs(
    records: Iterable[PreferenceRecord], threshold: float = THRESHOLD
) -> Iterator[PreferenceRecord]:
    """The pairs, winner first, named `<id>/<winner>-<loser>`."""
    return run_stages(records, [AllLabelPairs(threshold)], seed=0)


def write_pairs(pairs: Iterable[PreferenceRecord], path: Path, media_folder: Path) -> int:
    """Write pairs as JSON lines with the clips' paths relative to their folder, whether the clips are there or not.

    Args:
        pairs: what to write.
        path: the file; what stood there stays if anything fails.
        media_folder: the clips' folder. Who reads the pairs names it, unless they lie beside the clips.

    Returns:
        How many there were.
    """

    def relative(medium: Media, field_name: str) -> Media:
        return medium if medium.path is None else replace(medium, path=os.path.relpath(medium.path, media_folder))

    count = 0
    with atomic_path(path) as partial, open(partial, "w", encoding="utf-8") as out:
        for pair in pairs:
            out.write(json.dumps(record_to_dict(map_media(pair, relative)), ensure_ascii=False) + "\n")
            count += 1
    return count
