"""The demonstration's world in photographs: cut-outs of animals, food and street things in place of drawn icons.

The pictures are those of Debian's package tuxpaint-stamps-default, which is fetched, not shipped. Most objects have
several photographs, of which a scene shows one at random. Held-out scenes are new arrangements of the same photographs:
what is measured is whether a model names what it sees, not whether it recognises a cow that it never saw.
"""

import hashlib
from pathlib import Path
from typing import TypedDict

import numpy as np
from PIL import Image

from prefalign_vision_llm.demo.rendering import CutoutLibrary, SpriteLibrary
from prefalign_vision_llm.demo.scenes import Context, World

#: Per object its photographs, by their paths in the package's folder of stamps, without the ending .png.
PHOTOGRAPHS: dict[str, tuple[str, ...]] = {
    "cow": ("animals/mammals/bovines/cow", "animals/mammals/bovines/cow_white"),
    "pig": ("animals/mammals/pig", "animals/mammals/pig_golden", "animals/mammals/pig_golden2"),
    "sheep": (
        "animals/mammals/bovines/ram",
        "animals/mammals/bovines/sheep",
        "animals/mammals/bovines/sheep_lamb",
    ),
    "chicken": ("animals/birds/chicken_profile", "animals/birds/hen", "animals/birds/rooster"),
    "apple": (
        "food/fruit/apple_fuji",
        "food/fruit/apple_granny_smith",
        "food/fruit/apple_green",
        "food/fruit/apple_red",
        "food/fruit/apple_sierra_beauty",
    ),
    "orange": ("food/fruit/mandarine", "food/fruit/orange", "food/fruit/sliced_orange"),
    "pepper": ("food/vegetables/pepper", "food/vegetables/yellowpepper"),
    "mushroom": ("food/vegetables/mushroom", "plants/mushrooms/cep", "plants/mushrooms/cep-1"),
    "car": ("vehicles/auto/beetle", "vehicles/auto/sedan", "vehicles/auto/sportscar2"),
    "truck": ("vehicles/auto/truck", "vehicles/emergency/firetruck", "vehicles/garbagetruck"),
    "mailbox": ("town/uk_post_box", "town/usps_mailbox"),
    "bin": ("household/garbagecan", "household/wheelie_bin"),
}

#: Twice the cells of the icons: a photograph of 12 pixels is a smudge.
PHOTOGRAPH_WORLD = World(
    contexts=(
        Context("farm", (206, 214, 168), ("cow", "pig", "sheep", "chicken")),
        Context("kitchen", (232, 216, 190), ("apple", "orange", "pepper", "mushroom")),
        Context("street", (190, 194, 202), ("car", "truck", "mailbox", "bin")),
    ),
    cell=32,
    object_size=(26, 30),
    max_offset=2,
)


class PhotographLibrary:
    """The photographs of :data:`PHOTOGRAPHS` in the package's folder of stamps.

    Raises ValueError for missing photographs, and whatever
    :class:`~prefalign_vision_llm.demo.rendering.CutoutLibrary` raises for unusable ones.
    """

    def __init__(self, folder: Path) -> None:
        paths = [path for several in PHOTOGRAPHS.values() for path in several]
        if missing := [f"{path}.png" for path in paths if not (folder / f"{path}.png").is_file()]:
            shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            raise ValueError(
                f"photographs: {folder} lacks {shown}; expected the folder usr/share/tuxpaint/stamps of the Debian "
                "package tuxpaint-stamps-default, which scripts/fetch_stamps.sh brings to "
                ".cache/tuxpaint-stamps/usr/share/tuxpaint/stamps"
            )
        self._cutouts = CutoutLibrary(folder, paths)
        # Which object a picture stands for is as much part of the data as its pixels.
        self.fingerprint = hashlib.sha256(f"{PHOTOGRAPHS}{self._cutouts.fingerprint}".encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """Objects this library can draw."""
        return tuple(PHOTOGRAPHS)

    def sprite(self, name: str, size: int, rng: np.random.Generator) -> Image.Image:
        """RGBA image whose longer side is ``size`` pixels; one of the object's photographs, uniformly."""
        several = PHOTOGRAPHS[name]
        return self._cutouts.sprite(several[rng.integers(len(several))], size, rng)


class Scenery(TypedDict):
    """What :func:`~prefalign_vision_llm.demo.preparation.prepare` takes in place of the icons."""

    world: World
    sprites: SpriteLibrary


def photograph_world(folder: Path) -> Scenery:
    """World and pictures of the demonstration on photographs, as keyword arguments of ``prepare``.

    ``folder`` is the package's folder of stamps. Raises ValueError, naming them, for photographs that it lacks.
    """
    return Scenery(world=PHOTOGRAPH_WORLD, sprites=PhotographLibrary(folder))
