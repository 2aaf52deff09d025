"""Over-generalisation: are the usual objects of a scene hallucinated more inside it (RLHF-V, table 2)?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from prefalign_vision_llm.metrics.functional.chair import percent
from prefalign_vision_llm.metrics.functional.errors import MetricInputError


def frequent_objects(
    objects: Sequence[Iterable[str]], scenes: Sequence[str | None], top: int = 10
) -> dict[str, tuple[str, ...]]:
    """Find the objects that most images of each scene hold: the `scene_objects` of the counts below.

    Args:
        objects: N sets of object names, one an image.
        scenes: N scene names; None for an image of no named scene.
        top: objects kept a scene, most frequent first, ties by name. RLHF-V takes 10.

    Raises:
        MetricInputError: N differs, or `top` is below 1.
    """
    if len(objects) != len(scenes) or top < 1:
        raise MetricInputError(
            f"{len(objects)} object sets, {len(scenes)} scenes, top {top}; expected one scene a set, top >= 1"
        )
    tallies: dict[str, Counter[str]] = {}
    for names, scene in zip(objects, scenes, strict=True):
        if scene is not None:
            tallies.setdefault(scene, Counter()).update(set(names))
    return {
        scene: tuple(sorted(sorted(tally), key=tally.__getitem__, reverse=True)[:top])
        for scene, tally in tallies.items()
    }


@dataclass
class SceneCounts:
    """Mentions of each scene's own objects, inside the scene and over all images. Counts of disjoint sets add up.

    Attributes:
        scene_objects: scene to the objects that are usual in it.
        mentions, hallucinated: scene to the mentions of its objects in all captions, and those of them that are not in
            the image.
        inside_mentions, inside_hallucinated: the same in captions of images of the scene.
    """

    scene_objects: Mapping[str, AbstractSet[str]]
    mentions: Counter[str] = field(default_factory=Counter)
    hallucinated: Counter[str] = field(default_factory=Counter)
    inside_mentions: Counter[str] = field(default_factory=Counter)
    inside_hallucinated: Counter[str] = field(default_factory=Counter)

    def add(self, mentioned: Sequence[str], present: AbstractSet[str], scene: str | None) -> None:
        """Count one caption, given its mentions, the objects and the scene of its image (None: no named one)."""
        for name, own in self.scene_objects.items():
            usual = [item for item in mentioned if item in own]
            invented = sum(item not in present for item in usual)
            self.mentions[name] += len(usual)
            self.hallucinated[name] += invented
            if scene == name:
                self.inside_mentions[name] += len(usual)
                self.inside_hallucinated[name] += invented

    def __add__(self, other: SceneCounts) -> SceneCounts:
        if self.scene_objects != other.scene_objects:
            raise MetricInputError("counts over different scenes cannot be added")
        return SceneCounts(
            self.scene_objects,
            self.mentions + other.mentions,
            self.hallucinated + other.hallucinated,
            self.inside_mentions + other.inside_mentions,
            self.inside_hallucinated + other.inside_hallucinated,
        )

    def deltas(self) -> dict[str, float]:
        """Scene to its delta: the hallucination rate of its objects inside it minus their overall rate, in points.

        nan where no caption inside the scene mentions any of its objects: 0 would read as "no bias".
        """
        return {
            scene: percent(self.inside_hallucinated[scene], self.inside_mentions[scene])
            - percent(self.hallucinated[scene], self.mentions[scene])
            if self.inside_mentions[scene]
            else math.nan
            for scene in self.scene_objects
        }

    def delta(self) -> float:
        """Mean delta of the scenes that have one, in points; nan where none has."""
        known = [delta for delta in self.deltas().values() if not math.isnan(delta)]
        return sum(known) / len(known) if known else math.nan
