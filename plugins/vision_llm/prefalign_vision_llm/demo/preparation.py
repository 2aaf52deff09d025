"""Everything before preference training, in one folder: pictures, base model, corrections and held-out questions.

The folder holds

    settings.json              what it is made from; written first
    base/                      model and processor, for ``from_pretrained``; pretraining.json tells how training went
    images/corrections/*.png   pictures that corrections and verified responses refer to
    images/heldout/*.png       pictures of the evaluation
    pairs.jsonl                corrections with weighted segments; pairs-plain.jsonl the same unweighted
    verified.jsonl             responses without error
    heldout.json               held-out scenes and questions
    manifest.json              counts, figures of the base, seconds and versions; written last
"""

import dataclasses
import json
import math
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration, LlavaProcessor

from prefalign_vision_llm.demo.annotator import annotate
from prefalign_vision_llm.demo.evaluation import evaluate
from prefalign_vision_llm.demo.heldout import Heldout, image_path, pope_questions
from prefalign_vision_llm.demo.icons import IconLibrary
from prefalign_vision_llm.demo.model import build_model
from prefalign_vision_llm.demo.pretraining import AnnotatedScenes, PretrainingRecipe, pretrain
from prefalign_vision_llm.demo.processor import build_processor
from prefalign_vision_llm.demo.records import write_annotations
from prefalign_vision_llm.demo.rendering import SpriteLibrary, render
from prefalign_vision_llm.demo.scenes import BALANCED, BIASED, ICON_WORLD, Scene, World, sample_scene

Log = Callable[[str], None]
_PRODUCTS = ("base", "pairs.jsonl", "pairs-plain.jsonl", "verified.jsonl", "heldout.json", "manifest.json")


@dataclasses.dataclass(frozen=True)
class DemoSizes:
    """How many scenes, pairs and questions; ``caption_pairs`` is the most that wrong captions may give."""

    vision_scenes: int = 4000
    pretraining_scenes: int = 4000
    correction_scenes: int = 1600
    caption_pairs: int = 900
    questions: int = 1200
    heldout_scenes: int = 400
    pope_images: int = 250
    pretraining: PretrainingRecipe = dataclasses.field(default_factory=PretrainingRecipe)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"sizes: {field.name} is {value}, expected at least 1")


def prepare(
    out: Path,
    seed: int,
    sizes: DemoSizes,
    log: Log,
    world: World = ICON_WORLD,
    sprites: SpriteLibrary | None = None,
) -> None:
    """Fill the folder ``out``, or leave it as it is if it is complete; an unfinished one is taken up after its last
    stage.

    Raises ValueError for a folder with other contents or of other settings, and for objects that ``sprites`` (the icons
    by default) cannot draw; :class:`~prefalign_vision_llm.demo.pretraining.GateNotReachedError` if the base did not
    learn to see.
    """
    sprites = sprites if sprites is not None else IconLibrary()
    if undrawn := [name for name in world.objects if name not in sprites.names]:
        raise ValueError(f"no sprite for {', '.join(undrawn)}; the library draws {', '.join(sprites.names)}")
    _claim(out, _settings(seed, sizes, world, sprites))
    if all((out / name).exists() for name in _PRODUCTS):
        log(f"{out} is complete; using it again")
        return

    clock = _Clock()
    pretraining_scenes = _scenes(seed, "pretraining", sizes.pretraining_scenes, world, BIASED)
    if not (out / "base").exists():
        with clock.stage("pretraining"):
            _make_base(out / "base", seed, sizes, world, sprites, pretraining_scenes, log)
    model = LlavaForConditionalGeneration.from_pretrained(out / "base").eval()
    processor = AutoProcessor.from_pretrained(out / "base")

    with clock.stage("corrections"):
        scenes = _scenes(seed, "corrections", sizes.correction_scenes, world, BIASED)
        images = [render(scene, world, sprites) for scene in scenes]
        found = annotate(model, processor, world, scenes, images, sizes.caption_pairs, sizes.questions, seed)
        shown = {item.image for item in found.corrections} | {item.image for item in found.verified}
        _save_images(out, "corrections", images, sorted(shown))
        write_annotations(found, [image_path("corrections", index) for index in range(len(images))], out)
    log(f"corrections: {', '.join(f'{name} {count}' for name, count in found.counts.items())}")

    with clock.stage("evaluation"):
        heldout_scenes = _scenes(seed, "heldout", sizes.heldout_scenes, world, BALANCED)
        heldout_images = [render(scene, world, sprites) for scene in heldout_scenes]
        questions = pope_questions(
            heldout_scenes, pretraining_scenes, world, sizes.pope_images, _generator(seed, "questions")
        )
        heldout = Heldout(world, tuple(heldout_scenes), questions)
        heldout.save(out)
        _save_images(out, "heldout", heldout_images, range(len(heldout_images)))
        figures = evaluate(model, processor, heldout, heldout_images).figures
    log(f"base: {', '.join(f'{name} {value:.1f}' for name, value in figures.items())}")

    manifest = {
        "seed": seed,
        "counts": found.counts,
        "pretraining": json.loads((out / "base" / "pretraining.json").read_text(encoding="utf-8")),
        "base": {name: None if math.isnan(value) else value for name, value in figures.items()},  # JSON has no nan
        "seconds": clock.seconds,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "transformers", "tokenizers", "numpy", "pillow")},
    }
    _write_json(out / "manifest.json", manifest)


