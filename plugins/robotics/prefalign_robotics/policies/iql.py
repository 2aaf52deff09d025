"""Implicit Q-learning: from rewards of single steps, true or learned, to a policy, without ever leaving the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign_robotics.policies.actor import Actor
from prefalign_robotics.policies.actor_critic import ActorCritic
from prefalign_robotics.policies.quiet_trainer import quiet_trainer
from prefalign_robotics.policies.transitions import TransitionBatches, Transitions, reward_factor, transitions
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.episodes import Episodes


class ImplicitQLearning(LightningModule):
    """IQL (Kostrikov et al., arXiv 2110.06169): values by expectiles, a policy by weighing what was done.

    Batches are `Transitions`. The defaults are those of Preference Transformer's runs (arXiv 2303.00957) on locomotion.
    All three losses are taken at the same weights in one step, where the released code steps the value first; the
    actor's deviation is fixed, where theirs is learned.

    Args:
        observation: O numbers.
        action: A numbers, each in [−1, 1].
        hidden: widths of the hidden layers of each network.
        learning_rate: of Adam; the actor's falls to 0 over the run by a cosine.
        discount: γ in [0, 1).
        expectile: τ in (0, 1); above 1/2 the value is that of better than average behaviour.
        temperature: β > 0, weight exp(β·advantage) of what was done, at most 100.
        rate: share of the critics that their slow copy takes over in each step, in (0, 1].

    Raises:
        PrefalignError: for numbers out of their range.
    """

    def __init__(
        self,
        observation: int,
        action: int,
        hidden: Sequence[int] = (256, 256),
        learning_rate: float = 3e-4,
        discount: float = 0.99,
        expectile: float = 0.7,
        temperature: float = 3.0,
        rate: float = 0.005,
    ) -> None:
        super().__init__()
        if not (0 <= discount < 1 and learning_rate > 0):
            raise PrefalignError(f"expected 0 <= discount < 1 and learning_rate > 0; got {discount}, {learning_rate}")
        self.save_hyperparameters()
        self.learning_rate, self.discount = learning_rate, discount
        self.networks = ActorCritic(Actor(observation, action, hidden), hidden, expectile, temperature, rate)

    def training_step(self, batch: Transitions, batch_idx: int) -> Tensor:
        """The sum of the three losses, which share no parameter."""
        networks = self.networks
        seen = networks.actor.standardised(batch.observations)
        improvement = networks.improvement(seen, batch.actions)
        with torch.no_grad():
            after = networks.value(networks.actor.standardised(batch.next_observations)).squeeze(-1)
            # Eq. 6 of arXiv 2110.06169; nothing is earned after an end.
            target = batch.rewards + self.discount * batch.continues * after
        # A sum over both critics, as in the released code.
        critics = (networks.critics(seen, batch.actions) - target).square().sum(0).mean()
        # Steps are short: to log each would cost a fifth of the run, and loggers take one in so many anyway.
        if self.global_step % self.trainer.log_every_n_steps == 0:
            self.log_dict(
                {
                    "train/value_loss": improvement.value.detach(),
                    "train/critic_loss": critics.detach(),
                    "train/actor_loss": improvement.actor.detach(),
                    "train/advantage": improvement.advantage.mean(),
                }
            )
        return improvement.value + critics + improvement.actor

    def configure_optimizers(self) -> Any:
        """Adam for all networks; the actor's rate falls to 0 by a cosine, as in the released code."""
        optimizer, steps = self.networks.optimiser(self.learning_rate), int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, [lambda step: cosine(step / steps), lambda step: 1.0])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Let the batches take up their position after a restart, as `prefalign.training.module` does.

        The actor's schedule asks for the number of steps, for which Lightning sets the loader up before it reads the
        checkpoint, and forgets the position.
        """
        self.trainer.fit_loop._load_combined_loader_states()

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Step, then let the slow critics follow, before any callback saves a checkpoint."""
        super().optimizer_step(*arguments, **options)
        self.networks.follow()

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(B, A) actions for (B, O) observations, as `simulator.rollouts` asks for them."""
        return self.networks.actor.act(observations)


def cosine(done: float) -> float:
    """Half a cosine from 1 to 0, over the share of a run that is done."""
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def learn_iql(
    episodes: Episodes,
    rewards: np.ndarray,
    steps: int = 5000,
    *,
    batch_size: int = 256,
    seed: int = 0,
    trainer: Trainer | None = None,
    **settings: Any,
) -> ImplicitQLearning:
    """Learn a policy from episodes whose steps have rewards.

    Args:
        episodes: of one task, as the simulator left them (not `settled`).
        rewards: (E, T) of their steps: `episodes.rewards`, or a learned reward's; in any unit (`reward_factor`).
        steps: of the optimiser.
        batch_size: transitions in each, drawn with replacement.
        seed: of weights and batches.
        trainer: Lightning's, with an end of its own; on the CPU for `steps`, without logger or progress bar, if None.
        settings: further arguments of `ImplicitQLearning`.

    Raises:
        SegmentError: without steps, for rewards of other shapes, not finite, or alike in every episode.
        PrefalignError: for settings out of their range.
    """
    if steps < 1 or batch_size < 1:
        raise SegmentError(f"{episodes.task}: expected steps and a batch to learn with, got {steps} of {batch_size}")
    data = transitions(episodes, rewards)
    data = data._replace(rewards=data.rewards * reward_factor(rewards, episodes.task))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner = ImplicitQLearning(data.observations.shape[1], data.actions.shape[1], **settings)
    learner.networks.actor.measure(data.observations)
    (trainer or quiet_trainer(steps)).fit(learner, TransitionBatches(data, steps, batch_size, seed))
    return learner.eval()
