"""Is the windowed preference gradient exact, and what does it cost in time and memory.

    python benchmarks/mesh_windows.py --json windows.json
    python benchmarks/mesh_windows.py --size 0.5b --device cuda --window 9000 --lengths 9000,18000,36000

One DPO step of a pair of meshes of one length, forward and backward, three ways: `windows`, as the policy does it,
each window computed again in the backward pass; `graph`, the same windows with the graph of all of them in memory; and
`whole`, one window as long as the sequence. The gradients of the first two must agree; what is held
in memory must not grow with the length in the first. Time is the median over repetitions.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import time
import unittest.mock
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prefalign.interfaces import Media, Pair, PreferenceRecord, Prompt, Response
from prefalign.objectives.dpo import DPO
from prefalign_mesh3d.mesh.clouds import cloud_bytes
from prefalign_mesh3d.models.generator import parameters_of
from prefalign_mesh3d.policies import mesh_policy
from prefalign_mesh3d.policies.mesh_policy import MeshPolicy
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "width": 96,
        "heads": 4,
        "inner": 256,
        "depths": [1, 1, 1, 1, 1],
        "points": {"latents": 24, "width": 96, "heads": 4, "layers": 1, "out_width": 96},
    },
    "0.5b": {},
    "1b": {"width": 1536, "heads": 12, "inner": 6144, "depths": [4, 5, 6, 5, 4]},
}
POINTS = {"tiny": 128, "0.5b": 16_384, "1b": 16_384}


def record(length: int, points: int) -> PreferenceRecord:
    """A pair of random streams under a random cloud."""
    draw = np.random.default_rng(0)
    cloud = draw.uniform(-0.9, 0.9, (points, 6))
    cloud[:, 3:] /= np.linalg.norm(cloud[:, 3:], axis=1, keepdims=True)
    tokenizer = DeepMesh()
    streams = [(*draw.integers(0, tokenizer.geometry_size, length - 1).tolist(), tokenizer.eos_id) for _ in range(2)]
    prompt = Prompt(media=(Media(kind="points", data=cloud_bytes(cloud)),))
    return PreferenceRecord(
        id="pair", prompt=prompt, responses=tuple(Response(token_ids=ids) for ids in streams), verdict=Pair()
    )


@contextlib.contextmanager
def kept_graph() -> Iterator[None]:
    """Windows whose graph stays in memory, in the place of those that are computed again."""

    def run(function: Callable[..., Any], *inputs: Any, use_reentrant: bool) -> Any:
        return function(*inputs)

    with unittest.mock.patch.object(mesh_policy, "checkpoint", run):
        yield


class Step:
    """One DPO step of one pair, without the optimiser."""

    def __init__(self, size: str, length: int, window: int | None, device: str, bf16: bool) -> None:
        self.policy = MeshPolicy(
            dict(SIZES[size]), DeepMesh(), points=POINTS[size], window=window, stride=window and window // 2
        )
        self.policy.configure_model()
        self.policy.to(device)
        self.batch = self.policy.collate([self.policy.encode(record(length, POINTS[size]))]).to(device)
        self.objective, self.device, self.bf16 = DPO(), device, bf16
        # A reference that differs, so that the loss's derivative is not the same for every pair.
        with torch.no_grad(), self._precision():
            self.reference = self.policy.scores(self.batch).detach()
        self.reference.logps = self.reference.logps * torch.tensor([1.0, 1.0001], device=device)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.bf16)

    def __call__(self) -> None:
        """Forward and backward."""
        with self._precision():
            scores = self.policy.scores(self.batch)
        self.objective(scores, self.reference, self.batch.relations).loss.backward()

    def gradient(self) -> torch.Tensor:
        """The whole gradient, which is then forgotten."""
        found = torch.cat([p.grad.flatten().cpu() for p in self.policy.parameters() if p.grad is not None])
        self.policy.zero_grad()
        return found

    def held(self) -> int:
        """Bytes that the graph holds between forward and backward, weights and inputs not counted."""
        places: dict[int, int] = {}
        own = {p.untyped_storage().data_ptr() for p in self.policy.parameters()}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            place = tensor.untyped_storage()
            if place.data_ptr() not in own:
                places[place.data_ptr()] = place.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), self._precision():
            out = self.policy.scores(self.batch).logps.sum()
        del out
        return sum(places.values())


def measure(step: Step, way: contextlib.AbstractContextManager[Any], repeats: int) -> dict[str, float]:
    """Seconds and bytes of a step, and its gradient's norm."""
    cuda = step.device == "cuda"
    seconds = []
    with way:
        step()
        step.policy.zero_grad()
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        for _ in range(repeats):
            started = time.perf_counter()
            step()
            if cuda:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
            step.policy.zero_grad()
        peak = torch.cuda.max_memory_allocated() if cuda else step.held()
    return {"seconds": statistics.median(seconds), "bytes": float(peak)}


def compare(options: argparse.Namespace, length: int) -> dict[str, Any]:
    """The three ways at one length. One that does not fit into memory is left out, and named."""
    found: dict[str, Any] = {"length": length, "window": options.window}
    ways = {"windows": (options.window, contextlib.nullcontext()), "graph": (options.window, kept_graph())}
    ways["whole"] = (None, contextlib.nullcontext())
    gradients = {}
    for name in options.ways.split(","):
        window, way = ways[name]
        step = None
        try:
            step = Step(options.size, length, window, options.device, options.bf16)
            with kept_graph() if name == "graph" else contextlib.nullcontext():
                step()
                gradients[name] = step.gradient()
            found[name] = measure(step, way, options.repeats)
        except torch.OutOfMemoryError:
            found[name] = "out of memory"
        del step
        if options.device == "cuda":
            torch.cuda.empty_cache()
    if {"windows", "graph"} <= gradients.keys():
        plain, own = gradients["graph"].double(), gradients["windows"].double()
        found["relative_error"] = ((own - plain).norm() / plain.norm()).item()
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """The comparison as Markdown."""
    lines = ["| tokens | way | seconds | MiB | gradient differs by |", "|---|---|---|---|---|"]
    for row in rows:
        for name in ("windows", "graph", "whole"):
            one = row.get(name)
            if one is None:
                continue
            cells = (
                [one, "", ""] if isinstance(one, str) else [f"{one['seconds']:.3f}", f"{one['bytes'] / 2**20:.1f}", ""]
            )
            if name == "windows" and "relative_error" in row:
                cells[2] = f"{row['relative_error']:.1e}"
            lines.append(f"| {row['length']} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Measure; returns 1 if a gradient is not exact."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--window", type=int, default=72)
    parser.add_argument("--lengths", default="72,288,1152", help="tokens of either mesh, comma-separated")
    parser.add_argument("--ways", default="windows,graph,whole")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast, under which the two need not agree")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    rows = []
    for length in options.lengths.split(","):
        rows.append(compare(options, int(length)))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    facts = {"size": options.size, "device": options.device, "bf16": options.bf16}
    if options.device == "cuda":
        facts["name"] = torch.cuda.get_device_name()
    facts["parameters"] = parameters_of(mesh_policy.MeshGeneratorConfig(**SIZES[options.size]))["all"]
    print(json.dumps(facts))
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps({**facts, "rows": rows}, indent=2) + "\n", encoding="utf-8")
    exact = [row["relative_error"] < 1e-5 for row in rows if "relative_error" in row]
    return 0 if options.bf16 or all(exact) else 1


if __name__ == "__main__":
    sys.exit(main())
