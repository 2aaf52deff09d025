"""How well rewards from few comparisons order unseen Meta-World episodes, against the simulator's true return.

RAPL spends triplets on a space, and judges by demonstrations in it; RLHF spends them on a reward of each step; OTR has
demonstrations only. Each is trained on 60 episodes (experts, strangers and chance), of which the ten of the largest
return are the demonstrations, and judged by Spearman's correlation of its totals with the returns of 40 others.

Three settings: the task itself; the same with the observations of another episode beside its own, which nobody should
care about; and across tasks, where comparisons are of another task than demonstrations and judgement. Meta-World has
one arm, so that nothing is said about other embodiments.

    python benchmarks/aligned_rewards.py --cache DIRECTORY --seeds 0 1 2 3 4 --json aligned.json
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from turns import machine

from prefalign.interfaces import Group, PreferenceRecord, Prompt, Ranking, Response, Reward
from prefalign.objectives.reward_modelling import BradleyTerry
from prefalign_robotics.rewards.alignment.demonstrations import DemonstrationReward
from prefalign_robotics.rewards.alignment.encoders import PerceptronEncoder, StepEncoder
from prefalign_robotics.rewards.alignment.reward import AlignedReward
from prefalign_robotics.rewards.alignment.triplets import triplets
from prefalign_robotics.rewards.mlp import MarkovReward
from prefalign_robotics.segments.segments import Segments
from prefalign_robotics.simulator.episodes import Episodes
from prefalign_robotics.simulator.mixture import generate_episodes

TASKS = ("window-open", "button-press")
TRIPLETS = (20, 50, 150)
EPISODES, TRAINING, STEPS, DEMONSTRATIONS = 100, 60, 150, 10
#: Kept of every so many steps; triplets in a batch; steps of Adam.
EVERY, BATCH, UPDATES = 5, 10, 100
#: Weight of the plan's entropy in training and judgement alike: the released code's, and one at which steps match.
EPSILONS = (1.0, 0.2)
#: Step sizes: a linear map to 32 numbers, which is what RAPL trains, and RLHF's perceptron.
LINEAR_RATE, PERCEPTRON_RATE = 1e-2, 1e-3


def prepared(task: str, seed: int, distracted: bool, options: argparse.Namespace) -> Episodes:
    """Episodes with every fifth step; `distracted` puts those of a random other episode beside each."""
    episodes = generate_episodes(task, EPISODES, STEPS, seed, cache=options.cache).settled()
    observations = episodes.observations
    if distracted:
        others = np.random.default_rng(seed).permutation(len(episodes))
        observations = np.concatenate([observations, observations[others]], 2)
    thin = {name: getattr(episodes, name)[:, ::EVERY] for name in ("actions", "rewards", "success")}
    # Returns are those of all steps: thinning is the learners' affair.
    thin["rewards"] = np.repeat(episodes.returns[:, None] / thin["rewards"].shape[1], thin["rewards"].shape[1], 1)
    return replace(episodes, observations=np.ascontiguousarray(observations[:, ::EVERY]), **thin)


def fit(reward: Reward, records: Sequence[PreferenceRecord], rate: float, seed: int) -> None:
    """Adam on Bradley and Terry's likelihood."""
    examples = [reward.codec.encode(record) for record in records]
    optimizer, objective = torch.optim.Adam(reward.parameters(), rate), BradleyTerry()
    for rows in _batches(len(examples), seed):
        batch = reward.codec.collate([examples[row] for row in rows])
        optimizer.zero_grad()
        objective(reward(batch), batch.relations).loss.backward()
        optimizer.step()
    reward.eval()


def _batches(count: int, seed: int) -> Iterator[list[int]]:
    generator, left = torch.Generator().manual_seed(seed), UPDATES
    while left:
        for rows in torch.randperm(count, generator=generator).split(BATCH)[:left]:
            yield rows.tolist()
            left -= 1


def whole_ranking(record: PreferenceRecord) -> PreferenceRecord:
    """A triplet with its anchor as the best of three responses: all that its judge said."""
    assert record.reference_answer is not None
    assert isinstance(record.verdict, Ranking)
    responses = (record.reference_answer, *record.responses)
    return replace(record, responses=responses, verdict=Ranking((0, *record.verdict.ranks)), reference_answer=None)


