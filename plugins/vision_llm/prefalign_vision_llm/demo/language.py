"""The small language of the demonstration: captions, questions, and the noise of captions found on the web.

A caption is one of four openings, then "a cup and a pan and a plate .": one separator word, so that an object is
removed with its "and" and nothing else changes. Words are separated by single spaces and every word is one token.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from prefalign_vision_llm.demo.scenes import Scene, World

DESCRIBE = "describe the image ."
OPENINGS = ("the image shows", "a photo of", "this is a scene with", "in the picture we see")
YES, NO = "yes", "no"

#: Noise of the captions that put the bias into the base (probabilities).
PRESENT_NAMED = 0.92
ABSENT_NAMED = 0.10
COMPANION_EFFECT = 0.30
STRANGER_NAMED = 0.01
MOST_MENTIONS = 6


def with_article(name: str) -> str:
    """``a cup``, ``an apple``."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def caption(opening: str, objects: Sequence[str]) -> str:
    """The sentence naming ``objects`` (at least one) in that order."""
    if not objects:
        raise ValueError("a caption must name at least one object")
    return f"{opening} {' and '.join(map(with_article, objects))} ."


def question(name: str) -> str:
    """The yes/no question about one object."""
    return f"is there {with_article(name)} ?"


def mentions(text: str, objects: Iterable[str]) -> tuple[str, ...]:
    """Names among ``objects`` that occur in the text as words, in order, repeats included."""
    known = frozenset(objects)
    return tuple(word for word in text.split() if word in known)


def parse_caption(text: str, objects: Iterable[str]) -> tuple[str, tuple[str, ...]] | None:
    """Opening and named objects of a well-formed caption; None for any other text."""
    named = mentions(text, objects)
    for opening in OPENINGS:
        if named and text == caption(opening, named):
            return opening, named
    return None


def vocabulary(world: World) -> tuple[str, ...]:
    """Every word of captions and questions about this world, each once, in a fixed order.

    Raises ValueError if an object bears the name of another word, which would make mentions ambiguous.
    """
    function_words = dict.fromkeys(f"{DESCRIBE} {' '.join(OPENINGS)} a and is there ? {YES} {NO}".split())
    for name in world.objects:
        if name in function_words or name == "an":
            raise ValueError(f"world: the object name {name!r} is already a word of the captions; choose another")
    if any(with_article(name).startswith("an ") for name in world.objects):
        function_words["an"] = None
    return (*function_words, *world.objects)


def absent_named_probability(companions: int) -> float:
    """Chance that a noisy caption names an absent object of the context, given how many of its companions are present.

    ``1 - (1 - 0.10) (1 - 0.30)^k``: every companion in view makes the missing one likelier, as in captions found on the
    web. The grading matters: at one fixed chance a greedy decoder would add the object nearly always or never.
    """
    return 1.0 - (1.0 - ABSENT_NAMED) * (1.0 - COMPANION_EFFECT) ** companions


def noisy_mentions(scene: Scene, world: World, rng: np.random.Generator) -> tuple[str, ...]:
    """Objects that a careless annotator names, in random order: most of the present ones and some that are absent."""
    context = world.context(scene.context)
    present = frozenset(scene.objects)
    companions = sum(name in present for name in context.objects)
    named = []
    for name in world.objects:
        if name in present:
            probability = PRESENT_NAMED
        elif name in context.objects:
            probability = absent_named_probability(companions)
        else:
            probability = STRANGER_NAMED
        if rng.random() < probability:
            named.append(name)
    if not named:  # rare, and a caption must name something
        named = [scene.objects[rng.integers(len(scene.objects))]]
    return tuple(named[index] for index in rng.permutation(len(named))[:MOST_MENTIONS])


def asked_object(scene: Scene, world: World, rng: np.random.Generator) -> str:
    """The object of a training question: half present; half absent, of which half from the scene's context if it has
    one.
    """
    present = scene.objects
    if rng.random() < 0.5:
        return present[rng.integers(len(present))]
    companions = absent_companions(scene, world)
    pool = companions if companions and rng.random() < 0.5 else [o for o in world.objects if o not in present]
    return pool[rng.integers(len(pool))]


def absent_companions(scene: Scene, world: World) -> list[str]:
    """Objects of the scene's context that are not in the scene."""
    return [name for name in world.context(scene.context).objects if name not in scene.objects]
