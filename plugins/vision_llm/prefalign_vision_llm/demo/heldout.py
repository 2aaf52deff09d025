"""The held-out pictures and the questions asked about them, as one file beside the pictures."""

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from prefalign_vision_llm.demo import language
from prefalign_vision_llm.demo.scenes import Placement, Scene, World

POPE_SPLITS = ("random", "popular", "adversarial")
_FEWEST_OBJECTS = 2  # the published questions ask for 3; scenes here have at most 4
_POSITIVES = 3


@dataclasses.dataclass(frozen=True)
class PopeQuestion:
    """Is ``object`` in held-out picture number ``image``? ``label`` is yes or no."""

    image: int
    object: str
    label: str


@dataclasses.dataclass(frozen=True)
class Heldout:
    """Balanced scenes, in which usual companions are often missing, and POPE questions by split."""

    world: World
    scenes: tuple[Scene, ...]
    questions: Mapping[str, tuple[PopeQuestion, ...]]

    def save(self, folder: Path) -> None:
        """Write ``heldout.json``."""
        plain: dict[str, Any] = {
            "world": self.world.as_mapping(),
            "scenes": [{**dataclasses.asdict(scene), "objects": list(scene.objects)} for scene in self.scenes],
            "questions": {split: [dataclasses.asdict(q) for q in items] for split, items in self.questions.items()},
        }
        (folder / "heldout.json").write_text(json.dumps(plain) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Heldout":
        """Read what :meth:`save` wrote; raises ValueError if it is anything else."""
        file = folder / "heldout.json"
        try:
            plain = json.loads(file.read_text(encoding="utf-8"))
            scenes = tuple(
                Scene(
                    scene["context"],
                    tuple(
                        Placement(p["object"], p["cell"], tuple(p["offset"]), p["size"]) for p in scene["placements"]
                    ),
                    tuple(scene["tint_shift"]),
                    scene["seed"],
                )
                for scene in plain["scenes"]
            )
            questions = {split: tuple(PopeQuestion(**q) for q in items) for split, items in plain["questions"].items()}
            return cls(World.from_mapping(plain["world"]), scenes, questions)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{file} is not what the preparation writes ({error!r}); prepare it again") from error

    def images(self, folder: Path) -> list[Image.Image]:
        """The pictures of the scenes, in order, from the prepared folder."""
        found = []
        for index in range(len(self.scenes)):
            with Image.open(folder / image_path("heldout", index), formats=["PNG"]) as image:
                found.append(image.convert("RGB"))
        return found


def image_path(split: str, index: int) -> str:
    """Where the picture of a scene lies, relative to the prepared folder."""
    return f"images/{split}/{index:05d}.png"


def pope_questions(
    heldout: Sequence[Scene], annotations: Sequence[Scene], world: World, images: int, rng: np.random.Generator
) -> dict[str, tuple[PopeQuestion, ...]]:
    """Questions of the three splits about the first ``images`` held-out scenes with at least 2 objects (Li et al.
    2023).

    Up to 3 present objects a scene, each followed by an absent one that this scene was not yet asked about: a random
    one, the most frequent one of ``annotations``, or the one that occurs there most often beside the present object
    just asked (a random one if none ever did). Half of the labels of each split are yes.
    """
    frequency = Counter(name for scene in annotations for name in scene.objects)
    together = Counter(pair for scene in annotations for pair in itertools.permutations(scene.objects, 2))
    chosen = [index for index, scene in enumerate(heldout) if len(scene.objects) >= _FEWEST_OBJECTS][:images]
    questions: dict[str, list[PopeQuestion]] = {split: [] for split in POPE_SPLITS}
    for index, split in itertools.product(chosen, POPE_SPLITS):
        present = heldout[index].objects
        # In random order, so that ties and the fall-back are random: max takes the first of equals.
        absent = [name for name in rng.permutation(list(world.objects)).tolist() if name not in present]
        for positive in present[: min(_POSITIVES, len(absent))]:
            rank: Mapping[str, int] = {
                "random": dict.fromkeys(absent, 0),
                "popular": frequency,
                "adversarial": {name: together[positive, name] for name in absent},
            }[split]
            negative = max(absent, key=rank.__getitem__)
            absent.remove(negative)
            questions[split] += [
                PopeQuestion(index, positive, language.YES),
                PopeQuestion(index, negative, language.NO),
            ]
    return {split: tuple(items) for split, items in questions.items()}
