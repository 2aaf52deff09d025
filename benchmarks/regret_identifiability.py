"""Which reward is learned when people judge by regret: by the regret model, and by partial return.

    python benchmarks/regret_identifiability.py --tasks 100 --json regret.json

Random grids after section 5 of Knox et al. (arXiv 2206.02231), whose exact recipe this is not: each cell has one of
five kinds, one cell is the end, and entering a cell shows its kind. The reward of a kind is drawn from N(0, 1). Of two
walks of three steps the first is preferred with probability σ(its judgement − the other's) under the true reward, where
the judgement of a walk is minus its regret.

With `--no-noisy` the better walk is always preferred, and with `--no-ends` no walk reaches the end: all are then of
one length, and partial return cannot tell a reward from the same reward plus a constant, though the constant decides
whether to seek the end or to avoid it.

Four models then learn a reward from the same judgements, each by the same number of Adam steps; of several random
starts that of the smallest training loss is kept, for each task by itself:

- `regret`: with exact values of the reward that is being learned;
- `regret_successor`: with the smooth maximum over a library of policies, which needs no planning;
- `partial_return`: the usual model;
- `partial_return_greedy`: the usual model with a reward for each state and action, and the policy that takes the
  largest one at once: such a reward is an estimate of the optimal advantage (Knox et al., arXiv 2310.02456).

A learned reward is worth what its optimal policy earns under the true one, averaged over the states where an episode
may begin: 1 is optimal, 0 what random actions earn. Reported is the share of the tasks above 0.9.

All tasks are solved at once and exactly, in float64.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from prefalign.functional.reward_modelling import bradley_terry
from prefalign_robotics.rewards.regret import ExactValues, SuccessorValues, step_judgements
from prefalign_robotics.rewards.tabular import TabularTask, after, optimal_policy, optimal_values, policy_sum

KINDS, MOVES, NEAR = 5, ((-1, 0), (1, 0), (0, -1), (0, 1)), 0.9


@dataclass(frozen=True)
class Workload:
    """What is learned from what.

    Attributes:
        tasks: random grids.
        side: of a grid.
        pairs: judged pairs for each task.
        length: steps of a walk.
        discount: γ.
        steps: of Adam.
        rate: its learning rate.
        starts: random starts.
        policies: in the library of `regret_successor`.
        noisy: whether the worse walk is preferred at times.
        ends: whether walks may reach the end.
        seed: of everything.
    """

    tasks: int = 100
    side: int = 5
    pairs: int = 1000
    length: int = 3
    discount: float = 0.999
    steps: int = 300
    rate: float = 0.05
    starts: int = 4
    policies: int = 32
    noisy: bool = True
    ends: bool = True
    seed: int = 0


def grids(load: Workload, generator: torch.Generator) -> TabularTask:
    """Grids in which walking into a wall stays where it is; features are the kind of the entered cell, or the end."""
    cells = load.side**2
    row, column = torch.arange(cells) // load.side, torch.arange(cells) % load.side
    moved = [
        (row + down).clamp(0, load.side - 1) * load.side + (column + right).clamp(0, load.side - 1)
        for down, right in MOVES
    ]
    successors = torch.stack(moved, 1).expand(load.tasks, cells, len(MOVES)).contiguous()
    kinds = torch.randint(KINDS, (load.tasks, cells), generator=generator)
    end = torch.randint(cells, (load.tasks, 1), generator=generator)
    kinds.scatter_(1, end, KINDS)
    shown = one_hot(torch.gather(kinds.unsqueeze(-1).expand(successors.shape), 1, successors), KINDS + 1).double()
    return TabularTask(successors, shown, kinds == KINDS, load.discount)


def walks(task: TabularTask, load: Workload, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """States and actions (M, 2 · pairs, T) of random walks from anywhere but the end."""
    actions_allowed = torch.ones_like(task.successors, dtype=torch.float64)
    if not load.ends:
        actions_allowed -= after(task, task.absorbing.double())
        actions_allowed[task.absorbing] = 1.0  # never walked from, but a distribution is asked for
    state = torch.multinomial((~task.absorbing).double(), 2 * load.pairs, replacement=True, generator=generator)
    states, actions = [], []
    for _ in range(load.length):
        chances = torch.gather(actions_allowed, 1, state.unsqueeze(-1).expand(*state.shape, len(MOVES)))
        action = torch.multinomial(chances.flatten(0, 1), 1, generator=generator).reshape(state.shape)
        states.append(state)
        actions.append(action)
        led = torch.gather(task.successors.flatten(-2), 1, state * len(MOVES) + action)
        state = torch.where(torch.gather(task.absorbing, 1, state), state, led)
    return torch.stack(states, -1), torch.stack(actions, -1)


def preferred(scores: Tensor, load: Workload, generator: torch.Generator) -> Tensor:
    """(M, pairs) float64: 1 where the first walk of a pair is preferred, 0 where the second is, 1/2 where neither is.

    Scores are (M, 2 · pairs).
    """
    first, second = scores.chunk(2, -1)
    difference = first - second
    if load.noisy:
        return (torch.rand(first.shape, dtype=first.dtype, generator=generator) < torch.sigmoid(difference)).double()
    return torch.where(difference.abs() < 1e-6, 0.5, (difference > 0).double())


def fit(score: Callable[[Tensor], Tensor], size: tuple[int, ...], label: Tensor, load: Workload) -> Tensor:
    """The weights that Adam finds for the judgements of all tasks; `score` gives (M, 2 · pairs)."""
    generator = torch.Generator().manual_seed(load.seed + 2)
    best, lowest = torch.zeros(size, dtype=torch.float64), torch.full(size[:1], torch.inf, dtype=torch.float64)
    for _ in range(load.starts):
        weights = torch.randn(size, dtype=torch.float64, generator=generator).requires_grad_()
        optimizer = torch.optim.Adam([weights], lr=load.rate)
        for _ in range(load.steps):
            optimizer.zero_grad()
            # A sum over the tasks, whose weights have nothing to do with one another.
            loss = losses(score(weights), label)
            loss.sum().backward()
            optimizer.step()
        with torch.no_grad():
            loss = losses(score(weights), label)
        best = torch.where((loss < lowest).unsqueeze(-1), weights.detach(), best)
        lowest = torch.minimum(loss, lowest)
    return best


def losses(scores: Tensor, label: Tensor) -> Tensor:
    """(M,) mean cross-entropy of each task's judgements."""
    first, second = scores.chunk(2, -1)
    difference = first - second
    return (label * bradley_terry(difference) + (1 - label) * bradley_terry(-difference)).mean(-1)


