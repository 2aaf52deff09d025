"""What every arm starts from: shapes, a base trained on them, and judged pairs of the base's own meshes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prefalign.data.build import derive_seed, run_stages
from prefalign.data.store import write_parquet
from prefalign.interfaces import Media, Pair, PrefalignError, PreferenceRecord, Prompt, Ranking, Response, Unary
from prefalign.training.arms import run_arm
from prefalign_mesh3d.demo.judging import Judgement, judge, means
from prefalign_mesh3d.demo.near_misses import near_miss
from prefalign_mesh3d.demo.shapes import draw_shapes
from prefalign_mesh3d.mesh.clouds import POINTS, cloud_bytes, cloud_of
from prefalign_mesh3d.mesh.grid import frame_of
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.pairs.all_criteria import AllCriteria
from prefalign_mesh3d.pairs.criteria import Criterion
from prefalign_mesh3d.pairs.face_rules import ManifoldFaces
from prefalign_mesh3d.pairs.masks import MaskFaces
from prefalign_mesh3d.policies.mesh_policy import MeshPolicy
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh

#: Of the clouds that the generator reads.
CLOUD_POINTS = 128

#: Tokens after which sampling gives up; the longest shape has about 180.
MOST_TOKENS = 220


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of everything.

    Attributes:
        shapes: furniture that the base is trained on.
        steps: of its training.
        clouds: further shapes whose clouds are sampled for the pairs of a round; `candidates` meshes each, at
            `temperature`.
        per_cloud: most pairs of a cloud.
        held_out: shapes that no training meets, for the evaluation.
    """

    shapes: int = 3000
    steps: int = 700
    clouds: int = 64
    candidates: int = 8
    temperature: float = 0.8
    per_cloud: int = 4
    held_out: int = 96


@dataclass(frozen=True)
class Shapes:
    """Shapes placed in the cube. No part repeats a shape of another one.

    Attributes:
        trained: that the base learns from.
        rounds: whose clouds are sampled for pairs, the shapes of the first round and those of the second.
        held_out: for the evaluation.
    """

    trained: list[Mesh]
    rounds: tuple[list[Mesh], list[Mesh]]
    held_out: list[Mesh]


@dataclass(frozen=True)
class Prepared:
    """A prepared seed.

    Attributes:
        folder: with `base/export`, `shapes.parquet`, and the pairs of the arms.
        shapes: that were drawn.
        facts: figures to look at before any arm.
    """

    folder: Path
    shapes: Shapes
    facts: dict[str, Any]


def tokenizer() -> DeepMesh:
    """DeepMesh's tokenizer on 16 levels: 90 ids. The offsets' ids are what costs learning time."""
    return DeepMesh(regions=2, blocks=2, offsets=4)


def prepare(folder: Path, seed: int, plan: Plan, log: Callable[[str], None]) -> Prepared:
    """Draw the shapes, train the base, sample it and pair its meshes; what the folder has already is not made again.

    Raises:
        PrefalignError: if the folder was prepared for another seed or plan, which its arms then belong to.
    """
    asked, facts_file = {"seed": seed, **asdict(plan)}, folder / "facts.json"
    done = json.loads(facts_file.read_text("utf-8")) if facts_file.is_file() else None
    if done is not None and done["plan"] != asked:
        raise PrefalignError(
            f"{folder} was prepared with {done['plan']}, and {asked} is asked for: choose another --out"
        )
    shapes = draw_parts(seed, plan)
    if done is not None:
        return Prepared(folder, shapes, done)
    folder.mkdir(parents=True, exist_ok=True)
    log(f"{plan.shapes} shapes, {plan.steps} steps of supervised training")
    records = [shape_record(shape, f"shape{i}", seed) for i, shape in enumerate(shapes.trained)]
    write_parquet(records, folder / "shapes.parquet")
    change = {
        "seed_everything": seed,
        "model": {"init_args": {"policy": {"init_args": {"init_seed": seed}}}},
        "data": {"init_args": {"train": str(folder / "shapes.parquet"), "seed": seed}},
        "trainer": {"max_steps": plan.steps, "default_root_dir": str(folder / "base")},
    }
    base = run_arm(change, folder / "base", preset="mesh3d/deepmesh-tiny-base")
    log(f"sampling {plan.clouds} x {plan.candidates} meshes at temperature {plan.temperature}")
    shown = shapes.rounds[0]
    policy = open_policy(folder / "base" / "export")
    judged = sample_and_judge(policy, shown, plan.candidates, plan.temperature, derive_seed(seed, "candidates"))
    pairs = pairs_of(judged, plan.per_cloud, seed)
    write_parquet(pairs, folder / "pairs.parquet")
    write_parquet(by_coin(pairs, seed), folder / "coin.parquet")
    write_parquet(run_stages(pairs, [MaskFaces(tokenizer(), ManifoldFaces())], seed), folder / "masked.parquet")
    write_parquet(near_pairs(judged, plan.per_cloud, seed), folder / "near.parquet")
    facts = {"plan": asked, "base_seconds": base["seconds"], **describe(pairs, judged)}
    facts_file.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return Prepared(folder, shapes, facts)


def draw_parts(seed: int, plan: Plan) -> Shapes:
    """The shapes of a seed."""
    counts = {"trained": plan.shapes, "first": plan.clouds, "second": plan.clouds, "held out": plan.held_out}
    drawn: dict[str, list[Mesh]] = {}
    for name, count in counts.items():
        before = [shape for part in drawn.values() for shape in part]
        drawn[name] = draw_shapes(count, derive_seed(seed, name) % 2**32, exclude=before)
    trained, first, second, held_out = ([placed(shape) for shape in part] for part in drawn.values())
    return Shapes(trained, (first, second), held_out)


