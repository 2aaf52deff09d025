"""Any reward on trajectories in the shape of LeRobot's reward models, without LeRobot.

LeRobot asks a reward model for `compute_reward(batch) -> (B,)`, and trains those that override `forward`. What it finds
here is such a model that is used and not trained.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prefalign.interfaces import PreferenceRecord, Prompt, Response, Unary
from prefalign.interfaces.reward import Reward
from prefalign_robotics.segments.errors import SegmentError


@dataclass
class RewardConfig:
    """What LeRobot reads of a reward model's configuration.

    Attributes:
        observations: keys of the batch that make up an observation, side by side in this order.
        action: key of the action.
        device: where LeRobot puts the model.
    """

    observations: tuple[str, ...] = ("observation.state",)
    action: str = "action"
    device: str = "cpu"

    type = "prefalign"


class LeRobotReward(nn.Module):
    """A core reward behind LeRobot's interface.

    Args:
        reward: judges responses with `observations (T, O)` and `actions (T, A)`, encoded by its own codec.
        config: which entries of a batch these are.

    Attributes:
        config_class, name: as LeRobot's classes name theirs.
        is_trainable: False; rewards are trained by `prefalign fit`.
    """

    config_class = RewardConfig
    name = RewardConfig.type
    is_trainable = False

    def __init__(self, reward: Reward, config: RewardConfig | None = None) -> None:
        super().__init__()
        self.reward, self.config = reward, config or RewardConfig()
        reward.configure_model()
        self.eval()

    def reset(self) -> None:
        """Between episodes; a reward keeps nothing of them."""

    def get_optim_params(self) -> Iterator[nn.Parameter]:
        """The reward's weights."""
        return self.reward.parameters()

    @torch.no_grad()
    def compute_reward(self, batch: Mapping[str, Any]) -> Tensor:
        """(B,) float32 reward of each row now: of the last step that the codec keeps, given those before it.

        A reward that judges segments as a whole gives that number instead. It judges as it does outside of training.

        Args:
            batch: `observation.*` (B, O) or (B, T, O) and the action (B, A) or (B, T, A), as the configuration names
                them; one step where the axis of steps is absent. Further entries are left aside.

        Raises:
            SegmentError: for absent entries, other shapes, numbers that are not finite, and rows that the reward
                cannot judge, which have no number, not even 0.
        """
        observations = torch.cat([self._steps(batch, key) for key in self.config.observations], -1)
        actions = self._steps(batch, self.config.action)
        encoded = [self.reward.codec.encode(r) for r in _records(observations, actions)]
        held = next(
            itertools.chain(self.reward.parameters(), self.reward.buffers()), None
        )  # LeRobot moves the model, not us
        collated = self.reward.codec.collate(encoded)
        self.reward.eval()
        judged = self.reward(collated if held is None else collated.to(held.device))
        if not judged.valid.all():
            rows = (~judged.valid).nonzero().flatten().tolist()
            raise SegmentError(f"the reward cannot judge rows {rows} of the batch")
        if judged.mask is None:
            return judged.mean[:, 0].float()
        steps = torch.arange(judged.mask.shape[1], device=judged.mask.device)
        last = (judged.mask * steps).argmax(1)
        return judged.mean[torch.arange(len(last), device=last.device), last, 0].float()

    def forward(self, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """LeRobot's step of training, which this model has none of.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("LeRobotReward is not trained by LeRobot; train the reward itself with prefalign fit")

    def _steps(self, batch: Mapping[str, Any], key: str) -> Tensor:
        """(B, T, n) an entry of the batch on the CPU, where codecs work."""
        values = batch.get(key)
        if not isinstance(values, Tensor):
            known = ", ".join(name for name, value in batch.items() if isinstance(value, Tensor))
            raise SegmentError(f"expected a tensor under {key!r} of the batch; it holds {known or 'none'}")
        if values.ndim not in (2, 3) or 0 in values.shape:
            shapes = f"(batch, numbers) or (batch, steps, numbers), got {tuple(values.shape)}"
            raise SegmentError(f"expected {key!r} of {shapes}")
        if not values.isfinite().all():
            row = (~values.isfinite()).nonzero()[0, 0]
            raise SegmentError(f"{key!r} of row {row} is not finite")
        return (values[:, None] if values.ndim == 2 else values).detach().float().cpu()


def _records(observations: Tensor, actions: Tensor) -> Sequence[PreferenceRecord]:
    if observations.shape[:2] != actions.shape[:2]:
        shapes = f"{tuple(observations.shape[:2])} and {tuple(actions.shape[:2])}"
        raise SegmentError(f"expected observations and actions of as many rows and steps, got {shapes}")
    return [
        PreferenceRecord(
            id=f"row-{row}",
            prompt=Prompt(),
            responses=(Response(arrays={"observations": o.numpy(), "actions": a.numpy()}),),
            verdict=Unary((True,)),
        )
        for row, (o, a) in enumerate(zip(observations, actions, strict=True))
    ]