def earned(task: TabularTask, policy: Tensor, rewards: Tensor) -> Tensor:
    """(M,) what a policy earns, averaged over the states that are not the end."""
    values = policy_sum(task, policy, rewards.unsqueeze(-1)).squeeze(-1)
    return values.sum(-1) / (~task.absorbing).sum(-1)


def measure(load: Workload) -> dict[str, Any]:
    """Scaled returns of the four models on all tasks."""
    generator = torch.Generator().manual_seed(load.seed)
    task = grids(load, generator)
    truth = torch.randn(load.tasks, KINDS + 1, dtype=torch.float64, generator=generator)
    rewards = task.rewards(truth)
    values, best = optimal_values(task, rewards)
    states, actions = walks(task, load, generator)
    label = preferred(step_judgements(task, truth, values, states, actions).sum(-1), load, generator)

    uniform = torch.full(task.successors.shape, 1 / len(MOVES), dtype=torch.float64)
    low, high = earned(task, uniform, rewards), earned(task, best, rewards)
    exact = ExactValues(task)
    library = SuccessorValues.of_random_rewards(task, load.policies, load.seed + 1)
    entries = TabularTask(
        task.successors,
        torch.eye(load.side**2 * len(MOVES), dtype=torch.float64)
        .reshape(load.side**2, len(MOVES), -1)
        .expand(load.tasks, -1, -1, -1),
        task.absorbing,
        load.discount,
    )
    small, large = (load.tasks, KINDS + 1), (load.tasks, load.side**2 * len(MOVES))

    def judged(of: TabularTask, weights: Tensor, worth: Tensor | None) -> Tensor:
        return step_judgements(of, weights, worth, states, actions).sum(-1)

    models: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...], Callable[[Tensor], Tensor]]] = {
        "regret": (lambda w: judged(task, w, exact(w)), small, lambda w: optimal_policy(task, task.rewards(w))),
        "regret_successor": (
            lambda w: judged(task, w, library(w)),
            small,
            lambda w: optimal_policy(task, task.rewards(w)),
        ),
        "partial_return": (lambda w: judged(task, w, None), small, lambda w: optimal_policy(task, task.rewards(w))),
        "partial_return_greedy": (
            lambda w: judged(entries, w, None),
            large,
            lambda w: entries.rewards(w).argmax(-1),
        ),
    }
    result: dict[str, Any] = {}
    for name, (score, size, act) in models.items():
        policy = act(fit(score, size, label, load))
        scaled = (earned(task, policy, rewards) - low) / (high - low)
        result[name] = {
            "near_optimal": (scaled > NEAR).double().mean().item(),
            "median": scaled.median().item(),
            "worst": scaled.min().item(),
            "scaled_returns": [round(value, 4) for value in scaled.tolist()],
        }
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in asdict(Workload()).items():
        how: dict[str, Any] = (
            {"action": argparse.BooleanOptionalAction} if isinstance(value, bool) else {"type": type(value)}
        )
        parser.add_argument(f"--{name}", default=value, help="default %(default)s", **how)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything as JSON")
    options = vars(parser.parse_args())
    file = options.pop("json")
    load = Workload(**options)
    result = measure(load)
    print(f"{'model':24}{'above 0.9':>12}{'median':>10}{'worst':>10}")
    for name, row in result.items():
        numbers = f"{row['near_optimal']:12.2f}{row['median']:10.3f}{row['worst']:10.3f}"
        print(f"{name:24}{numbers}")
    if file is not None:
        about = {"workload": asdict(load), "python": platform.python_version(), "torch": torch.__version__}
        file.write_text(json.dumps({**about, "models": result}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
