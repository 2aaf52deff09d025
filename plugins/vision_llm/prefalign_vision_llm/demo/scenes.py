"""What a synthetic picture may contain, and how its contents are drawn at random.

A :class:`World` is data: which contexts exist, which objects belong to each, and the geometry of the canvas. The
default world uses the icons of :mod:`prefalign_vision_llm.demo.icons`; a world of other objects goes with a folder of
cut-out images.
"""

import dataclasses
import difflib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

_WORD = re.compile(r"[a-z]+")

#: Chance that an object of a *biased* scene is drawn from its context rather than from all objects.
BIASED = 0.75
#: The same chance in a *balanced* scene, where context and objects are independent.
BALANCED = 0.0


@dataclasses.dataclass(frozen=True)
class Context:
    """A kind of place: its background colour (R, G, B in 0..255) and the objects usually met there."""

    name: str
    tint: tuple[int, int, int]
    objects: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class World:
    """Everything that scenes are made of. Lengths are pixels; the canvas is square, ``grid`` cells of ``cell`` pixels a
    side.

    Raises ValueError where an object would not fit into its cell or a name is no single lower-case word.
    """

    contexts: tuple[Context, ...]
    grid: int = 3
    cell: int = 16
    object_size: tuple[int, int] = (12, 14)
    max_offset: int = 2
    max_objects: int = 4
    tint_jitter: int = 6
    pixel_noise: float = 6.0

    def __post_init__(self) -> None:
        names = [*self.objects, *(context.name for context in self.contexts)]
        for name in names:
            # One word, so that it is one token; letters only, so that it is also a safe file name.
            if not _WORD.fullmatch(name):
                raise ValueError(f"world: {name!r} must be one word of the letters a-z")
            if names.count(name) > 1:
                raise ValueError(f"world: the name {name!r} is used twice")
        smallest, largest = self.object_size
        if not 1 <= smallest <= largest or self.max_offset < 0 or largest + self.max_offset > self.cell:
            raise ValueError(
                f"world: objects of {smallest} to {largest} pixels, shifted by up to {self.max_offset}, "
                f"do not fit into cells of {self.cell} pixels"
            )
        if not 1 <= self.max_objects <= min(self.grid**2, len(self.objects)):
            raise ValueError(
                f"world: max_objects is {self.max_objects}, but there are {len(self.objects)} objects "
                f"and {self.grid**2} cells to put them in"
            )

    @property
    def objects(self) -> tuple[str, ...]:
        """All object names, in the order of their contexts."""
        return tuple(name for context in self.contexts for name in context.objects)

    @property
    def image_size(self) -> int:
        """Side of the square canvas in pixels."""
        return self.grid * self.cell

    def context(self, name: str) -> Context:
        """The context of that name; an unknown one raises ValueError and suggests the near ones."""
        for context in self.contexts:
            if context.name == name:
                return context
        raise ValueError(f"unknown context {name!r}{_near(name, [context.name for context in self.contexts])}")

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "World":
        """Read a world from plain data, as parsed from JSON or YAML: the inverse of :meth:`as_mapping`."""
        known = [field.name for field in dataclasses.fields(cls)]
        for key in mapping:
            if key not in known:
                raise ValueError(f"world: unknown field {key!r}{_near(key, known)}")
        fields = dict(mapping)
        try:
            fields["contexts"] = tuple(
                Context(item["name"], tuple(item["tint"]), tuple(item["objects"])) for item in mapping["contexts"]
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"world: 'contexts' must be a list of {{name, tint, objects}}: {error!r}") from error
        if "object_size" in fields:
            fields["object_size"] = tuple(fields["object_size"])
        return cls(**fields)

    def as_mapping(self) -> dict[str, Any]:
        """The world as plain data that JSON can hold."""
        plain = dataclasses.asdict(self)
        plain["object_size"] = list(self.object_size)
        plain["contexts"] = [
            {"name": context.name, "tint": list(context.tint), "objects": list(context.objects)}
            for context in self.contexts
        ]
        return plain


ICON_WORLD = World(
    contexts=(
        Context("kitchen", (232, 216, 190), ("cup", "plate", "bottle", "pan")),
        Context("office", (190, 200, 214), ("laptop", "book", "lamp", "phone")),
        Context("park", (200, 226, 196), ("tree", "dog", "bench", "kite")),
    )
)


@dataclasses.dataclass(frozen=True)
class Placement:
    """One object in one cell (row-major index); offset and size in pixels."""

    object: str
    cell: int
    offset: tuple[int, int]
    size: int


@dataclasses.dataclass(frozen=True)
class Scene:
    """A picture before it is drawn. ``seed`` fixes what drawing leaves to chance: pixel noise, choice of cut-out."""

    context: str
    placements: tuple[Placement, ...]
    tint_shift: tuple[int, int, int]
    seed: int

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects in the scene, all different."""
        return tuple(placement.object for placement in self.placements)


def sample_scene(world: World, affinity: float, rng: np.random.Generator) -> Scene:
    """Draw a scene: context uniform, 1 to ``max_objects`` different objects (uniform number) in random cells.

    Each object comes with probability ``affinity`` from the context and otherwise from all objects, uniformly over
    those that the scene does not yet contain.
    """
    context = world.contexts[rng.integers(len(world.contexts))]
    count = int(rng.integers(1, world.max_objects + 1))
    chosen: list[str] = []
    for _ in range(count):
        companions = [name for name in context.objects if name not in chosen]
        pool = companions if companions and rng.random() < affinity else [o for o in world.objects if o not in chosen]
        chosen.append(pool[rng.integers(len(pool))])
    cells = rng.permutation(world.grid**2)[:count]
    low, high = world.object_size
    placements = tuple(
        Placement(
            object=name,
            cell=int(cell),
            offset=(int(rng.integers(world.max_offset + 1)), int(rng.integers(world.max_offset + 1))),
            size=int(rng.integers(low, high + 1)),
        )
        for name, cell in zip(chosen, cells, strict=True)
    )
    red, green, blue = (int(shift) for shift in rng.integers(-world.tint_jitter, world.tint_jitter + 1, size=3))
    return Scene(context.name, placements, (red, green, blue), seed=int(rng.integers(2**32)))


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else f"; known: {', '.join(known)}"
