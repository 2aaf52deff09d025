"""What the model says about held-out pictures: CHAIR and recall of captions, over-generalisation, and POPE questions.

Counting is done by the plugin's own metrics; here is only what is peculiar to the demonstration.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from prefalign_vision_llm.demo import language
from prefalign_vision_llm.demo.generation import ANSWER_TOKENS, CAPTION_TOKENS, Reply, replies
from prefalign_vision_llm.demo.heldout import Heldout
from prefalign_vision_llm.demo.scenes import Scene, World
from prefalign_vision_llm.metrics.functional.chair import ChairCounts
from prefalign_vision_llm.metrics.functional.over_generalisation import SceneCounts
from prefalign_vision_llm.metrics.functional.pope import PopeCounts


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Figures in percent (``delta`` in points) with the captions they come from.

    ``figures`` holds chair_i, chair_s, recall, delta, words (mean caption length), unfinished and repeated_mentions
    (counts), and for each POPE split accuracy, f1, yes_ratio and unparsed as ``pope/SPLIT/NAME``. ``hallucinated`` and
    ``mentioned`` count mentions by object.
    """

    figures: Mapping[str, float]
    hallucinated: Mapping[str, int]
    mentioned: Mapping[str, int]
    captions: Sequence[str]

    def as_mapping(self) -> dict[str, Any]:
        """The evaluation as plain data that JSON can hold."""
        return dataclasses.asdict(self)


def evaluate(
    model: LlavaForConditionalGeneration, processor: LlavaProcessor, heldout: Heldout, images: Sequence[Image.Image]
) -> Evaluation:
    """Caption every held-out image greedily, ask every question once, and count. ``images`` are those of
    ``heldout.scenes``.
    """
    captions = replies(model, processor, images, [language.DESCRIBE] * len(images), CAPTION_TOKENS)
    asked = sorted({(item.image, item.object) for split in heldout.questions.values() for item in split})
    answers = replies(
        model,
        processor,
        [images[index] for index, _ in asked],
        [language.question(name) for _, name in asked],
        ANSWER_TOKENS,
    )
    answer_of = dict(zip(asked, (answer.text for answer in answers), strict=True))
    chair, figures = _caption_figures(captions, heldout.scenes, heldout.world)
    for split, items in heldout.questions.items():
        counts = PopeCounts()
        for item in items:
            counts.add(answer_of[item.image, item.object], item.label)
        for name in ("accuracy", "f1", "yes_ratio", "unparsed"):
            figures[f"pope/{split}/{name}"] = getattr(counts, name)
    return Evaluation(
        figures,
        {name: chair.hallucinated[name] for name in heldout.world.objects},
        {name: chair.mentions[name] for name in heldout.world.objects},
        [caption.text for caption in captions],
    )


def _caption_figures(
    captions: Sequence[Reply], scenes: Sequence[Scene], world: World
) -> tuple[ChairCounts, dict[str, float]]:
    chair = ChairCounts()
    contexts = SceneCounts({context.name: frozenset(context.objects) for context in world.contexts})
    repeated = 0
    for caption, scene in zip(captions, scenes, strict=True):
        named = language.mentions(caption.text, world.objects)
        chair.add(named, frozenset(scene.objects))
        contexts.add(named, frozenset(scene.objects), scene.context)
        repeated += len(named) - len(set(named))
    return chair, {
        "chair_i": chair.chair_i,
        "chair_s": chair.chair_s,
        "recall": chair.recall,
        "delta": contexts.delta(),
        "words": statistics.fmean(len(caption.text.split()) for caption in captions),
        "unfinished": float(sum(not caption.finished for caption in captions)),
        "repeated_mentions": float(repeated),
    }
