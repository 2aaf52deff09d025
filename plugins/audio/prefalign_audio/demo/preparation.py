"""What every arm starts from: a world, a base trained in it, and judged samples of the base as preference records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefalign.data.build import run_stages
from prefalign.data.stages import AllLabelPairs, BestWorst
from prefalign.data.store import write_parquet
from prefalign.interfaces import Group, Pair, PrefalignError, PreferenceRecord, Prompt, Ranking, Response, Unary
from prefalign.models.latents import LATENTS
from prefalign.policies.denoising import DenoisingPolicy
from prefalign_audio.demo.denoiser import EventDenoiser
from prefalign_audio.demo.event_reward import EventReward, reward_quality, train_head
from prefalign_audio.demo.pretraining import PretrainingSettings, pretrain
from prefalign_audio.demo.randomness import generator_for
from prefalign_audio.demo.world import World, make_world

CANDIDATES = 5  # clips of a group, as BATON's listeners had them
_SCORE = "reward"
_GAP = 0.5  # of scores, above which best and worst of a group make a pair


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """Which world, and how well it is listened to.

    Attributes:
        classes: kinds of events, 2 to 8.
        overlap: seconds by which events may overlap, 0 to 0.5.
        label_noise: share of the annotator's labels that are flipped, 0 to 0.5.
        groups: of `CANDIDATES` clips for each caption that alignment sees; half of them are labelled, half scored.
        pretraining: how the base is trained.
    """

    classes: int = 6
    overlap: float = 0.0
    label_noise: float = 0.0
    groups: int = 16
    pretraining: PretrainingSettings = field(default_factory=PretrainingSettings)


@dataclass(frozen=True)
class Prepared:
    """A prepared seed.

    Attributes:
        folder: with `base/` and the record files.
        world: judges and captions.
        reward: trained on the labels.
        facts: figures to look at before any arm.
    """

    folder: Path
    world: World
    reward: EventReward
    facts: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Judged:
    """Samples of the base, in groups of `CANDIDATES` for one caption.

    Attributes:
        captions: (groups, 2) event classes.
        latents: (groups, CANDIDATES, 12, 16).
        labels: (groups, CANDIDATES) what the annotator says, mistakes included.
        scores: (groups, CANDIDATES) of the reward model, 0..1.
        labelled: (groups,) bool, whether the labels are used; of the other groups the scores are.
    """

    captions: Tensor
    latents: Tensor
    labels: Tensor
    scores: Tensor
    labelled: Tensor


def prepare(folder: Path, seed: int, difficulty: Difficulty, log: Callable[[str], None]) -> Prepared:
    """Make the world and the reward model; train the base and write its judged samples unless the folder has them.

    Writes `base/`; `anchor.parquet`, the noisy clips that the base learnt from; `rated.parquet`, every sample with its
    label or score; `pairs.parquet`, chosen and rejected samples of one caption; `coin.parquet`, the same pairs with the
    winner chosen by a coin; and last `facts.json`, without which the folder counts as not prepared.

    Raises:
        PrefalignError: if the folder was prepared for another seed or difficulty, which its arms then belong to.
    """
    facts_file, plan = folder / "facts.json", {"seed": seed, **asdict(difficulty)}
    done = json.loads(facts_file.read_text("utf-8")) if facts_file.is_file() else None
    if done is not None and done["plan"] != plan:
        raise PrefalignError(
            f"{folder} was prepared with {done['plan']}, and {plan} is asked for: choose another --out"
        )
    world = make_world(seed, difficulty.classes, overlap=difficulty.overlap, log=log)
    folder.mkdir(parents=True, exist_ok=True)
    if done is None:
        log(f"training the base, {difficulty.pretraining.steps} steps")
        train_base(world, folder / "base", seed, difficulty.pretraining)
    log("sampling, labelling, scoring")
    judged, reward, facts = judge_samples(world, open_policy(folder / "base"), difficulty)
    if done is None:
        facts = {"plan": plan, "world": world.checks(), **facts, "pairs": write_records(folder, world, judged)}
        facts_file.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return Prepared(folder, world, reward, facts if done is None else done)


def judge_samples(
    world: World, policy: DenoisingPolicy, difficulty: Difficulty
) -> tuple[Judged, EventReward, dict[str, Any]]:
    """Samples of the base with labels and scores, the reward model that learnt from the labels, and how good it is."""
    seed = world.seed
    captions = world.captions[~world.held_out].repeat_interleave(difficulty.groups, 0)
    latents = draw(policy, world, captions, CANDIDATES, generator_for(seed, "candidates"))
    each = captions.repeat_interleave(CANDIDATES, 0)

    def grouped(values: Tensor) -> Tensor:
        return values.unflatten(0, (-1, CANDIDATES))

    truth = grouped(world.annotate(latents.flatten(0, 1), each))
    labels = flipped(truth, difficulty.label_noise, generator_for(seed, "label noise"))
    labelled = torch.arange(len(captions)) % 2 == 0
    reward = world.new_reward()
    generator = generator_for(seed, "reward head")
    held_out = train_head(reward, latents[labelled], captions[labelled], labels[labelled], generator)
    scores = grouped(reward.score(latents.flatten(0, 1), each))
    heard = grouped(world.judge.judge(latents.flatten(0, 1), each)[1].float())
    against = reward_quality(scores[~labelled].flatten(), heard[~labelled].flatten())
    facts = {
        "mean_label": truth[labelled].mean().item(),
        "reward_held_out": asdict(held_out),
        "reward_against_judge": asdict(against),
    }
    return Judged(captions, latents, labels, scores, labelled), reward, facts


def write_records(folder: Path, world: World, judged: Judged) -> dict[str, int]:
    """Write the record files; returns the numbers of pairs from labels and from scores."""
    labelled, scored = [], []
    for i, (caption, latents) in enumerate(zip(judged.captions, judged.latents, strict=True)):
        if judged.labelled[i]:
            labelled.append(group_record(world, i, caption, latents, labels=judged.labels[i]))
        else:
            scored.append(group_record(world, i, caption, latents, scores=judged.scores[i]))
    by_label = [*run_stages(labelled, [AllLabelPairs()], world.seed)]
    by_score = [*run_stages(scored, [BestWorst(_SCORE, min_gap=_GAP)], world.seed)]
    write_parquet([*by_label, *by_score], folder / "pairs.parquet")
    write_parquet(by_coin([*by_label, *by_score], world.seed), folder / "coin.parquet")
    write_parquet(singles([*labelled, *scored]), folder / "rated.parquet")
    write_parquet(anchors(world), folder / "anchor.parquet")
    return {"labelled": len(by_label), "scored": len(by_score)}


def train_base(world: World, folder: Path, seed: int, settings: PretrainingSettings) -> None:
    """Train the base on the world's noisy clips and write it."""
    denoiser = EventDenoiser.fresh(world.sounds.names, world.codec, seed)
    pretrain(denoiser, world.pretraining.latents, world.pretraining.captions, seed, settings)
    denoiser.save_pretrained(folder)


