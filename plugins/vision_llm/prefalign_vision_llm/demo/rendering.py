"""Scenes to pictures: paste one sprite a cell on a tinted, noisy canvas.

Sprites come from a library: drawn icons, or a folder of cut-out photographs. There is no crop and no flip anywhere:
either would make a caption of the picture false.
"""

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from prefalign_vision_llm.demo.scenes import Scene, World


class SpriteLibrary(Protocol):
    """Pictures of single objects on a transparent ground."""

    @property
    def fingerprint(self) -> str:
        """Changes when a sprite changes, so that prepared data is not reused for other pictures."""

    @property
    def names(self) -> tuple[str, ...]:
        """Objects this library can draw."""

    def sprite(self, name: str, size: int, rng: np.random.Generator) -> Image.Image:
        """RGBA image whose longer side is ``size`` pixels; ``rng`` picks one where the library has several."""


class CutoutLibrary:
    """Cut-out images in a folder: ``cup.png`` for one picture of a cup, or ``cup/*.png`` for several.

    Empty margins are trimmed and the rest is scaled, keeping its shape. Raises ValueError for an object without a
    picture, a picture that cannot be read, has no transparent ground or is empty, and for a link that leads out of the
    folder.
    """

    def __init__(self, folder: Path | str, objects: Iterable[str]) -> None:
        root = Path(folder).resolve()
        self._images: dict[str, list[Image.Image]] = {}
        digest = hashlib.sha256()
        for name in objects:
            files = [root / f"{name}.png"] if (root / f"{name}.png").is_file() else sorted((root / name).glob("*.png"))
            if not files:
                raise ValueError(f"cut-outs: neither {name}.png nor a folder {name} with PNG files in {root}")
            for file in files:
                if not file.resolve().is_relative_to(root):
                    raise ValueError(f"cut-outs: {file} leads out of {root}")
                digest.update(f"{name}\0".encode() + file.read_bytes())
            self._images[name] = [_read_cutout(file) for file in files]
        self.fingerprint = digest.hexdigest()
        self._scaled = functools.cache(self._scale)

    @property
    def names(self) -> tuple[str, ...]:
        """Objects this library can draw."""
        return tuple(self._images)

    def sprite(self, name: str, size: int, rng: np.random.Generator) -> Image.Image:
        """RGBA image whose longer side is ``size`` pixels; one of the object's pictures, uniformly."""
        return self._scaled(name, int(rng.integers(len(self._images[name]))), size)

    def _scale(self, name: str, index: int, size: int) -> Image.Image:
        image = self._images[name][index]
        scale = size / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        return image.resize((width, height), Image.Resampling.LANCZOS)


def _read_cutout(file: Path) -> Image.Image:
    try:
        with Image.open(file, formats=["PNG"]) as image:
            if not image.has_transparency_data:
                raise ValueError(f"cut-outs: {file} has no transparent ground (mode {image.mode}); expected RGBA")
            rgba = image.convert("RGBA")
    except OSError as error:
        raise ValueError(f"cut-outs: {file} cannot be read as a PNG image: {error}") from error
    box = rgba.getchannel("A").getbbox()
    if box is None:
        raise ValueError(f"cut-outs: {file} is transparent everywhere")
    return rgba.crop(box)


def render(scene: Scene, world: World, sprites: SpriteLibrary) -> Image.Image:
    """Draw a scene as an RGB image of ``world.image_size`` pixels a side. The same scene gives the same pixels."""
    rng = np.random.default_rng(scene.seed)
    tint = tuple(np.clip(np.add(world.context(scene.context).tint, scene.tint_shift), 0, 255).tolist())
    canvas = Image.new("RGB", (world.image_size, world.image_size), tint)
    for placement in scene.placements:
        sprite = sprites.sprite(placement.object, placement.size, rng)
        row, column = divmod(placement.cell, world.grid)
        # A cut-out that is not square is centred in the square it was given.
        x = column * world.cell + placement.offset[0] + (placement.size - sprite.width) // 2
        y = row * world.cell + placement.offset[1] + (placement.size - sprite.height) // 2
        canvas.paste(sprite, (x, y), mask=sprite)
    pixels = np.asarray(canvas, dtype=np.float32) + rng.normal(0.0, world.pixel_noise, (*canvas.size, 3)).astype(
        np.float32
    )
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
