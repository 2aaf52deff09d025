"""Preferences by regret (Knox et al., arXiv 2206.02231): people prefer what deviates less from optimal behaviour.

Under the usual model, partial return, a segment is preferred for what it earned; under regret also for where it led,
compared with where it began. For deterministic dynamics regret(x) = V*(s_0) − (Σ_t r_t + V*(s_T)), and
P(x1 > x2) = σ(regret(x2) − regret(x1)). V* is that of the reward which is being learned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from prefalign.interfaces import Batch, PrefalignError, PreferenceRecord, Reward, RewardOutput
from prefalign_robotics.rewards.codec import TrajectoryCodec, TrajectoryExample
from prefalign_robotics.rewards.tabular import TabularTask, after, optimal_policy, optimal_values, policy_sum

#: The file of a saved reward.
WEIGHTS_FILE = "regret_reward.safetensors"


class Values(nn.Module, ABC):
    """Optimal values of all states under a reward that changes.

    Args:
        task: the dynamics.
    """

    def __init__(self, task: TabularTask) -> None:
        super().__init__()
        self.task = task

    @abstractmethod
    def forward(self, weights: Tensor) -> Tensor:
        """(…, S) values under the reward φ · w, differentiable in the (…, F) weights w."""


class ExactValues(Values):
    """By policy iteration from the last policy on; a few linear equations of the number of states a call."""

    policy: Tensor

    def __init__(self, task: TabularTask) -> None:
        super().__init__(task)
        # Kept in checkpoints: policies that are equally good give the same values but for rounding.
        self.register_buffer("policy", torch.zeros_like(task.absorbing, dtype=torch.long))

    def forward(self, weights: Tensor) -> Tensor:
        """(…, S) exact values."""
        start = self.policy.to(self.task.successors.device)
        values, self.policy = optimal_values(self.task, self.task.rewards(weights), start)
        return values


class SuccessorValues(Values):
    """Σ_k softmax_k(w · ψ_k(s) / temperature) · w · ψ_k(s), over successor features ψ_k of a library of policies.

    A smooth maximum of what known policies earn: never more than V*, and as good as the library. Needs no planning.

    Args:
        task: the dynamics.
        successor_features: (…, K, S, F) expected discounted sums of features, of K policies.
        temperature: in units of reward.
    """

    successor_features: Tensor

    def __init__(self, task: TabularTask, successor_features: Tensor, temperature: float = 0.001) -> None:
        super().__init__(task)
        if temperature <= 0:
            raise PrefalignError(f"expected a temperature above 0, got {temperature}")
        self.register_buffer("successor_features", successor_features)
        self.temperature = temperature

    @classmethod
    def of_random_rewards(
        cls, task: TabularTask, policies: int = 32, seed: int = 0, temperature: float = 0.001
    ) -> SuccessorValues:
        """With a library of policies that are optimal for random rewards, w ~ N(0, 1)."""
        generator = torch.Generator().manual_seed(seed)
        *tasks, _, _, features = task.features.shape
        found = []
        for _ in range(policies):
            weights = torch.randn(*tasks, features, dtype=torch.float64, generator=generator)
            found.append(policy_sum(task, optimal_policy(task, task.rewards(weights)), task.features))
        return cls(task, torch.stack(found, -3), temperature)

    def forward(self, weights: Tensor) -> Tensor:
        """(…, S) values of the library."""
        features = self.successor_features
        worth = (features @ weights.to(features).unsqueeze(-2).unsqueeze(-1)).squeeze(-1)  # (…, K, S)
        return (torch.softmax(worth / self.temperature, -2) * worth).sum(-2)


class TabularCodec(TrajectoryCodec):
    """Trajectories whose observations (T, 1) and actions (T, 1) are numbers of states and actions of a task.

    Args:
        task: the dynamics, which the trajectories must follow.
    """

    def __init__(self, task: TabularTask) -> None:
        super().__init__(1, 1)
        self.successors, self.absorbing = task.successors, task.absorbing

    def encode(self, record: PreferenceRecord) -> TrajectoryExample:
        """One record as trajectories.

        Raises:
            RecordError: for what no codec takes, numbers that are no states or actions, and steps to a state that the
                action before does not lead to.
        """
        example = super().encode(record)
        for index, row in enumerate(example.rows):
            place = f"responses[{index}].arrays"
            for name, values, count in (
                ("observations", row.observations, self.successors.shape[0]),
                ("actions", row.actions, self.successors.shape[1]),
            ):
                wrong = ((values < 0) | (values >= count) | (values != values.round())).squeeze(1)
                if bool(wrong.any()):
                    step = int(wrong.nonzero()[0])
                    problem = f"expected whole numbers below {count}, got {values[step].item():g} at step {step}"
                    raise record.error(problem, f"{place}.{name}")
            states = row.observations[:, 0].long()
            led = self.successors[states, row.actions[:, 0].long()][:-1]
            # An episode that has ended stays where it is, whatever is done.
            led = torch.where(self.absorbing[states[:-1]], states[:-1], led)
            if bool((led != states[1:]).any()):
                step = int((led != states[1:]).nonzero()[0])
                raise record.error(
                    f"step {step} leads to state {led[step]}, but step {step + 1} is in state {states[step + 1]}",
                    f"{place}.observations",
                )
        return example


class RegretReward(Reward):
    """r(s, a) = φ(s, a) · w, learned from preferences that are made by regret.

    Its judgement of a segment is Σ_t r_t + V(s_T) − V(s_0), step by step r_t + V(s_{t+1}) − V(s_t), so that
    `core/bradley_terry` is the regret model.

    Args:
        task: the dynamics, or the file that `TabularTask.save` wrote.
        link: `regret`, or `partial_return` for Σ_t r_t alone.
        provider: of the states' values: `exact`, or `successor` for the smooth maximum over a library of policies.
        policies: size of that library.
        init_seed: seed of the library.

    Attributes:
        weights: (F,) w, 0 at first.

    Raises:
        PrefalignError: for several tasks at once.
    """

    codec: TabularCodec

    def __init__(
        self,
        task: str | TabularTask,
        link: Literal["regret", "partial_return"] = "regret",
        provider: Literal["exact", "successor"] = "exact",
        policies: int = 32,
        init_seed: int = 0,
    ) -> None:
        super().__init__()
        self.task = TabularTask.load(task) if isinstance(task, str) else task
        if self.task.successors.ndim != 2:
            raise PrefalignError(f"expected one task, got successors of shape {tuple(self.task.successors.shape)}")
        self.codec, self.link = TabularCodec(self.task), link
        self.weights = nn.Parameter(torch.zeros(self.task.features.shape[-1], dtype=torch.float64))
        self.values: Values | None = None
        if link == "regret":
            exact = provider == "exact"
            self.values = (
                ExactValues(self.task) if exact else SuccessorValues.of_random_rewards(self.task, policies, init_seed)
            )

    def forward(self, batch: Batch) -> RewardOutput:
        """(N, T, 1) judgements of the steps, which sum to that of the segment."""
        states, actions, mask = (batch.inputs[name] for name in ("observations", "actions", "mask"))
        assert isinstance(states, Tensor)
        assert isinstance(actions, Tensor)
        assert isinstance(mask, Tensor)
        values, where = None if self.values is None else self.values(self.weights), self.task.successors.device
        steps = states[..., 0].to(where).long(), actions[..., 0].to(where).long()
        judged = step_judgements(self.task, self.weights, values, *steps).to(mask.device)
        return RewardOutput(judged.unsqueeze(-1), mask.any(1), None, mask)

    def save_pretrained(self, folder: Path) -> None:
        """Write the weights w."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"weights": self.weights.detach().cpu().contiguous()}, folder / WEIGHTS_FILE)

    @classmethod
    def from_pretrained(cls, folder: str | Path, task: str | TabularTask, **options: Any) -> RegretReward:
        """The reward that `save_pretrained` wrote, for its task.

        Args:
            folder: where it was written.
            task: as in the constructor.
            options: further arguments of the constructor.

        Raises:
            PrefalignError: if the folder holds no such reward, or one of another number of features.
        """
        reward, file = cls(task, **options), Path(folder) / WEIGHTS_FILE
        try:
            found = load_file(file)["weights"]
        except (OSError, SafetensorError, KeyError) as error:
            raise PrefalignError(f"{file}: no weights of a tabular reward that can be read ({error})") from None
        if found.shape != reward.weights.shape:
            raise PrefalignError(f"{file}: {len(found)} weights, and the task has {len(reward.weights)} features")
        with torch.no_grad():
            reward.weights.copy_(found)
        return reward


def step_judgements(
    task: TabularTask, weights: Tensor, values: Tensor | None, states: Tensor, actions: Tensor
) -> Tensor:
    """(…, N, T) judgements of steps: r_t + V(s_{t+1}) − V(s_t), or r_t alone.

    Args:
        task: the dynamics.
        weights: (…, F) of the reward.
        values: (…, S) of the states; None for partial return.
        states, actions: (…, N, T) int64.
    """
    moved = task.rewards(weights)
    if values is not None:
        # An episode that has ended stays where it is.
        moved = moved + (after(task, values) - values.unsqueeze(-1)).masked_fill(task.absorbing.unsqueeze(-1), 0.0)
    flat = (states * task.successors.shape[-1] + actions).flatten(-2)
    return torch.gather(moved.flatten(-2), -1, flat).reshape(states.shape)
