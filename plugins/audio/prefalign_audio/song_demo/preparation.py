"""What every arm of a seed starts from: a base trained in two stages, two judges of musicality, and pairs of songs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from prefalign.data.build import derive_seed
from prefalign.data.store import write_parquet
from prefalign.interfaces import PrefalignError, PreferenceRecord, Ranking, Response, Unary
from prefalign.training.arms import run_arm
from prefalign_audio.song_demo.judging import Measured, flat, measure, sample
from prefalign_audio.song_demo.musicality import Judges, train_judges
from prefalign_audio.song_demo.noise import pseudo_labelled
from prefalign_audio.song_demo.pairs import pair_sets
from prefalign_audio.song_demo.world import MOST_STEPS, Item, World
from prefalign_audio.streams.conditions.song import SongConditions
from prefalign_audio.streams.models.lelm import LeLMModel
from prefalign_audio.streams.policy import StreamPolicy

#: What the presets train.
NETWORK: dict[str, Any] = {
    "delays": [0, 1, 1],
    "mixed": {"hidden_size": 64, "intermediate_size": 168, "num_hidden_layers": 3, "num_attention_heads": 4},
    "parts": {"hidden_size": 64, "intermediate_size": 168, "num_hidden_layers": 2, "num_attention_heads": 4},
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of everything.

    Attributes:
        labels: differently mislabelled copies of each phrase that the base learns from.
        mixed_steps, part_steps: of its two stages.
        prompts: whose songs become pairs; `candidates` songs each.
        validation: further prompts, on which the coefficients of a merge are chosen; `validation_songs` songs each.
        evaluation_songs: songs for each held-out prompt.
    """

    labels: int = 3
    mixed_steps: int = 400
    part_steps: int = 400
    prompts: int = 700
    candidates: int = 8
    validation: int = 150
    validation_songs: int = 6
    evaluation_songs: int = 3


@dataclass(frozen=True)
class Prepared:
    """A prepared seed.

    Attributes:
        folder: with `base/export` and the pairs of the arms.
        seed: of everything.
        world: the corpus.
        judges: of musicality.
        validation: whose prompts choose the coefficients of merges.
        facts: figures to look at before any arm.
    """

    folder: Path
    seed: int
    world: World
    judges: Judges
    validation: Sequence[Item]
    facts: dict[str, Any]


def prepare(folder: Path, world: World, seed: int, plan: Plan, log: Callable[[str], None]) -> Prepared:
    """Train the base and the judges, sample the base, and pair its songs; what the folder has is not made again.

    Raises:
        PrefalignError: if the folder was prepared for another seed or plan, which its arms then belong to.
    """
    asked, facts_file = {"seed": seed, **asdict(plan)}, folder / "facts.json"
    done = json.loads(facts_file.read_text("utf-8")) if facts_file.is_file() else None
    if done is not None and done["plan"] != asked:
        raise PrefalignError(
            f"{folder} was prepared with {done['plan']}, and {asked} is asked for: choose another --out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(derive_seed(seed, "prompts"))
    mine, _ = world.halves()
    chosen = [mine[place] for place in rng.permutation(len(mine))]
    paired, validation = chosen[: plan.prompts], chosen[plan.prompts : plan.prompts + plan.validation]
    seconds = _base(folder, world, seed, plan, log)
    policy = open_policy(folder / "base" / "export", world)
    judges = train_judges(folder, world, policy, seed, log)
    if done is not None:
        return Prepared(folder, seed, world, judges, validation, done)
    log(f"sampling {len(paired)} x {plan.candidates} songs")
    songs = sample(policy, [item.prompt for item in paired], plan.candidates, derive_seed(seed, "candidates"))
    prompts = [item.prompt for item in paired for _ in range(plan.candidates)]
    measured = measure(flat(songs), prompts, world.tokens, judges.reward)
    sets = pair_sets(candidates(paired, songs, measured), judges.threshold, seed)
    for name, pairs in sets.items():
        write_parquet(pairs, folder / f"pairs-{name}.parquet")
    facts = {
        "plan": asked,
        "base_seconds": seconds,
        "judges": judges.facts,
        "pairs": {name: len(pairs) for name, pairs in sets.items()},
        "candidates": {name: float(np.nanmean(values)) for name, values in measured.items()},
    }
    facts_file.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    log(f"pairs: {facts['pairs']}")
    return Prepared(folder, seed, world, judges, validation, facts)


def _base(folder: Path, world: World, seed: int, plan: Plan, log: Callable[[str], None]) -> float:
    """The two stages of supervised training; seconds that they took."""
    songs = folder / "songs.parquet"
    if not songs.exists():
        write_parquet(_labelled(world.trained, plan.labels, seed), songs)
    tokens = world.tokens
    conditioner = {"class_path": "audio/song_conditions", "init_args": {"vocabulary": str(world.words)}}
    # A dictionary in a config takes the place of the preset's whole, so the network is told in full.
    sizes = {"codes": list(tokens.sizes), "condition_ids": SongConditions(str(world.words)).ids, **NETWORK}
    seconds = 0.0
    for stage, steps, model in (
        ("mixed", plan.mixed_steps, {"model": sizes, "init_seed": seed}),
        ("base", plan.part_steps, {"model": str(folder / "mixed" / "export")}),
    ):
        log(f"{len(world.trained)} phrases, {steps} steps of supervised training ({stage})")
        change = {
            "seed_everything": seed,
            "model": {
                "init_args": {"policy": {"init_args": {"model": {"init_args": {**model, "conditioner": conditioner}}}}}
            },
            "data": {"init_args": {"train": str(songs), "seed": seed}},
            "trainer": {"max_steps": steps, "default_root_dir": str(folder / stage)},
        }
        preset = {"mixed": "audio/levo-tiny-mixed", "base": "audio/levo-tiny-parts"}[stage]
        seconds += run_arm(change, folder / stage, preset=preset)["seconds"]
    return seconds


def _labelled(items: Sequence[Item], copies: int, seed: int) -> list[PreferenceRecord]:
    return [
        PreferenceRecord(
            id=f"{number}/{copy}",
            prompt=pseudo_labelled(item.prompt, derive_seed(seed, "labels", number, copy)),
            responses=(Response(arrays={"codes": item.codes}),),
            verdict=Unary((True,)),
        )
        for number, item in enumerate(items)
        for copy in range(copies)
    ]


def open_policy(folder: Path, world: World) -> StreamPolicy:
    """A trained model, ready to sample."""
    model = LeLMModel(str(folder), SongConditions(str(world.words)))
    policy = StreamPolicy(model, max_frames=MOST_STEPS)
    policy.configure_model()
    policy.eval()
    return policy


def candidates(
    items: Sequence[Item], songs: Sequence[Sequence[Response]], measured: Measured
) -> list[PreferenceRecord]:
    """One record per prompt: its songs as candidates with everything that is measured of them as scores."""
    records, first = [], 0
    for item, group in zip(items, songs, strict=True):
        responses = tuple(
            replace(song, scores={name: float(values[first + place]) for name, values in measured.items()})
            for place, song in enumerate(group)
        )
        first += len(group)
        undecided = Ranking((0,) * len(responses))
        records.append(PreferenceRecord(id=item.song.name, prompt=item.prompt, responses=responses, verdict=undecided))
    return records