def placed(mesh: Mesh) -> Mesh:
    """The mesh in the cube [-1, 1]."""
    return Mesh(frame_of(mesh).place(mesh.vertices), mesh.faces)


def prompt_of(shape: Mesh, seed: int) -> Prompt:
    """The cloud of a shape."""
    return Prompt(media=(Media(kind=POINTS, data=cloud_bytes(cloud_of(shape, CLOUD_POINTS, seed))),))


def shape_record(shape: Mesh, name: str, seed: int) -> PreferenceRecord:
    """A shape as the one good answer to its cloud."""
    ids = (*tokenizer().tokenize(shape).tolist(), tokenizer().eos_id)
    prompt = prompt_of(shape, derive_seed(seed, name) % 2**32)
    return PreferenceRecord(id=name, prompt=prompt, responses=(Response(token_ids=ids),), verdict=Unary((True,)))


def open_policy(folder: Path) -> MeshPolicy:
    """A trained model, ready to sample."""
    policy = MeshPolicy(str(folder), tokenizer(), points=CLOUD_POINTS, max_tokens=MOST_TOKENS)
    policy.configure_model()
    policy.eval()
    return policy


@dataclass(frozen=True)
class Judged:
    """Sampled meshes of one cloud, and what was measured of each."""

    prompt: Prompt
    responses: list[Response]
    judgements: list[Judgement]


def sample_and_judge(policy: MeshPolicy, shapes: Sequence[Mesh], n: int, temperature: float, seed: int) -> list[Judged]:
    """`n` meshes for the cloud of each shape. Equal seeds give equal clouds and random numbers, whatever the policy."""
    prompts = [prompt_of(shape, derive_seed(seed, "cloud", i) % 2**32) for i, shape in enumerate(shapes)]
    generator = torch.Generator().manual_seed(derive_seed(seed, "tokens"))
    found = []
    for i, drawn in enumerate(policy.sample(prompts, n, generator=generator, temperature=temperature)):
        judgements = [
            judge(one.token_ids or (), shapes[i], tokenizer(), derive_seed(seed, "points", i, k) % 2**32)
            for k, one in enumerate(drawn)
        ]
        found.append(Judged(prompts[i], drawn, judgements))
    return found


def candidates(judged: Iterable[Judged]) -> list[PreferenceRecord]:
    """One record per cloud: its meshes as candidates with their scores."""
    records = []
    for i, one in enumerate(judged):
        responses = tuple(
            replace(response, scores=asdict(judgement))
            for response, judgement in zip(one.responses, one.judgements, strict=True)
        )
        undecided = Ranking((0,) * len(responses))
        records.append(PreferenceRecord(id=f"cloud{i}", prompt=one.prompt, responses=responses, verdict=undecided))
    return records


def pairs_of(judged: Sequence[Judged], per_cloud: int, seed: int) -> list[PreferenceRecord]:
    """Pairs in which the chosen mesh has ended, is worse in nothing, and clearly better in one of both criteria."""
    rule = AllCriteria(
        [
            Criterion("chamfer", scale="relative", slack=0.02, clear=0.15),
            Criterion("boundary", clear=0.1),
        ],
        clear_in="one",
        ended="ended",
        per_prompt=per_cloud,
    )
    return list(run_stages(candidates(judged), [rule], seed))


def near_pairs(judged: Iterable[Judged], per_cloud: int, seed: int) -> list[PreferenceRecord]:
    """The closed meshes of each cloud with the smallest Chamfer distances, each against a near miss of itself."""
    made = []
    for i, one in enumerate(judged):
        ranked = sorted(zip(one.judgements, one.responses, strict=True), key=lambda both: both[0].chamfer)
        closed = [response for judgement, response in ranked if judgement.closed]
        for k, chosen in enumerate(closed[:per_cloud]):
            mesh = tokenizer().decode(np.asarray(chosen.token_ids)).mesh
            missed = near_miss(mesh, derive_seed(seed, "near miss", i, k) % 2**32)
            rejected = Response(token_ids=(*tokenizer().encode(missed).tolist(), tokenizer().eos_id))
            pair = PreferenceRecord(id=f"cloud{i}/{k}", prompt=one.prompt, responses=(chosen, rejected), verdict=Pair())
            if not chosen.same_payload(rejected):
                made.append(pair)
    return made


def by_coin(pairs: Iterable[PreferenceRecord], seed: int) -> list[PreferenceRecord]:
    """The same pairs, each turned round or not by a fair coin that is thrown once: preferences that say nothing."""
    turned = []
    for pair in pairs:
        coin = derive_seed(seed, "coin", pair.id) % 2
        turned.append(replace(pair, verdict=Pair(chosen=1, rejected=0)) if coin else pair)
    return turned


def describe(pairs: Sequence[PreferenceRecord], judged: Sequence[Judged]) -> dict[str, Any]:
    """Means over the candidates, and over the chosen and the rejected ones."""

    def ends(which: str) -> dict[str, float]:
        rows = [dict(pair.responses[getattr(pair.verdict, which)].scores) for pair in pairs]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}

    return {
        "pairs": len(pairs),
        "candidates": means([one for group in judged for one in group.judgements]),
        "chosen": ends("chosen"),
        "rejected": ends("rejected"),
    }
