"""Inverse preference learning: values whose own rewards explain the preferences, and the policy that goes with them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from prefalign.functional.links import logistic
from prefalign.interfaces import Batch, ObjectiveOutput, PrefalignError, PreferenceRecord
from prefalign.objectives.metrics import mean_metrics, pair_metrics
from prefalign.training.module import PreferenceModule
from prefalign_robotics.policies.actor_critic import ActorCritic
from prefalign_robotics.policies.gaussian import BoundedCodec, GaussianPolicy
from prefalign_robotics.rewards.codec import ACTIONS, OBSERVATIONS, TrajectoryExample


class TransitionCodec(BoundedCodec):
    """A trajectory codec that refuses segments without a step whose outcome they show."""

    def encode(self, record: PreferenceRecord) -> TrajectoryExample:
        """One record as trajectories.

        Raises:
            RecordError: as `BoundedCodec`, and for a response of a single step.
        """
        example = super().encode(record)
        for index, row in enumerate(example.rows):
            if len(row.actions) < 2:
                raise record.error(
                    "expected at least 2 steps, as a step counts by what was seen after it; got 1",
                    f"responses[{index}].arrays",
                )
        return example


class InversePreferenceLearning(PreferenceModule):
    """IPL (Hejna and Sadigh, arXiv 2305.15363): preferences straight to values, with no reward in between.

    Whatever Q is, r(s, a) = Q(s, a) − γ V(s') is the reward for which it is right, so that Q is fitted to preferences
    through that reward, and V and the policy follow from Q as in implicit Q-learning. A segment of T steps shows the
    outcome of T − 1 of them, and its reward is the sum over those, as in the released code.

    The defaults are those of the released runs on Meta-World, which besides draw 16 steps of each segment's 25, learn
    the actor's deviation, and have three hidden layers of 256 units. Their variant with a second, unlabelled set of
    transitions is not here.

    Args:
        policy: what is trained; the other networks are as wide.
        learning_rate: of Adam, for all networks.
        discount: γ in [0, 1).
        expectile: τ in (0, 1) of the values.
        temperature: β > 0, weight exp(β·advantage) of what was done, at most 100.
        regularisation: weight λ > 0 of the mean squared reward, which of the many rewards that explain the preferences
            takes the smallest.
        rate: share of the critics that their slow copy takes over in each step, in (0, 1].

    Raises:
        PrefalignError: for numbers out of their range.
    """

    networks: ActorCritic

    def __init__(
        self,
        policy: GaussianPolicy,
        learning_rate: float = 3e-4,
        discount: float = 0.99,
        expectile: float = 0.75,
        temperature: float = 3.0,
        regularisation: float = 3.0,
        rate: float = 0.005,
    ) -> None:
        super().__init__()
        if not (0 <= discount < 1 and learning_rate > 0 and regularisation > 0):
            raise PrefalignError(
                "expected 0 <= discount < 1, learning_rate > 0 and regularisation > 0; got "
                f"{discount}, {learning_rate}, {regularisation}"
            )
        self.policy, self.learning_rate = policy, learning_rate
        self.discount, self.regularisation = discount, regularisation
        self.values = {"expectile": expectile, "temperature": temperature, "rate": rate}
        self.codec = TransitionCodec(policy.codec.observation_size, policy.codec.action_size)
        self.needs = frozenset()

    def configure_model(self) -> None:
        """Load the policy, and make the networks around it."""
        self.policy.configure_model()
        if not hasattr(self, "networks"):
            assert self.policy.actor is not None
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.policy.init_seed)
                self.networks = ActorCritic(self.policy.actor, self.policy.hidden, **self.values)

    def evaluate_batch(self, batch: Batch) -> ObjectiveOutput:
        """The sum of all losses; `per_sample` is the preference loss of the pairs.

        Raises:
            PrefalignError: for records with margins, which the method does not know.
        """
        relations, networks = batch.relations, self.networks
        if bool(relations.margin.any()):
            raise PrefalignError("the records have margins, which inverse preference learning cannot honour")
        observations, actions, mask = (cast(Tensor, batch.inputs[name]) for name in (OBSERVATIONS, ACTIONS, "mask"))
        seen = networks.actor.scale(observations, mask)
        known = mask[:, 1:]  # (N, T − 1) steps after which the segment goes on
        before, after, done = seen[:, :-1][known], seen[:, 1:][known], actions[:, :-1][known]
        improvement = networks.improvement(before, done)
        with torch.no_grad():
            following = networks.value(after).squeeze(-1)
        # The inverse soft Bellman operator, with V learned apart; (2, M) for both critics.
        rewards = networks.critics(before, done) - self.discount * following
        each = torch.zeros(2, *known.shape, device=rewards.device).masked_scatter(known.expand(2, -1, -1), rewards)
        totals = each.sum(-1)  # (2, N)
        margins = totals[:, relations.chosen] - totals[:, relations.rejected]
        per_pair = logistic(margins, 1 - relations.probability).mean(0) * relations.pair_weight
        preference = per_pair.sum() / max(len(per_pair), 1)
        size = rewards.square().mean()
        loss = preference + self.regularisation * size + improvement.value + improvement.actor
        chosen, rejected = (totals.detach().mean(0)[rows] for rows in (relations.chosen, relations.rejected))
        metrics = {
            "preference_loss": preference.detach(),
            "value_loss": improvement.value.detach(),
            "actor_loss": improvement.actor.detach(),
            **mean_metrics(squared_reward=rewards.square(), advantage=improvement.advantage),
            **pair_metrics(chosen, rejected),
        }
        return ObjectiveOutput(loss, per_pair.detach(), metrics, chosen - rejected)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam for all networks."""
        return self.networks.optimiser(self.learning_rate)

    def optimizer_step(self, *arguments: object, **options: object) -> None:
        """Step, then let the slow critics follow, before any callback saves a checkpoint."""
        super().optimizer_step(*arguments, **options)
        self.networks.follow()
