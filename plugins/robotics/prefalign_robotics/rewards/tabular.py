"""Small tasks with known dynamics: optimal values and successor features, exact and many tasks at a time.

Axes: M tasks (any number of leading axes of tensors), S states, A actions, F features. Everything is float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from prefalign.interfaces import PrefalignError


@dataclass(frozen=True, eq=False)
class TabularTask:
    """Deterministic tasks with finitely many states.

    Attributes:
        successors: (…, S, A) int64, the state that each action leads to.
        features: (…, S, A, F) float64; rewards are linear in them.
        absorbing: (…, S) bool, states in which an episode has ended: nothing is earned there any more.
        discount: γ, 0 <= γ < 1.

    Raises:
        PrefalignError: for other shapes, successors that are no states, features that are not finite, or another γ.
    """

    successors: Tensor
    features: Tensor
    absorbing: Tensor
    discount: float

    def __post_init__(self) -> None:
        shape = self.successors.shape
        if self.features.shape[:-1] != shape or self.absorbing.shape != shape[:-1] or len(shape) < 2:
            shapes = ", ".join(str(tuple(t.shape)) for t in (self.successors, self.features, self.absorbing))
            raise PrefalignError(
                f"expected successors (…, S, A), features (…, S, A, F), absorbing (…, S); got {shapes}"
            )
        if not 0 <= self.discount < 1:
            raise PrefalignError(f"expected 0 <= discount < 1, got {self.discount}")
        if bool(((self.successors < 0) | (self.successors >= shape[-2])).any()):
            raise PrefalignError(f"expected successors from 0 to {shape[-2] - 1}, the last of {shape[-2]} states")
        if not bool(self.features.isfinite().all()):
            raise PrefalignError("expected finite features, and some are not")

    def rewards(self, weights: Tensor) -> Tensor:
        """(…, S, A) rewards φ(s, a) · w for (…, F) weights, 0 in absorbing states."""
        found = (self.features @ weights.to(self.features).unsqueeze(-2).unsqueeze(-1)).squeeze(-1)
        return found.masked_fill(self.absorbing.unsqueeze(-1), 0.0)

    def save(self, file: Path) -> None:
        """Write it as safetensors."""
        tensors = {name: getattr(self, name).contiguous() for name in ("successors", "features", "absorbing")}
        save_file({**tensors, "discount": torch.tensor(self.discount, dtype=torch.float64)}, file)

    @classmethod
    def load(cls, file: str | Path) -> TabularTask:
        """What `save` wrote.

        Raises:
            PrefalignError: for a file that cannot be read or holds something else.
        """
        try:
            found: dict[str, Any] = load_file(file)
            return cls(found["successors"], found["features"], found["absorbing"], float(found["discount"]))
        except (OSError, SafetensorError, KeyError) as error:
            raise PrefalignError(f"{file}: no tabular task that can be read ({error})") from None


def policy_sum(task: TabularTask, policy: Tensor, earned: Tensor) -> Tensor:
    """(…, S, K) discounted sums from each state on of what a policy earns; differentiable in `earned`.

    Args:
        task: the dynamics.
        policy: (…, S) int64, or (…, S, A) probabilities.
        earned: (…, S, A, K) for each state and action; with features these are successor features.
    """
    if policy.shape == task.absorbing.shape:
        policy = torch.nn.functional.one_hot(policy, task.successors.shape[-1])
    policy = policy.to(earned).masked_fill(task.absorbing.unsqueeze(-1), 0.0)
    states = task.successors.shape[-2]
    # Moves[s, s'] is the probability of s' after s; from absorbing states there is none.
    moves = torch.zeros(*task.successors.shape[:-1], states, dtype=earned.dtype, device=earned.device)
    moves = moves.scatter_add(-1, task.successors, policy)
    kept = torch.eye(states, dtype=earned.dtype, device=earned.device) - task.discount * moves
    return torch.linalg.solve(kept, (policy.unsqueeze(-1) * earned).sum(-2))


def after(task: TabularTask, values: Tensor) -> Tensor:
    """(…, S, A) the value of the state that each action leads to, of (…, S) values."""
    return torch.gather(values.unsqueeze(-1).expand(task.successors.shape), -2, task.successors)


def optimal_policy(task: TabularTask, rewards: Tensor, start: Tensor | None = None) -> Tensor:
    """(…, S) int64, an optimal action in each state, by policy iteration (Howard, 1960).

    Args:
        task: the dynamics.
        rewards: (…, S, A), as `TabularTask.rewards` gives them.
        start: (…, S) where to start; a policy that was optimal for similar rewards saves work.
    """
    rewards = rewards.detach()
    policy = rewards.argmax(-1) if start is None else start
    while True:
        values = policy_sum(task, policy, rewards.unsqueeze(-1)).squeeze(-1)
        worth = rewards + task.discount * after(task, values)
        best, better = worth.max(-1)
        here = torch.gather(worth, -1, policy.unsqueeze(-1)).squeeze(-1)
        # Equally good actions must not take turns for ever, and rounding must not make one of them better.
        change = best - here > 1e-10 * (1 + best.abs())
        if not bool(change.any()):
            return policy
        policy = torch.where(change, better, policy)


def optimal_values(task: TabularTask, rewards: Tensor, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(…, S) optimal values V*, differentiable in the rewards, and an optimal policy.

    A small change of the rewards changes V* as it changes the value of the policy that is optimal now, so the gradient
    through that policy's linear equation is the gradient of V* wherever there is one.
    """
    policy = optimal_policy(task, rewards, start)
    return policy_sum(task, policy, rewards.unsqueeze(-1)).squeeze(-1), policy
