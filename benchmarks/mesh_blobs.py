"""Preference tuning on real small meshes: supervised base, pairs of its own samples, DPO, held-out clouds.

    prefalign mesh3d curate …/random_urdfs --out blobs.parquet --points 1024 --max-faces 800 \
        --settings '{"regions": 2, "blocks": 2, "offsets": 4}'
    python benchmarks/mesh_blobs.py blobs.parquet --out runs/blobs

The meshes are the composed objects that the package pybullet brings (docs/mesh3d_data.md). Sequences up to `--tokens`
are kept, a tenth of them for the evaluation; the model, the judging and the pair rule are the demonstration's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prefalign.data.sources import open_records
from prefalign.data.store import write_parquet
from prefalign.interfaces import PreferenceRecord
from prefalign.training.arms import run_arm
from prefalign_mesh3d.demo.judging import judge, means
from prefalign_mesh3d.demo.preparation import CLOUD_POINTS, Judged, by_coin, describe, pairs_of, tokenizer
from prefalign_mesh3d.mesh.grid import dequantise
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.policies.mesh_policy import MeshPolicy


def shape_of(record: PreferenceRecord) -> Mesh:
    """The mesh of a record, in the cube."""
    return dequantise(tokenizer().decode(np.asarray(record.responses[0].token_ids)).mesh)


def sampled(folder: Path, records: list[PreferenceRecord], n: int, temperature: float, tokens: int) -> list[Judged]:
    """`n` judged meshes for the cloud of each record."""
    policy = MeshPolicy(str(folder), tokenizer(), points=CLOUD_POINTS, max_tokens=tokens)
    policy.configure_model()
    policy.eval()
    prompts = [record.prompt for record in records]
    drawn = policy.sample(prompts, n, generator=torch.Generator().manual_seed(0), temperature=temperature)
    found = []
    for index, (record, responses) in enumerate(zip(records, drawn, strict=True)):
        shape = shape_of(record)
        judgements = [
            judge(one.token_ids or (), shape, tokenizer(), 1000 * index + k) for k, one in enumerate(responses)
        ]
        found.append(Judged(record.prompt, responses, judgements))
    return found


def main() -> int:
    """Train, tune, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/blobs"))
    parser.add_argument("--tokens", type=int, default=600, help="longest sequence that is kept")
    parser.add_argument("--steps", type=int, default=500)
    options = parser.parse_args()
    started = time.perf_counter()
    source = open_records(str(options.records))
    kept = [record for record in source if len(record.responses[0].token_ids or ()) <= options.tokens]
    order = np.random.default_rng(0).permutation(len(kept))
    held_out = [kept[i] for i in order[: len(kept) // 10]]
    trained = [kept[i] for i in order[len(kept) // 10 :]]
    options.out.mkdir(parents=True, exist_ok=True)
    write_parquet(trained, options.out / "shapes.parquet")
    facts: dict[str, Any] = {"trained": len(trained), "held_out": len(held_out)}
    base = options.out / "base"
    change: dict[str, Any] = {
        "data": {"init_args": {"train": str(options.out / "shapes.parquet"), "batch_size": 8}},
        "trainer": {"max_steps": options.steps, "default_root_dir": str(base)},
    }
    facts["base_seconds"] = run_arm(change, base, preset="mesh3d/deepmesh-tiny-base")["seconds"]
    judged = sampled(base / "export", trained[:64], 8, 0.8, options.tokens)
    pairs = [replace(pair, id=pair.id.replace("cloud", "blob")) for pair in pairs_of(judged, 4, 0)]
    facts |= describe(pairs, judged)
    write_parquet(pairs, options.out / "pairs.parquet")
    write_parquet(by_coin(pairs, 0), options.out / "coin.parquet")
    folders = {"base": base}
    for name in ("coin", "pairs"):
        run = folders[name] = options.out / name
        arm = {
            "model": {"init_args": {"policy": {"init_args": {"model": str(base / "export")}}}},
            "data": {"init_args": {"train": str(options.out / f"{name}.parquet"), "batch_size": 4}},
            "trainer": {"default_root_dir": str(run)},
        }
        facts[f"{name}_seconds"] = run_arm(arm, run, preset="mesh3d/deepmesh-tiny")["seconds"]
    for name, folder in folders.items():
        found = sampled(folder / "export", held_out, 6, 1.0, options.tokens)
        facts[f"{name} on held-out clouds"] = means([one for group in found for one in group.judgements])
    facts["seconds"] = round(time.perf_counter() - started)
    print(json.dumps(facts, indent=2))
    (options.out / "results.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
