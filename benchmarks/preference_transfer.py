"""How often preferences transferred between Meta-World tasks are right, with features that nobody made by hand.

Each pair of tasks carries labels from one to the other, which has none: blocks of 50 source and 50 target windows, all
pairs of windows labelled in the source, all pairs judged in the target. Labels come from the simulator's returns, or
from returns and how smoothly or roughly the robot acts, which is a preference that progress does not give away.

The row `rule` uses no label of any task: where it is as good, labels are not what transfers. `literal` are the sums of
products of couplings that PEARL's reviews spell out, held against 1/2; `in task` learns from 100 labels of the target,
on other episodes than those it is judged on.

    python benchmarks/preference_transfer.py --cache DIRECTORY --seeds 3 4 5 --json transfer.json
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from turns import machine

from prefalign_robotics.segments.segments import Segments, all_pairs
from prefalign_robotics.simulator.episodes import Episodes, windows
from prefalign_robotics.simulator.mixture import KINDS, generate_episodes
from prefalign_robotics.transfer.chance import accuracy
from prefalign_robotics.transfer.couplings import Coupler, Exact, Gromov, Nearest, Sinkhorn
from prefalign_robotics.transfer.features import flattened, raw, standardised, time_means
from prefalign_robotics.transfer.learned.controllability import split_numbers
from prefalign_robotics.transfer.learned.effort import action_roughness, agent_speed
from prefalign_robotics.transfer.learned.features import PROGRESS, learn_features
from prefalign_robotics.transfer.learned.split import Splitter
from prefalign_robotics.transfer.learned.subspaces import split_subspaces
from prefalign_robotics.transfer.learned.windows import cut
from prefalign_robotics.transfer.linear import fit_linear_reward
from prefalign_robotics.transfer.preferences import literal, transferred
from prefalign_robotics.transfer.progress import metaworld_progress
from prefalign_robotics.transfer.selftraining import confident_half, self_train
from prefalign_robotics.transfer.transfer import Transfer, vote

PAIRS = (
    ("window-open", "window-close"),
    ("drawer-open", "drawer-close"),
    ("door-open", "door-close"),
    *(
        (source, target)
        for source in ("button-press", "faucet-close")
        for target in ("window-open", "drawer-open", "door-close", "sweep-into")
    ),
)
NEW_PAIRS = tuple(
    (source, target)
    for source in ("button-press", "faucet-close")
    for target in ("faucet-open", "plate-slide", "handle-press", "coffee-button", "push", "door-lock")
)
STEPS, LENGTH, BLOCK, BLOCKS = 150, 50, 50, 8
COUPLERS: Mapping[str, tuple[Coupler, float]] = {
    "Gromov": (Gromov(), 0.01),
    "Sinkhorn": (Sinkhorn(), 0.05),
    "exact": (Exact(), 0.0),
    "nearest": (Nearest(), 0.0),
}
#: The ensemble is theirs.
VOTERS = ("Gromov", "Sinkhorn", "linear")
#: Of the target, for what `in task` learns.
IN_TASK_LABELS = 100
#: Weights of the return and of roughness, both standardised. With `reversed` every label of `smoothness` is the other
#: way round: whatever labels carry stays as good, and what needs none turns against whoever relies on it.
PREFERENCES: Mapping[str, tuple[float, float]] = {
    "return": (1.0, 0.0),
    "smoothness": (0.5, -1.0),
    "roughness": (0.5, 1.0),
    "reversed": (-0.5, 1.0),
}

#: From episodes to (E, T, F) numbers, learned from the rows (L,) of them only.
Featurise = Callable[[Episodes, np.ndarray], np.ndarray]


def learned(splitter: Splitter = split_numbers, effort: bool = False, mix: bool = False) -> Featurise:
    """Learned features, with effort beside them, or from observations in a random basis."""

    def featurise(episodes: Episodes, rows: np.ndarray) -> np.ndarray:
        whole = _mixed(episodes) if mix else episodes.as_segments()
        features = learn_features(whole.select(rows), splitter)
        found = features(whole)
        if effort:
            found = np.concatenate(
                [found, action_roughness(whole)[..., None], agent_speed(whole, features.split)[..., None]], -1
            )
        return found

    return featurise


def _mixed(episodes: Episodes) -> Segments:
    """The episodes with their standardised observations turned by a random rotation, one per task."""
    whole = episodes.as_segments()
    values = standardised(whole.observations)
    generator = np.random.default_rng(sum(episodes.task.encode()))
    rotation = np.linalg.qr(generator.standard_normal((values.shape[2], values.shape[2])))[0]
    return Segments((values @ rotation).astype(np.float32), whole.actions, whole.name)


FEATURES: Mapping[str, Featurise] = {
    "raw": lambda episodes, _: raw(episodes.settled().as_segments()),
    "hand-made": lambda episodes, _: metaworld_progress(episodes.settled().as_segments()),
    "learned": learned(),
    "learned, mixed basis": learned(split_subspaces, mix=True),
    "learned + effort": learned(effort=True),
}


@dataclass(frozen=True, eq=False)
class Task:
    """The windows of one task and seed.

    Attributes:
        returns: (N,) of each window.
        roughness: (N,) mean size of the change from action to action.
        episodes: (N,) that each was cut from.
        values: features (N, T, F) by name.
        cluster: by name, (N,) which of two clusters each window is in.
    """

    returns: np.ndarray
    roughness: np.ndarray
    episodes: np.ndarray
    values: Mapping[str, np.ndarray]
    cluster: Mapping[str, np.ndarray]

    def utility(self, preference: str) -> np.ndarray:
        """(N,) what a window is worth to whoever prefers so."""
        earned, rough = PREFERENCES[preference]
        return earned * _scaled(self.returns) + rough * _scaled(self.roughness)


def prepare(task: str, seed: int, names: Sequence[str], options: argparse.Namespace) -> Task:
    """Simulate, cut and featurise a task."""
    episodes = generate_episodes(task, options.episodes, STEPS, seed, cache=options.cache)
    drawn = windows(episodes, BLOCK * BLOCKS, LENGTH, seed)
    rows = np.flatnonzero(~np.isin(episodes.kinds, options.without))[: options.learn_from]
    values = {
        name: cut(FEATURES[name](episodes, rows), drawn.episodes, drawn.starts, LENGTH).astype(np.float64)
        for name in names
    }
    clusters = {name: kmeans2(flattened(v).numpy(), 2, minit="++", seed=seed)[1] for name, v in values.items()}
    changes = np.abs(np.diff(drawn.segments.actions.astype(np.float64), axis=1)).mean((1, 2))
    return Task(drawn.returns, changes, drawn.episodes, values, clusters)


def judge(source: Task, target: Task, name: str, preference: str) -> dict[str, dict[str, float]]:
    """Accuracies of every method on one pair of tasks."""
    given, wanted = source.utility(preference), target.utility(preference)
    pairs = all_pairs(BLOCK)
    offsets = BLOCK * np.arange(BLOCKS)
    asked = (pairs[None] + offsets[:, None, None]).reshape(-1, 2)
    blocks = np.repeat(np.arange(BLOCKS), len(pairs))
    labels = 0.5 + 0.5 * np.sign(wanted[asked[:, 1]] - wanted[asked[:, 0]])
    known, sought = source.values[name], target.values[name]
    answers = {}
    utility = torch.from_numpy(given.reshape(BLOCKS, BLOCK))
    signed = 0.5 * (utility[:, None, :] - utility[:, :, None]).sign()
    for method, (coupler, epsilon) in COUPLERS.items():
        coupling = coupler.couple(_blocks(flattened(known)), _blocks(flattened(sought)), epsilon).coupling
        margins = transferred(coupling, signed, torch.ones_like(signed))
        answers[method] = margins[:, pairs[:, 0], pairs[:, 1]].flatten().numpy()
        if method == "Gromov":
            sums = literal(coupling, signed + 0.5) - 0.5
            answers["literal"] = sums[:, pairs[:, 0], pairs[:, 1]].flatten().numpy()
    answers["linear"] = _linear(time_means(known).numpy(), given, time_means(sought).numpy(), pairs)
    answers["ensemble"] = _voted(asked, blocks, [answers[voter] for voter in VOTERS])
    if name != "raw":  # a student of thousands of numbers would learn nothing but them
        answers["Gromov + student"] = self_train(Transfer(asked, answers["Gromov"]), sought, blocks).margins
        answers["ensemble + student"] = self_train(Transfer(asked, answers["ensemble"]), sought, blocks).margins
    answers.update(_rules(time_means(sought).numpy(), asked, name))
    answers["in task"] = _in_task(time_means(sought).numpy(), wanted, target.episodes, asked)
    across = target.cluster[name][asked[:, 0]] != target.cluster[name][asked[:, 1]]
    return {method: _measures(margins, labels, blocks, across) for method, margins in answers.items()}


def _measures(margins: np.ndarray, labels: np.ndarray, blocks: np.ndarray, across: np.ndarray) -> dict[str, float]:
    """Accuracy on the pairs that have an answer, on the more confident half of each block, and across clusters."""
    answered = np.isfinite(margins)
    margins, labels, blocks, across = margins[answered], labels[answered], blocks[answered], across[answered]
    return {
        "all": _share(margins, labels),
        "confident": _share(margins, labels, confident_half(margins, blocks)),
        "across": _share(margins, labels, across),
    }


def _linear(known: np.ndarray, given: np.ndarray, sought: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Margins of a linear reward, fitted to each block's labels."""
    found = []
    for start in range(0, BLOCK * BLOCKS, BLOCK):
        rows = slice(start, start + BLOCK)
        utility = given[rows]
        labels = 0.5 + 0.5 * np.sign(utility[pairs[:, 1]] - utility[pairs[:, 0]])
        rewards = sought[rows] @ fit_linear_reward(known[rows], pairs, labels)
        found.append(1 / (1 + np.exp(rewards[pairs[:, 0]] - rewards[pairs[:, 1]])) - 0.5)
    return np.concatenate(found)