def by_demonstrations(encoder: StepEncoder | None, known: Episodes, unseen: Episodes, epsilon: float) -> float:
    """Correlation of a reward by transport from the best known episodes."""
    best = known.observations[np.argsort(-known.returns, kind="stable")[:DEMONSTRATIONS]]
    reward = DemonstrationReward(best, encoder, epsilon=epsilon, iterations=1000, tolerance=1e-4, squashing="none")
    return float(spearmanr(reward.score(unseen).sum(1), unseen.returns)[0])


def by_steps(reward: MarkovReward, unseen: Episodes) -> float:
    """Correlation of a reward of steps."""
    responses = tuple(
        Response(arrays={"observations": seen, "actions": done})
        for seen, done in zip(unseen.observations, unseen.actions, strict=True)
    )
    verdict = Group(tuple(unseen.returns.tolist()))
    record = PreferenceRecord(id=unseen.task, prompt=Prompt(), responses=responses, verdict=verdict)
    with torch.no_grad():
        totals = reward(reward.codec.collate([reward.codec.encode(record)])).totals().mean[:, 0]
    return float(spearmanr(totals, unseen.returns)[0])


def judge(source: Episodes, target: Episodes, seed: int, counts: Sequence[int]) -> dict[str, dict[str, float]]:
    """Correlation on the target's unseen episodes by method and number of triplets of the source."""
    rows = np.arange(TRAINING)
    compared, known, unseen = source.select(rows), target.select(rows), target.select(np.arange(TRAINING, EPISODES))
    size, actions = source.observations.shape[2], source.actions.shape[2]
    found: dict[str, dict[str, float]] = {"OTR": {"0": by_demonstrations(None, known, unseen, 0.01)}}
    segments = Segments(compared.observations, compared.actions, compared.task)
    for count in counts:
        asked = triplets(segments, compared.rewards, count, seed=seed)
        for epsilon in EPSILONS:
            aligned = AlignedReward(PerceptronEncoder(size, [], init_seed=seed), epsilon=epsilon)
            aligned.configure_model()
            fit(aligned, asked, LINEAR_RATE, seed)
            row = found.setdefault(f"RAPL, epsilon {epsilon:g}", {})
            row[str(count)] = by_demonstrations(aligned.encoder, known, unseen, epsilon)
        for name, records in (("its pair", asked), ("all three pairs", [whole_ranking(one) for one in asked])):
            markov = MarkovReward(size, actions, [128, 128], init_seed=seed)
            markov.configure_model()
            fit(markov, records, PERCEPTRON_RATE, seed)
            found.setdefault(f"RLHF, {name} of a triplet", {})[str(count)] = by_steps(markov, unseen)
    return found


def measure(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """All settings of one seed, printed as they come."""
    results: dict[str, Any] = {}

    def add(setting: str, source: Episodes, target: Episodes, counts: Sequence[int]) -> None:
        results[setting] = judge(source, target, seed, counts)
        print(f"seed {seed}\n{table([{setting: results[setting]}])}", flush=True)

    plain = {task: prepared(task, seed, False, options) for task in TASKS}
    for task, episodes in plain.items():
        add(task, episodes, episodes, TRIPLETS)
    for task in TASKS:
        beside = prepared(task, seed, True, options)
        add(f"{task}, distracted", beside, beside, TRIPLETS[-1:])
    for source, target in (TASKS, TASKS[::-1]):
        add(f"{source} to {target}", plain[source], plain[target], TRIPLETS[-1:])
    return results


def table(results: Sequence[dict[str, Any]]) -> str:
    """Mean over seeds ± sample standard deviation."""
    lines = []
    for setting in results[0]:
        lines.append(setting)
        for method, row in results[0][setting].items():
            cells = []
            for count in row:
                values = [one[setting][method][count] for one in results]
                spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
                cells.append(f"{count}: {statistics.mean(values):.2f}{spread}")
            lines.append(f"  {method:36s} " + "   ".join(cells))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="default %(default)s")
    parser.add_argument("--cache", type=Path, help="folder that keeps simulated episodes")
    parser.add_argument("--json", type=Path, help="write every seed's figures")
    options = parser.parse_args(argv)
    results = [measure(seed, options) for seed in options.seeds]
    print(f"mean of seeds {options.seeds}; triplets: correlation\n{table(results)}")
    if options.json:
        report = {
            "seeds": options.seeds,
            "machine": machine("torch", "numpy", "metaworld", "mujoco"),
            "results": results,
        }
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
