"""Over-generalisation as a metric that sums over batches and processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from prefalign_vision_llm.metrics.functional.chair import checked_texts
from prefalign_vision_llm.metrics.functional.errors import MetricInputError, hint
from prefalign_vision_llm.metrics.functional.over_generalisation import SceneCounts
from prefalign_vision_llm.metrics.functional.vocabulary import ObjectVocabulary, coco_vocabulary
from prefalign_vision_llm.metrics.functional.words import caption_words

_STATES = ("mentions", "hallucinated", "inside_mentions", "inside_hallucinated")


class OverGeneralisation(Metric):
    """How much more a scene's usual objects are hallucinated inside it than overall (RLHF-V, table 2), in points.

    `compute()` gives scalars: `delta`, the mean over scenes, and `delta/SCENE` for each. Lower is better, and near 0
    means that a scene does not lead the model to name what usually goes with it. nan: nothing was mentioned to judge
    by.

    Args:
        scene_objects: scene to the objects that are usual in it; `frequent_objects` finds them.
        vocabulary: what counts as an object: an `ObjectVocabulary`, or object names for `ObjectVocabulary.of`. The COCO
            table of CHAIR by default.

    Raises:
        MetricInputError: no scenes, or an object that is not in the vocabulary.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    def __init__(
        self,
        scene_objects: Mapping[str, Iterable[str]],
        vocabulary: ObjectVocabulary | Iterable[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not scene_objects:
            raise MetricInputError("no scenes; expected a mapping of scene names to the objects that are usual in them")
        if vocabulary is None:
            vocabulary = coco_vocabulary()
        self.vocabulary = vocabulary if isinstance(vocabulary, ObjectVocabulary) else ObjectVocabulary.of(vocabulary)
        self.scene_objects = {scene: self.vocabulary.check(names) for scene, names in scene_objects.items()}
        for name in _STATES:  # (scenes,)
            self.add_state(name, torch.zeros(len(self.scene_objects), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, captions: Sequence[str], objects: Sequence[Iterable[str]], scenes: Sequence[str | None]) -> None:
        """Count N captions against the N sets of objects in their images and the N scenes (None: no named one).

        Raises:
            MetricInputError: N differs, a caption is not text, or an object or a scene is unknown.
        """
        captions, objects, scenes = checked_texts(captions, "captions"), list(objects), list(scenes)
        if not len(captions) == len(objects) == len(scenes):
            raise MetricInputError(
                f"{len(captions)} captions, {len(objects)} sets of objects, {len(scenes)} scenes; "
                "expected as many of each"
            )
        counts = SceneCounts(self.scene_objects)
        for caption, names, scene in zip(captions, objects, scenes, strict=True):
            if scene is not None and scene not in self.scene_objects:
                raise MetricInputError(f"unknown scene {scene!r}; {hint(str(scene), self.scene_objects)}")
            counts.add(self.vocabulary.mentions(caption_words(caption)), self.vocabulary.check(names), scene)
        for name in _STATES:
            tally, state = getattr(counts, name), getattr(self, name)
            state += torch.tensor([tally[scene] for scene in self.scene_objects], device=state.device)

    def compute(self) -> dict[str, Tensor]:
        """Return the scalars that the class names."""
        tallies = (
            Counter(dict(zip(self.scene_objects, getattr(self, name).tolist(), strict=True))) for name in _STATES
        )
        counts = SceneCounts(self.scene_objects, *tallies)
        deltas = {"delta": counts.delta(), **{f"delta/{scene}": delta for scene, delta in counts.deltas().items()}}
        return {name: torch.tensor(delta, device=self.device) for name, delta in deltas.items()}