def _settings(seed: int, sizes: DemoSizes, world: World, sprites: SpriteLibrary) -> dict[str, Any]:
    return {
        "seed": seed,
        "sizes": dataclasses.asdict(sizes),
        "world": world.as_mapping(),
        "sprites": sprites.fingerprint,
    }


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Take an empty folder, or one of the same settings; refuse any other, whose files would be mixed with ours."""
    file = out / "settings.json"
    if not file.exists():
        if out.exists() and any(out.iterdir()):
            raise ValueError(f"{out} holds other files (no settings.json); give an empty or a new folder")
        out.mkdir(parents=True, exist_ok=True)
        _write_json(file, settings)
        return
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is damaged ({error}); give an empty or a new folder") from error
    if found != settings:
        differing = [name for name in settings if not isinstance(found, dict) or found.get(name) != settings[name]]
        raise ValueError(f"{out} was prepared with other settings ({', '.join(differing)}); give a new folder")


def _make_base(
    folder: Path,
    seed: int,
    sizes: DemoSizes,
    world: World,
    sprites: SpriteLibrary,
    biased: Sequence[Scene],
    log: Log,
) -> None:
    processor = build_processor(world)
    model = build_model(world, processor.tokenizer, seed)
    uniform = _scenes(seed, "vision", sizes.vision_scenes, world, BALANCED)
    report = pretrain(
        model,
        processor,
        world,
        _annotated(uniform, world, sprites, processor),
        _annotated(biased, world, sprites, processor),
        sizes.pretraining,
        seed,
        log,
    )
    # Under another name until it is whole: a folder called base is a finished one.
    unfinished = folder.with_name("base.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished)
    processor.save_pretrained(unfinished)
    _write_json(unfinished / "pretraining.json", dataclasses.asdict(report))
    unfinished.rename(folder)


def _generator(seed: int, purpose: str) -> np.random.Generator:
    """Independent random numbers for each purpose, whatever the others use up."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def _scenes(seed: int, split: str, count: int, world: World, affinity: float) -> list[Scene]:
    rng = _generator(seed, split)
    return [sample_scene(world, affinity, rng) for _ in range(count)]


def _annotated(
    scenes: Sequence[Scene], world: World, sprites: SpriteLibrary, processor: LlavaProcessor
) -> AnnotatedScenes:
    images = [render(scene, world, sprites) for scene in scenes]
    pixels = processor.image_processor(images=images, return_tensors="pt")["pixel_values"]
    return AnnotatedScenes(scenes, pixels)


def _save_images(out: Path, split: str, images: Sequence[Image.Image], indices: Iterable[int]) -> None:
    (out / "images" / split).mkdir(parents=True, exist_ok=True)
    for index in indices:
        images[index].save(out / image_path(split, index))


def _write_json(file: Path, content: Any) -> None:
    """Write so that the file is either whole or not there."""
    unfinished = file.with_name(file.name + ".unfinished")
    unfinished.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(unfinished, file)


class _Clock:
    """Seconds of each stage, by the wall and by the processor (all threads)."""

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, float]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = {
            "wall": round(time.perf_counter() - wall, 1),
            "cpu": round(time.process_time() - cpu, 1),
        }
