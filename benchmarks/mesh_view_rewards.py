"""Whether a head over views learns what can be seen of shapes that it never saw.

    python benchmarks/mesh_view_rewards.py --seeds 0,1,2 --json view_rewards.json

The shapes are the furniture of the demonstration, held-out ones none of the training's as they look on 16 levels. Two
rules rank three meshes each:

- `tall`: three shapes, the one that is highest for its longest horizontal side first. One view says it nearly.
- `whole`: one shape three times, with none, 2 and 6 of its triangles missing, the fullest first. A hole shows the
  reddish inside of the far wall from some sides and not from others; one in a base shows from none.

`chance` is the same training on coin-flipped rankings. Figures are shares of held-out pairs whose order is right.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch
import trimesh
from lightning.pytorch import Trainer
from turns import machine

from prefalign.data.module import PreferenceDataModule
from prefalign.data.store import write_parquet
from prefalign.interfaces import Media, PreferenceRecord, Prompt, Ranking, Response
from prefalign.objectives.reward_modelling import BradleyTerry
from prefalign.training.reward_learning import RewardLearning
from prefalign_mesh3d.demo.shapes import draw_shapes
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.rewards.multi_view import MultiViewReward, Variant
from prefalign_mesh3d.rewards.view_encoders import PixelViews
from prefalign_mesh3d.rewards.views import Ring

RING = Ring(size=96)
EPOCHS, RATE = 12, 3e-4


def tall(shapes: Sequence[Mesh], draw: random.Random) -> list[list[Mesh]]:
    """Three shapes each, the tallest first."""

    def height(shape: Mesh) -> float:
        x, y, z = np.ptp(shape.vertices, axis=0)
        return float(z / max(x, y))

    return [sorted(shapes[start : start + 3], key=height, reverse=True) for start in range(0, len(shapes), 3)]


def whole(shapes: Sequence[Mesh], draw: random.Random) -> list[list[Mesh]]:
    """One shape each with none, 2 and 6 of its triangles missing."""
    found = []
    for shape in shapes:
        order = draw.sample(range(len(shape.faces)), len(shape.faces))
        found.append([Mesh(shape.vertices, shape.faces[sorted(order[missing:])]) for missing in (0, 2, 6)])
    return found


#: How many shapes a ranking takes, and the rankings of shapes, the best first.
RULES: dict[str, tuple[int, Callable[[Sequence[Mesh], random.Random], list[list[Mesh]]]]] = {
    "tall": (3, tall),
    "whole": (1, whole),
}


def records(rule: str, shapes: Sequence[Mesh], seed: int, coin: bool = False) -> list[PreferenceRecord]:
    """Rankings of three meshes in random places; with `coin` of random ranks, too."""
    draw, made = random.Random(seed), []
    for best_first in RULES[rule][1](shapes, draw):
        ranks = draw.sample(range(3), 3)
        responses = [Response(media=(Media(kind="mesh", data=glb(best_first[rank])),)) for rank in ranks]
        verdict = Ranking(tuple(draw.sample(range(3), 3) if coin else ranks))
        made.append(
            PreferenceRecord(
                id=f"{seed}-{len(made)}",
                prompt=Prompt(text="furniture"),
                responses=tuple(responses),
                verdict=verdict,
            )
        )
    return made


def glb(mesh: Mesh) -> bytes:
    """The bytes of a file."""
    return bytes(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(file_type="glb"))


def learn(
    rule: str, variant: Variant, seed: int, count: int, coin: bool, folder: Path, cache: Path
) -> dict[str, float]:
    """Held-out accuracy before and after training on `count` rankings, and the seconds it took."""
    each = RULES[rule][0]
    train = draw_shapes(each * count, seed)
    held_out = draw_shapes(each * (count // 2), seed + 1000, exclude=train)
    write_parquet(records(rule, train, seed, coin), folder / "train.parquet")
    write_parquet(records(rule, held_out, seed + 1000), folder / "val.parquet")
    reward = MultiViewReward(PixelViews(12), ring=RING, variant=variant, cache=str(cache), init_seed=seed)
    module = RewardLearning(reward, BradleyTerry(), optimizer=lambda p: torch.optim.Adam(p, lr=RATE))
    data = PreferenceDataModule(
        train=str(folder / "train.parquet"),
        val=str(folder / "val.parquet"),
        batch_size=16,
        eval_batch_size=64,
        seed=seed,
        keep_encoded=True,
    )
    torch.manual_seed(seed)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=EPOCHS,
        check_val_every_n_epoch=EPOCHS,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    (before,) = trainer.validate(module, data, verbose=False)
    began = time.perf_counter()
    trainer.fit(module, data)
    seconds = time.perf_counter() - began
    return {
        "before": before["val/accuracy"],
        "after": float(trainer.callback_metrics["val/accuracy"]),
        "seconds": seconds,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Train, print a table, and write what was asked for."""
    parser = argparse.ArgumentParser(description="Whether a head over views learns what can be seen.")
    parser.add_argument("--seeds", default="0", help="comma-separated (0)")
    parser.add_argument("--records", type=int, default=200, help="rankings to learn from; half as many are held out")
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args(argv)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    found: dict[str, list[dict[str, float]]] = {}
    arms = list(itertools.product(map(int, options.seeds.split(",")), RULES, get_args(Variant), (False, True)))
    with tempfile.TemporaryDirectory() as cache:
        for seed, rule, variant, coin in arms:
            with tempfile.TemporaryDirectory() as folder:
                figures = learn(rule, variant, seed, options.records, coin, Path(folder), Path(cache))
            name = f"{rule}, {variant}{', chance' if coin else ''}"
            found.setdefault(name, []).append(figures)
            print(f"seed {seed}: {name}: {figures}", file=sys.stderr, flush=True)
    where = machine("torch", "lightning")
    print(f"{where['cpu']}, load {where['load_average']:.1f}, versions {where['versions']}\n")
    print("| rule, variant | before | after |\n|---|---|---|")
    for name, rows in found.items():
        cells = [" / ".join(f"{100 * row[part]:.0f} %" for row in rows) for part in ("before", "after")]
        print(f"| {name} | {cells[0]} | {cells[1]} |")
    if options.json:
        options.json.write_text(json.dumps({"machine": where, "figures": found}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