def open_policy(folder: Path) -> DenoisingPolicy:
    """A base or an arm's export, ready to sample."""
    policy = DenoisingPolicy(EventDenoiser(str(folder)))
    policy.configure_model()
    return policy


def draw(policy: DenoisingPolicy, world: World, captions: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """(captions, n, 12, 16) samples for captions (M, 2), with the family's usual steps and guidance."""
    prompts = [Prompt(text=world.caption(pair)) for pair in captions]
    parts = []
    for start in range(0, len(prompts), 96):  # bounds the memory
        groups = policy.sample(prompts[start : start + 96], n, generator=generator, decode=False)
        parts += [torch.stack([torch.from_numpy(r.arrays[LATENTS]) for r in group]) for group in groups]
    return torch.stack(parts)


def flipped(labels: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Labels of 0 and 1 with exactly that share of them turned round."""
    flat = labels.clone().flatten()
    turned = torch.randperm(len(flat), generator=generator)[: round(share * len(flat))]
    flat[turned] = 1 - flat[turned]
    return flat.reshape(labels.shape)


def group_record(
    world: World,
    number: int,
    caption: Tensor,
    latents: Tensor,
    *,
    labels: Tensor | None = None,
    scores: Tensor | None = None,
) -> PreferenceRecord:
    """The candidates of one caption with an annotator's labels or a reward model's scores."""
    noted = [{}] * len(latents) if scores is None else [{_SCORE: float(score)} for score in scores]
    responses = tuple(
        Response(arrays={LATENTS: part.numpy()}, scores=note) for part, note in zip(latents, noted, strict=True)
    )
    verdict = Ranking((0,) * len(latents)) if labels is None else Unary(tuple(bool(label) for label in labels))
    return PreferenceRecord(
        id=f"group-{number:04}", prompt=Prompt(text=world.caption(caption)), responses=responses, verdict=verdict
    )


def singles(groups: Sequence[PreferenceRecord]) -> Iterator[PreferenceRecord]:
    """One record per clip, with its label or score as a number."""
    for group in groups:
        for index, response in enumerate(group.responses):
            label = float(group.verdict.labels[index]) if isinstance(group.verdict, Unary) else response.scores[_SCORE]
            yield PreferenceRecord(
                id=f"{group.id}/{index}", prompt=group.prompt, responses=(response,), verdict=Group((label,))
            )


def by_coin(pairs: Sequence[PreferenceRecord], seed: int) -> Iterator[PreferenceRecord]:
    """The same pairs with half of their verdicts turned round."""
    coins = torch.rand(len(pairs), generator=generator_for(seed, "coin")) < 0.5
    for record, turned in zip(pairs, coins.tolist(), strict=True):
        verdict = Pair(1, 0) if turned else Pair(0, 1)
        yield PreferenceRecord(id=record.id, prompt=record.prompt, responses=record.responses, verdict=verdict)


def anchors(world: World) -> Iterator[PreferenceRecord]:
    """The clips that the base learnt from, wrong captions included."""
    clips = world.pretraining
    for index, (latents, caption) in enumerate(zip(clips.latents, clips.captions, strict=True)):
        response = Response(arrays={LATENTS: latents.numpy()})
        yield PreferenceRecord(
            id=f"clip-{index:05}",
            prompt=Prompt(text=world.caption(caption)),
            responses=(response,),
            verdict=Unary((True,)),
        )
