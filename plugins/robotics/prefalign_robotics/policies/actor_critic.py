"""What learning from values needs: an actor, a value, twin critics and their slow copy."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from prefalign.interfaces import PrefalignError
from prefalign_robotics.policies.actor import Actor
from prefalign_robotics.rewards.perceptron import perceptron

#: Largest weight of a step in the actor's loss, as in IQL's released code.
LARGEST_WEIGHT = 100.0


def expectile_loss(difference: Tensor, expectile: float) -> Tensor:
    """|τ − 1(u < 0)| u² of the differences u (any shape); IQL (arXiv 2110.06169) eq. 5.

    The constant that lies best below values x with u = x − constant is their τ-expectile: the mean at τ = 1/2, and
    towards the largest value as τ tends to 1.
    """
    return torch.where(difference < 0, 1 - expectile, expectile) * difference**2


class Twin(nn.Module):
    """Two perceptrons of (state, action), computed side by side.

    Args:
        inputs: O + A numbers.
        hidden: widths of the hidden layers.
    """

    def __init__(self, inputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        widths = (inputs, *hidden, 1)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for below, above in pairwise(widths):
            # The range of torch's own linear layers.
            bound = 1 / math.sqrt(below)
            self.weights.append(torch.empty(2, below, above).uniform_(-bound, bound))
            self.biases.append(torch.empty(2, 1, above).uniform_(-bound, bound))

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """(2, N) values of (N, O) standardised observations and (N, A) actions."""
        values = torch.cat([observations, actions], -1).expand(2, -1, -1)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = torch.baddbmm(bias, torch.relu(values) if index else values, weight)
        return values.squeeze(-1)


class Improvement(NamedTuple):
    """Losses of value and actor.

    Attributes:
        value: scalar, squared units of reward.
        actor: scalar, squared units of action.
        advantage: (N,) min Q − V, detached.
        estimate: (N,) V of the steps, with gradient.
    """

    value: Tensor
    actor: Tensor
    advantage: Tensor
    estimate: Tensor


class ActorCritic(nn.Module):
    """The networks of implicit Q-learning, and the two of its three losses that need no reward.

    Args:
        actor: of O numbers in an observation and A in an action, random or trained.
        hidden: widths of the hidden layers of the other networks.
        expectile: τ in (0, 1).
        temperature: inverse temperature β > 0 of the actor's weights exp(β·advantage), per unit of reward.
        rate: share of the critics that their slow copy takes over in each step, in (0, 1].

    Raises:
        PrefalignError: for numbers out of their range.
    """

    def __init__(self, actor: Actor, hidden: Sequence[int], expectile: float, temperature: float, rate: float) -> None:
        super().__init__()
        if not (0 < expectile < 1 and temperature > 0 and 0 < rate <= 1):
            raise PrefalignError(
                f"expected 0 < expectile < 1, temperature > 0 and 0 < rate <= 1; got {expectile}, {temperature}, {rate}"
            )
        self.actor = actor
        self.value = perceptron(actor.observation, hidden, 1)
        self.critics = Twin(actor.observation + actor.action, hidden)
        self.slow = copy.deepcopy(self.critics).requires_grad_(False)
        self.expectile, self.temperature, self.rate = expectile, temperature, rate

    def improvement(self, seen: Tensor, actions: Tensor) -> Improvement:
        """Losses over N steps, of (N, O) standardised observations and (N, A) actions.

        The value learns an expectile of the critics (arXiv 2110.06169 eq. 5), the actor to do what was better than
        expected (eq. 7). The log-probability is −‖a − π(s)‖², a Gaussian of fixed width up to constants.
        """
        with torch.no_grad():
            worth = self.slow(seen, actions).amin(0)
        estimate = self.value(seen).squeeze(-1)
        difference = worth - estimate
        advantage = difference.detach()
        weights = torch.exp(self.temperature * advantage).clamp(max=LARGEST_WEIGHT)
        errors = (self.actor.network(seen) - actions).square().sum(-1)
        value = expectile_loss(difference, self.expectile).mean()
        return Improvement(value, (weights * errors).mean(), advantage, estimate)

    @torch.no_grad()
    def follow(self) -> None:
        """Let the slow copy of the critics follow them by one step."""
        for slow, fast in zip(self.slow.parameters(), self.critics.parameters(), strict=True):
            slow.lerp_(fast, self.rate)

    def optimiser(self, learning_rate: float) -> torch.optim.Optimizer:
        """One Adam for all, the actor's parameters as its first group.

        The losses share no parameter, so that one backward pass over their sum serves all.
        """
        others = [*self.value.parameters(), *self.critics.parameters()]
        groups = [{"params": list(self.actor.parameters())}, {"params": others}]
        return torch.optim.Adam(groups, lr=learning_rate, fused=True)
