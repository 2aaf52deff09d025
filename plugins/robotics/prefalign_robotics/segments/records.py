"""Compared segments as preference records that carry the behaviour itself."""

from __future__ import annotations

from prefalign.interfaces import PreferenceRecord, Prompt, Response
from prefalign_robotics.segments.pairs import Source, verdict_of
from prefalign_robotics.segments.segments import Comparisons, Segments


def comparison_records(segments: Segments, comparisons: Comparisons, source: Source) -> list[PreferenceRecord]:
    """One record a comparison; the first segment of a pair is response 0, the second 1.

    Args:
        segments: what was compared. Its name is the prompt, and begins the ids.
        comparisons: of these segments; a soft label becomes the verdict's probability.
        source: who judged.

    Raises:
        SegmentError: if a comparison names a segment that is not there.
        RecordError: if one of two equal segments is preferred.
    """
    name = segments.name
    return [
        PreferenceRecord(
            id=f"{name}-{first}-{second}",
            prompt=Prompt(text=name),
            responses=tuple(
                Response(arrays={"observations": segments.observations[row], "actions": segments.actions[row]})
                for row in (first, second)
            ),
            verdict=verdict_of(float(label)),
            source=name,
            provenance={"source": source},
        )
        for (first, second), label in zip(comparisons.within(segments).pairs, comparisons.labels, strict=True)
    ]
