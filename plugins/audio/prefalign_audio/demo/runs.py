"""Running the comparison: every arm of every seed trained through the command, sampled, judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefalign.data.build import run_stages
from prefalign.data.sources import open_records
from prefalign.data.stages import BestWorst
from prefalign.data.store import write_parquet
from prefalign.interfaces import PreferenceRecord
from prefalign.policies.denoising import DenoisingPolicy
from prefalign_audio.demo.arms import ARMS, arm_folder, train
from prefalign_audio.demo.evaluation import evaluate
from prefalign_audio.demo.preparation import CANDIDATES, Difficulty, Prepared, draw, group_record, open_policy, prepare
from prefalign_audio.demo.randomness import generator_for

SAMPLES = 10  # of each caption
_PROBED = 256  # pairs whose errors are watched
_GAP = 0.1  # of scores in the online round, where groups have become alike

Figures = dict[str, float]


def run_seed(
    folder: Path, seed: int, names: Sequence[str], difficulty: Difficulty, log: Callable[[str], None]
) -> tuple[Prepared, dict[str, Figures]]:
    """Figures of the base, of the best of five of its samples, and of every arm.

    Args:
        folder: of the whole comparison.
        seed: of everything.
        names: of the arms. A second round needs its first among them, before it.
        difficulty: of the world.
        log: told what is done.
    """
    prepared = prepare(folder / f"seed{seed}", seed, difficulty, log)
    base = open_policy(prepared.folder / "base")
    results = {"base": _figures(prepared, base, base), "best_of_5": _best_of(prepared, base)}
    for name in names:
        log(f"{name}: training through `prefalign fit`")
        if ARMS[name].records == "online.parquet":
            _online_pairs(prepared, folder / "arms", name, seed, log)
        done = train(name, prepared.folder, folder / "arms", seed)
        aligned = open_policy(arm_folder(folder / "arms", name, seed) / "export")
        results[name] = {**_figures(prepared, aligned, base), "alarm": float(done["alarm"]), "seconds": done["seconds"]}
        shown = ("temporal", "temporal_held_out", "mel_frechet", "chosen_drift")
        log(f"{name}: " + ", ".join(f"{key} {results[name][key]:.3f}" for key in shown))
    return prepared, results


def evaluation_latents(prepared: Prepared, policy: DenoisingPolicy, n: int = SAMPLES) -> Tensor:
    """(captions, n, 12, 16) samples of every caption, from the same noise for every arm of a seed."""
    return draw(policy, prepared.world, prepared.world.captions, n, generator_for(prepared.world.seed, "evaluation"))


def _figures(prepared: Prepared, policy: DenoisingPolicy, base: DenoisingPolicy) -> Figures:
    found = evaluate(prepared.world, evaluation_latents(prepared, policy)).as_mapping()
    return {**found, **_drift(prepared, policy, base)}


def _best_of(prepared: Prepared, base: DenoisingPolicy) -> Figures:
    """What selection alone gives: of five samples the one that the reward model scores best."""
    world = prepared.world
    latents = evaluation_latents(prepared, base, SAMPLES * CANDIDATES)
    captions = world.captions.repeat_interleave(SAMPLES * CANDIDATES, 0)
    scores = prepared.reward.score(latents.flatten(0, 1), captions).reshape(-1, SAMPLES, CANDIDATES)
    groups = latents.unflatten(1, (SAMPLES, CANDIDATES))
    best = scores.argmax(-1)
    chosen = groups.gather(2, best[..., None, None, None].expand(-1, -1, 1, *latents.shape[2:])).squeeze(2)
    return evaluate(world, chosen).as_mapping()


@torch.no_grad()
def _drift(prepared: Prepared, policy: DenoisingPolicy, base: DenoisingPolicy) -> Figures:
    """Growth of the denoising errors of training pairs over the base's, at draws that training never met."""
    source = open_records(str(prepared.folder / "pairs.parquet"))
    records = [source[index] for index in range(min(_PROBED, len(source)))]
    batch = policy.collate([policy.encode(record) for record in records])
    batch.visits = torch.full((len(records),), 1_000_000)
    errors, before = policy.scores(batch).errors, base.scores(batch).errors
    assert errors is not None
    assert before is not None
    growth = errors - before
    chosen, rejected = growth[batch.relations.chosen], growth[batch.relations.rejected]
    return {
        "chosen_drift": chosen.mean().item(),
        "rejected_drift": rejected.mean().item(),
        "implicit_accuracy": (chosen < rejected).float().mean().item(),
    }


def _online_pairs(prepared: Prepared, arms: Path, name: str, seed: int, log: Callable[[str], None]) -> None:
    """Fresh samples of the arm's start, best against worst, and as many old pairs; written once."""
    start, run = ARMS[name].start, arm_folder(arms, name, seed)
    assert start is not None
    if (run / "online.parquet").exists():
        return
    world, difficulty = prepared.world, prepared.facts["plan"]
    policy = open_policy(arm_folder(arms, start, seed) / "export")
    asked = world.captions[~world.held_out].repeat_interleave(difficulty["groups"], 0)
    latents = draw(policy, world, asked, CANDIDATES, generator_for(seed, "online candidates"))
    scores = prepared.reward.score(latents.flatten(0, 1), asked.repeat_interleave(CANDIDATES, 0))
    groups = [
        group_record(world, 10_000 + i, asked[i], latents[i], scores=scores.unflatten(0, (-1, CANDIDATES))[i])
        for i in range(len(asked))
    ]
    fresh = [*run_stages(groups, [BestWorst("reward", min_gap=_GAP)], seed)]
    source = open_records(str(prepared.folder / "pairs.parquet"))
    order = torch.randperm(len(source), generator=generator_for(seed, "replayed pairs"))[: max(len(fresh), 24)]
    old: list[PreferenceRecord] = [source[index] for index in order.tolist()]
    log(f"{name}: {len(fresh)} new pairs of {len(groups)} groups, mean score {scores.mean():.3f}")
    run.mkdir(parents=True, exist_ok=True)
    write_parquet([*fresh, *old], run / "online.parquet")
    facts = {"pairs": len(fresh), "groups": len(groups), "mean_score": scores.mean().item()}
    (run / "online.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")


def facts_of(prepared: Prepared) -> dict[str, Any]:
    """What is to be known of a seed before its arms are compared."""
    return {name: value for name, value in prepared.facts.items() if name != "plan"}