def _in_task(sought: np.ndarray, wanted: np.ndarray, episodes: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Margins of a linear reward that learnt from labels of the other half of the episodes; NaN across the halves."""
    margins = np.full(len(asked), np.nan)
    for half in (0, 1):
        taught, judged = np.flatnonzero(episodes % 2 == half), (episodes % 2 != half)[asked].all(1)
        drawn = taught[all_pairs(len(taught))]
        pairs = np.random.default_rng(half).permutation(drawn[wanted[drawn[:, 0]] != wanted[drawn[:, 1]]])
        pairs = pairs[:IN_TASK_LABELS]
        labels = (wanted[pairs[:, 1]] > wanted[pairs[:, 0]]).astype(float)
        rewards = sought @ fit_linear_reward(sought, pairs, labels)
        margins[judged] = rewards[asked[judged, 1]] - rewards[asked[judged, 0]]
    return margins


def _voted(asked: np.ndarray, blocks: np.ndarray, margins: Sequence[np.ndarray]) -> np.ndarray:
    votes = []
    for block in range(BLOCKS):
        rows = blocks == block
        votes.append(vote([Transfer(asked[rows], one[rows]) for one in margins]).margins)
    return np.concatenate(votes)


def _rules(means: np.ndarray, asked: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """Margins of fixed rules that no label enters."""
    if not name.startswith("learned"):
        return {}
    progress = _scaled(means[:, : len(PROGRESS)]) @ np.array(PROGRESS)
    scores = {"rule": progress}
    if means.shape[1] > len(PROGRESS):
        smooth = -_scaled(means[:, len(PROGRESS)])
        scores |= {"rule: smoothness": smooth, "rule: both": _scaled(progress) + smooth}
    return {rule: score[asked[:, 1]] - score[asked[:, 0]] for rule, score in scores.items()}


def _scaled(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = (values - values.mean(0)) / values.std(0)
    return found


def _blocks(vectors: torch.Tensor) -> torch.Tensor:
    return vectors.reshape(BLOCKS, BLOCK, -1)


def _share(margins: np.ndarray, labels: np.ndarray, rows: np.ndarray | slice = slice(None)) -> float:
    return float(accuracy(torch.from_numpy(margins[rows]), labels[rows]))


def summary(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Mean over pairs for each seed, by features, method and measure."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name in dict.fromkeys(result["features"] for result in results):
        rows = [result for result in results if result["features"] == name]
        seeds = sorted({row["seed"] for row in rows})
        found[name] = {
            method: {
                measure: [
                    statistics.fmean(row["methods"][method][measure] for row in rows if row["seed"] == seed)
                    for seed in seeds
                ]
                for measure in ("all", "confident", "across")
            }
            for method in rows[0]["methods"]
        }
    return found


def table(means: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]) -> str:
    """The summary as Markdown: mean and standard deviation over seeds."""
    lines = ["| features | method | all pairs | confident half | across clusters |", "|---|---|---|---|---|"]
    for name, methods in means.items():
        for method, measures in methods.items():
            cells = [
                f"{statistics.fmean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}"
                for values in measures.values()
            ]
            lines.append(f"| {name} | {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def pair_table(results: Sequence[Mapping[str, Any]], method: str = "ensemble") -> str:
    """One method's accuracy on all pairs of windows, by pair of tasks, as Markdown: means over seeds."""
    features = list(dict.fromkeys(result["features"] for result in results))
    lines = [f"| source → target, {method} | {' | '.join(features)} |", "|---" * (len(features) + 1) + "|"]
    for pair in dict.fromkeys((result["source"], result["target"]) for result in results):
        rows = [result for result in results if (result["source"], result["target"]) == pair]
        cells = [
            f"{statistics.fmean(row['methods'][method]['all'] for row in rows if row['features'] == name):.3f}"
            for name in features
        ]
        lines.append(f"| {pair[0]} → {pair[1]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5], help="of data and windows")
    parser.add_argument("--features", nargs="+", choices=FEATURES, default=list(FEATURES)[:4])
    parser.add_argument("--preference", choices=PREFERENCES, default="return")
    parser.add_argument("--new-tasks", action="store_true", help="twelve other pairs, on which nothing was chosen")
    parser.add_argument("--episodes", type=int, default=100, help="of each task")
    parser.add_argument("--learn-from", type=int, help="only so many of the episodes; windows still come from all")
    parser.add_argument("--without", nargs="+", choices=KINDS, default=(), help="kinds of episodes not to learn from")
    parser.add_argument("--cache", type=Path, help="folder for simulated episodes")
    parser.add_argument("--json", type=Path, help="file for all figures (JSON)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pairs = NEW_PAIRS if options.new_tasks else PAIRS
    results = []
    for seed in options.seeds:
        names = dict.fromkeys(task for pair in pairs for task in pair)
        tasks = {task: prepare(task, seed, options.features, options) for task in names}
        for source, target in pairs:
            for name in options.features:
                found = judge(tasks[source], tasks[target], name, options.preference)
                results.append({"seed": seed, "source": source, "target": target, "features": name, "methods": found})
        print(f"seed {seed} done", flush=True)
    means = summary(results)
    print(table(means), pair_table(results), sep="\n\n")
    if options.json:
        settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
        packages = ("torch", "numpy", "metaworld", "mujoco")
        report = {"settings": settings, "machine": machine(*packages), "means": means, "pairs": results}
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
