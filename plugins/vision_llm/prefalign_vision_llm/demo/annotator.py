"""A scripted annotator: reads what the base says, checks it against the picture, and mends only what is wrong.

As in RLHF-V (Yu et al. 2024, section 3) the rejected response is the model's own and the chosen one is the same text
with its hallucinated segments corrected. Responses are sampled at temperature 1, since greedy ones would show fewer
kinds of error.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from prefalign_vision_llm.demo import language
from prefalign_vision_llm.demo.edits import Edit, apply_edits, character_span
from prefalign_vision_llm.demo.generation import ANSWER_TOKENS, CAPTION_TOKENS, replies
from prefalign_vision_llm.demo.scenes import Scene, World

Kind = Literal["caption", "question"]
EditKind = Literal["replace", "delete"]
Span = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Correction:
    """A response and its correction.

    ``edits`` names the changed places from left to right, and the spans at the same place are characters [start, stop)
    of the two texts. A deletion leaves nothing on the chosen side; there the word that now follows is marked, where the
    texts part.
    """

    image: int
    kind: Kind
    prompt: str
    chosen: str
    rejected: str
    edits: tuple[EditKind, ...]
    chosen_spans: tuple[Span, ...]
    rejected_spans: tuple[Span, ...]


@dataclasses.dataclass(frozen=True)
class Verified:
    """A response in which the annotator found nothing wrong."""

    image: int
    kind: Kind
    prompt: str
    response: str


@dataclasses.dataclass(frozen=True)
class Annotations:
    """All judgements, and ``counts`` of what was sampled, judged, edited and skipped."""

    corrections: tuple[Correction, ...]
    verified: tuple[Verified, ...]
    counts: dict[str, int]


def correct_caption(text: str, present: Sequence[str], world: World) -> Correction | None:
    """The correction of a well-formed caption (image 0), or None where every mention is in the picture.

    A mention of an absent object is replaced by a present object that the caption misses, in the order of ``present``;
    once there is none left, it is deleted with its "and". Repeated mentions of present objects are left alone.

    Raises ValueError for a text that is not a caption.
    """
    parsed = language.parse_caption(text, world.objects)
    if parsed is None:
        raise ValueError(f"not a caption of this world: {text!r}")
    opening, named = parsed
    missed = [name for name in present if name not in named]
    edits = []
    position = len(opening.split())  # of the article of the current mention
    deleted_from_start = True
    for name in named:
        if name in present:
            deleted_from_start = False
        elif missed:
            edits.append(_replacement(position, name, missed.pop(0)))
            deleted_from_start = False
        else:
            # With the "and" before it, or behind it where no mention before it is left.
            start = position if deleted_from_start else position - 1
            edits.append(Edit(start, start + 3))
        position += 3
    if not edits:
        return None
    return _correction("caption", language.DESCRIBE, text.split(), edits)


def correct_answer(text: str, name: str, present: Sequence[str]) -> Correction | None:
    """The correction of a yes/no answer about an object (image 0), or None where it is right.

    Raises ValueError for any other answer.
    """
    if text not in (language.YES, language.NO):
        raise ValueError(f"not an answer: {text!r}")
    truth = language.YES if name in present else language.NO
    if text == truth:
        return None
    return _correction("question", language.question(name), [text], [Edit(0, 1, (truth,))])


def _replacement(position: int, old: str, new: str) -> Edit:
    old_words, new_words = (language.with_article(name).split() for name in (old, new))
    if old_words[0] == new_words[0]:  # the article may stay
        return Edit(position + 1, position + 2, (new,))
    return Edit(position, position + 2, tuple(new_words))


def _correction(kind: Kind, prompt: str, rejected: Sequence[str], edits: Sequence[Edit]) -> Correction:
    chosen, segments = apply_edits(rejected, edits)
    return Correction(
        image=0,
        kind=kind,
        prompt=prompt,
        chosen=" ".join(chosen),
        rejected=" ".join(rejected),
        edits=tuple("delete" if segment.is_deletion else "replace" for segment in segments),
        # A deletion never ends the text (the full stop stays), so there is always a word after it.
        chosen_spans=tuple(
            character_span(chosen, (at, max(until, at + 1))) for at, until in (segment.chosen for segment in segments)
        ),
        rejected_spans=tuple(character_span(rejected, segment.rejected) for segment in segments),
    )


def annotate(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    world: World,
    scenes: Sequence[Scene],
    images: Sequence[Image.Image],
    caption_pairs: int,
    questions: int,
    seed: int,
) -> Annotations:
    """Sample a caption of every image and answers to ``questions`` random questions, and judge them.

    The first ``caption_pairs`` wrong captions become corrections. Replies that are unfinished or are no caption (no
    yes/no) are skipped and counted: an annotator would not mend them word by word.
    """
    rng = np.random.default_rng([seed, 2])
    asked = _asked_objects(scenes, world, questions, rng)
    captions = replies(
        model, processor, images, [language.DESCRIBE] * len(images), CAPTION_TOKENS, seed=int(rng.integers(2**31))
    )
    answers = replies(
        model,
        processor,
        [images[index] for index, _ in asked],
        [language.question(name) for _, name in asked],
        ANSWER_TOKENS,
        seed=int(rng.integers(2**31)),
    )
    corrections: list[Correction] = []
    verified: list[Verified] = []
    counts: Counter[str] = Counter(captions=len(captions), questions=len(answers))

    for index, reply in enumerate(captions):
        if not reply.finished or language.parse_caption(reply.text, world.objects) is None:
            counts["captions_skipped"] += 1
            continue
        correction = correct_caption(reply.text, scenes[index].objects, world)
        if correction is None:
            verified.append(Verified(index, "caption", language.DESCRIBE, reply.text))
        elif counts["caption_pairs"] < caption_pairs:
            counts["caption_pairs"] += 1
            counts.update(f"segments_{edit}d" for edit in correction.edits)
            corrections.append(dataclasses.replace(correction, image=index))

    for (index, name), reply in zip(asked, answers, strict=True):
        if not reply.finished or reply.text not in (language.YES, language.NO):
            counts["answers_skipped"] += 1
            continue
        correction = correct_answer(reply.text, name, scenes[index].objects)
        if correction is None:
            verified.append(Verified(index, "question", language.question(name), reply.text))
        else:
            counts["question_pairs"] += 1
            counts[f"{reply.text}_corrected"] += 1
            corrections.append(dataclasses.replace(correction, image=index))
    counts["verified"] = len(verified)
    return Annotations(tuple(corrections), tuple(verified), dict(counts))


def _asked_objects(
    scenes: Sequence[Scene], world: World, questions: int, rng: np.random.Generator
) -> list[tuple[int, str]]:
    """Image and object of each question: alternately a present object and an absent one of the same context.

    A scene that lacks nothing of its context is asked about an object that it has.
    """
    asked = []
    for number in range(questions):
        index = int(rng.integers(len(scenes)))
        absent = language.absent_companions(scenes[index], world)
        pool = absent if number % 2 and absent else scenes[index].objects
        asked.append((index, pool[rng.integers(len(pool))]))
    return asked
