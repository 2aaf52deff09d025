"""Running the comparison: every arm of a seed trained through the command, merged, sampled and judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from prefalign.data.build import derive_seed
from prefalign.inference.best_of_n import BestOfN
from prefalign.interfaces import Prompt, Response, Reward, unknown_name
from prefalign.merging import loaded
from prefalign.rewards.combine import Ensemble, Weighted
from prefalign_audio.song_demo.arms import ARMS, CRITERIA, train
from prefalign_audio.song_demo.judging import Scorer, flat, means, measure, sample
from prefalign_audio.song_demo.merges import FIXED, Chosen, choose, merged
from prefalign_audio.song_demo.preparation import Plan, Prepared, open_policy, prepare
from prefalign_audio.song_demo.world import World
from prefalign_audio.songs.rewards import LyricReward, MusicalityReward, PromptReward
from prefalign_audio.songs.scorer import ARCHITECTURES
from prefalign_audio.streams.codec import CODES
from prefalign_audio.streams.policy import StreamPolicy

Figures = dict[str, float]


def check_arms(names: Sequence[str]) -> None:
    """Refuse arms that are not there.

    Raises:
        PrefalignError: with near names.
    """
    for name in names:
        if name not in ARMS:
            raise unknown_name("arm", name, ARMS)


def run_seed(
    folder: Path, world: World, seed: int, names: Sequence[str], plan: Plan, log: Callable[[str], None]
) -> tuple[Prepared, dict[str, Figures]]:
    """Figures of the base, of every arm, and of mixtures where all criteria have a run of their own.

    Args:
        folder: of the seed.
        world: the corpus.
        seed: of everything.
        names: of the arms; see `check_arms`.
        plan: how much of everything.
        log: told what is done.
    """
    prepared = prepare(folder, world, seed, plan, log)
    bench = Bench(prepared, plan)
    base = load_file(folder / "base" / "export" / "model.safetensors")
    results = {"real": bench.real(), "base": bench.figures("base", base)}
    log("base: " + shown(results["base"]))
    results["best_of_8"] = bench.best_of("best_of_8", base, 8)
    log("best of 8: " + shown(results["best_of_8"]))
    models: dict[str, dict[str, Tensor]] = {}
    for name in names:
        seconds = train(name, folder, world.words, seed)
        models[name] = load_file(folder / "arms" / name / "export" / "model.safetensors")
        results[name] = {**bench.figures(name, models[name]), "seconds": seconds}
        log(f"{name}: {shown(results[name])}, {seconds:.0f} s")
    if all(name in models for name in CRITERIA):
        chosen = _chosen(bench, models, base, folder / "merges.json")
        weights = {**FIXED, "searched": chosen.worst, "searched_lyric": chosen.lyric}
        for name, share in weights.items():
            results[name] = {**bench.figures(name, merged(models, base, share)), **_weights(share)}
            log(f"{name} {tuple(round(part, 3) for part in share)}: {shown(results[name])}")
        both = bench.best_of("searched_best_of_8", merged(models, base, chosen.worst), 8)
        results["searched_best_of_8"] = both
        log("searched, best of 8: " + shown(both))
    return prepared, results


def shown(figures: Figures) -> str:
    """The axes in a line."""
    return (
        f"lyric error {figures['lyric_error']:.3f}, prompt {figures['prompt']:.3f}, "
        f"musicality {figures['musicality']:.2f}"
    )


def _weights(share: Sequence[float]) -> Figures:
    return {f"weight_{name}": part for name, part in zip(CRITERIA, share, strict=True)}


class Bench:
    """Samples models of a seed and measures their songs; what was measured before is read again.

    Args:
        prepared: the seed.
        plan: how many songs.
    """

    def __init__(self, prepared: Prepared, plan: Plan) -> None:
        self.prepared, self.plan = prepared, plan
        self.policy: StreamPolicy = open_policy(prepared.folder / "base" / "export", prepared.world)
        self.held_out: list[Prompt] = [item.prompt for item in prepared.world.held_out]
        self._file = prepared.folder / "figures.json"
        self._known = json.loads(self._file.read_text("utf-8")) if self._file.is_file() else {}

    def figures(self, name: str, state: Mapping[str, Tensor]) -> Figures:
        """Means over songs for the held-out prompts, with the judge that no preference came from.

        What the reward says of them stands beside it: where that gains and the judge does not, the reward was fooled.
        """
        if name not in self._known:
            self._keep(name, self.songs(state))
        return dict(self._known[name])

    def _keep(self, name: str, songs: Sequence[Sequence[Response]]) -> None:
        judges = self.prepared.judges
        reward = self._measured(songs, self.held_out, judges.reward)["musicality"]
        self._known[name] = {**self._measured(songs, self.held_out, judges.judge), "reward": reward}
        self._file.write_text(json.dumps(self._known, indent=2) + "\n", encoding="utf-8")

    def songs(self, state: Mapping[str, Tensor]) -> list[list[Response]]:
        """Songs for the held-out prompts."""
        drawn = derive_seed(self.prepared.seed, "evaluation")
        with loaded(self.policy.family.network, [state], [1.0]):
            return sample(self.policy, self.held_out, self.plan.evaluation_songs, drawn)

    def validation(self, state: Mapping[str, Tensor]) -> Figures:
        """Means over songs for the validation prompts, with the reward that the preferences came from."""
        prompts = [item.prompt for item in self.prepared.validation]
        drawn = derive_seed(self.prepared.seed, "validation")
        with loaded(self.policy.family.network, [state], [1.0]):
            songs = sample(self.policy, prompts, self.plan.validation_songs, drawn)
        return self._measured(songs, prompts, self.prepared.judges.reward)

    def best_of(self, name: str, state: Mapping[str, Tensor], n: int) -> Figures:
        """The same where each song is the best of `n` by a sum of all criteria.

        What its songs are chosen by are the rewards that the preferences came from, and what measures them is not.
        """
        if name not in self._known:
            sampler = BestOfN(self.policy, self._all_criteria(), n)
            with loaded(self.policy.family.network, [state], [1.0]):
                rounds = [
                    sampler.sample(self.held_out, 1, generator=torch.Generator().manual_seed(drawn))
                    for drawn in self._draws(self.plan.evaluation_songs)
                ]
            self._keep(name, [[group[0] for group in groups] for groups in zip(*rounds, strict=True)])
        return dict(self._known[name])

    def _draws(self, count: int) -> list[int]:
        return [derive_seed(self.prepared.seed, "best of", number) for number in range(count)]

    def _all_criteria(self) -> Reward:
        """The sum of the criteria, each divided by about the deviation that it has among the base's songs."""
        tokens = self.prepared.world.tokens
        rewards: list[Reward] = [
            LyricReward(tokens),
            PromptReward(tokens),
            Ensemble([MusicalityReward(str(self.prepared.folder / "reward" / kind)) for kind in ARCHITECTURES]),
        ]
        shares = {"phoneme_rate": 1 / 0.2, "prompt": 1 / 0.35, "musicality": 1 / 4}
        names = [name for reward in rewards for name in reward.criteria]
        return Weighted(rewards, [shares.get(name, 0.0) for name in names])

    def real(self) -> Figures:
        """The held-out phrases themselves."""
        if "real" not in self._known:
            self._keep("real", [[Response(arrays={CODES: item.codes})] for item in self.prepared.world.held_out])
        return dict(self._known["real"])

    def _measured(self, songs: Sequence[Sequence[Response]], prompts: Sequence[Prompt], scorer: Scorer) -> Figures:
        asked = [prompt for prompt, group in zip(prompts, songs, strict=True) for _ in group]
        return means(measure(flat(songs), asked, self.prepared.world.tokens, scorer))


def _chosen(bench: Bench, models: Mapping[str, Mapping[str, Tensor]], base: Mapping[str, Tensor], file: Path) -> Chosen:
    if file.is_file():
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return Chosen(tuple(found["worst"]), tuple(found["lyric"]), found["tried"])
    chosen = choose(lambda weights: bench.validation(merged(models, base, weights)), bench.validation(base))
    file.write_text(json.dumps(asdict(chosen), indent=2) + "\n", encoding="utf-8")
    return chosen
