"""Rewards of steps from a few demonstrations and no comparison: OTR, and how RAPL uses what it has learned."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from prefalign.interfaces import Batch, PrefalignError, Reward, RewardOutput
from prefalign_robotics.rewards.alignment.codec import StepsCodec
from prefalign_robotics.rewards.alignment.encoders import IdentityEncoder, StepEncoder
from prefalign_robotics.rewards.alignment.saving import load_encoder, load_settings, save
from prefalign_robotics.rewards.alignment.squashing import SQUASHINGS, SquashingName
from prefalign_robotics.rewards.alignment.transport import MOST_MARGINAL_ERROR, align, directions
from prefalign_robotics.rewards.codec import OBSERVATIONS, checked_steps
from prefalign_robotics.simulator.episodes import Episodes, load_episodes

DEMONSTRATIONS_FILE = "demonstrations.safetensors"

#: Entries of cost matrices that are solved in one call; ten times as many floats are held at a time.
_MOST_ENTRIES = 2**23


class Judgement(NamedTuple):
    """N rollouts, each by the demonstration that it matches best.

    Attributes:
        rewards: (N, T) of the steps; 0 where there is none.
        chosen: (N,) number of the demonstration.
        marginal_error: (N,) of the plan with it.
        defined: (N,) bool, whether the embeddings of both have a direction.
    """

    rewards: Tensor
    chosen: Tensor
    marginal_error: Tensor
    defined: Tensor


class DemonstrationReward(Reward):
    """r_t = −Σ_s P_ts C_ts against the demonstration of the largest total, squashed (see `transport`, `squashing`).

    The defaults are OTR's (Luo et al., arXiv 2303.13971), with weights that are equal within each trajectory; the
    released code gives every step 1/1000, so that masses differ where lengths do. With the encoder of `AlignedReward`,
    `epsilon: 1` and `squashing: rapl` it is RAPL's reward.

    It is given, not trained: encode and score with it, or mix it with others.

    Args:
        demonstrations: archive of episodes that `Episodes.save` wrote, or arrays (S, F) of any lengths.
        encoder: folder of a saved `AlignedReward`, or an encoder; observations as they are if None.
        count: use so many demonstrations, those of the largest returns in an archive, the first of arrays; None for
            all.
        epsilon: weight of the plan's entropy; costs lie in [0, 2].
        iterations: of Sinkhorn, at most.
        tolerance: marginal error below which they end early.
        squashing: what becomes of the rewards.

    Raises:
        PrefalignError: for files or arrays that cannot be used, or numbers out of range.
    """

    codec: StepsCodec
    embedded: Tensor | None
    embedded_mask: Tensor | None

    def __init__(
        self,
        demonstrations: str | Sequence[Any],
        encoder: str | StepEncoder | None = None,
        count: int | None = 10,
        epsilon: float = 0.01,
        iterations: int = 100,
        tolerance: float = 1e-9,
        squashing: SquashingName = "otr",
    ) -> None:
        super().__init__()
        if not epsilon > 0 or iterations < 1 or tolerance < 0 or (count is not None and count < 1):
            raise PrefalignError(
                "expected epsilon > 0, iterations and count of at least 1, tolerance of at least 0; got "
                f"{epsilon}, {iterations}, {count}, {tolerance}"
            )
        if squashing not in SQUASHINGS:
            raise PrefalignError(f"unknown squashing {squashing!r}; known: {', '.join(SQUASHINGS)}")
        given = _best(demonstrations, count) if isinstance(demonstrations, str) else list(demonstrations[:count])
        if not given:
            raise PrefalignError("expected at least one demonstration")
        if encoder is None:
            encoder = IdentityEncoder(int(np.shape(given[0])[-1]))
        # A copy, since it is frozen here: what is still being trained elsewhere stays as it is.
        self.encoder = load_encoder(encoder) if isinstance(encoder, str) else copy.deepcopy(encoder)
        self.encoder.requires_grad_(False).eval()
        self.demonstrations = [_demonstration(i, one, self.encoder.size) for i, one in enumerate(given)]
        self.epsilon, self.iterations, self.tolerance, self.squashing = epsilon, iterations, tolerance, squashing
        self.codec = StepsCodec(self.encoder.array, self.encoder.size, anchored=False)
        self.register_buffer("embedded", None, persistent=False)
        self.register_buffer("embedded_mask", None, persistent=False)

    def configure_model(self) -> None:
        """Encode the demonstrations, once.

        Warns:
            RuntimeWarning: if all their steps have the same direction, so that anything like them is as good.

        Raises:
            PrefalignError: for a step whose embedding is 0 and has none.
        """
        if self.embedded is not None:
            return
        self.encoder.configure_model()
        self.encoder.requires_grad_(False).eval()
        steps = pad_sequence([torch.from_numpy(one) for one in self.demonstrations], batch_first=True)
        lengths = torch.tensor([len(one) for one in self.demonstrations])
        device = next(self.encoder.parameters(), steps).device
        self.embedded_mask = (torch.arange(steps.shape[1]) < lengths.unsqueeze(1)).to(device)
        with torch.no_grad():
            self.embedded = self.encoder(steps.to(device), self.embedded_mask)
        found, defined = directions(self.embedded)
        undefined = (~defined & self.embedded_mask).nonzero().tolist()
        if undefined:
            number, step = undefined[0]
            self.embedded = None
            raise PrefalignError(
                f"demonstration {number}: the embedding of step {step} is 0, so that there is no angle to it "
                f"({len(undefined)} such steps in all); leave out steps without observations"
            )
        if bool(((found - found[0, 0])[self.embedded_mask].abs() < 1e-6).all()):
            warnings.warn(
                "all steps of all demonstrations have the same direction, so that the reward tells nothing apart; has "
                "the encoder collapsed?",
                RuntimeWarning,
                stacklevel=2,
            )

    def train(self, mode: bool = True) -> Self:
        """Training mode, but for the encoder, which is frozen."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, batch: Batch) -> RewardOutput:
        """Rewards of the steps, (N, T, 1); rows without direction or converged plan are not valid."""
        steps, mask = cast(tuple[Tensor, Tensor], tuple(batch.inputs[name] for name in ("steps", "mask")))
        found = self.judge(steps, mask)
        valid = found.defined & (found.marginal_error <= MOST_MARGINAL_ERROR)
        return RewardOutput(found.rewards.unsqueeze(-1), valid, None, mask)

    def score(self, rollouts: Episodes | np.ndarray) -> np.ndarray:
        """(E, T) float32 rewards of the steps of all rollouts.

        Args:
            rollouts: episodes, or (E, T, F) of the array that the encoder reads.

        Warns:
            RuntimeWarning: for plans that did not converge.

        Raises:
            PrefalignError: for other shapes, numbers that are not finite, or steps whose embedding has no direction.
        """
        if isinstance(rollouts, Episodes):
            if self.encoder.array != OBSERVATIONS:
                raise PrefalignError(f"the encoder reads {self.encoder.array!r}; give that array (episodes, steps, F)")
            rollouts = rollouts.observations
        if rollouts.ndim != 3 or not len(rollouts):
            raise PrefalignError(f"expected rollouts (episodes, steps, {self.encoder.size}), got {rollouts.shape}")
        flat = checked_steps(rollouts.reshape(-1, rollouts.shape[2]), self.encoder.size)
        self.configure_model()
        steps = torch.from_numpy(flat.reshape(rollouts.shape)).to(cast(Tensor, self.embedded).device)
        found = self.judge(steps, torch.ones(steps.shape[:2], dtype=torch.bool, device=steps.device))
        self._doubt(found)
        return found.rewards.float().cpu().numpy()

    @torch.no_grad()
    def judge(self, steps: Tensor, mask: Tensor) -> Judgement:
        """Rollouts (N, T, F) with their steps that exist (N, T), against all demonstrations at once.

        Rows are taken by as many as memory for their plans allows; that changes nothing.

        Raises:
            PrefalignError: before `configure_model`.
        """
        if self.embedded is None:
            raise PrefalignError("the demonstrations are not encoded yet: call configure_model first")
        demonstrations, length = self.embedded.shape[:2]
        rows = max(1, _MOST_ENTRIES // (demonstrations * length * steps.shape[1]))
        with torch.autocast(steps.device.type, enabled=False):
            parts = [self._judge(part, there) for part, there in zip(steps.split(rows), mask.split(rows), strict=True)]
        return Judgement(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _judge(self, steps: Tensor, mask: Tensor) -> Judgement:
        known, known_mask = cast(tuple[Tensor, Tensor], (self.embedded, self.embedded_mask))
        count, embedded = len(known), self.encoder(steps, mask)
        found = align(
            embedded.repeat_interleave(count, 0),
            known.repeat(len(steps), 1, 1),
            mask.repeat_interleave(count, 0),
            known_mask.repeat(len(steps), 1),
            epsilon=self.epsilon,
            iterations=self.iterations,
            tolerance=self.tolerance,
        )
        rewards = found.rewards.unflatten(0, (-1, count))
        squashing = SQUASHINGS[self.squashing]
        there = mask.unsqueeze(1)
        squashed = squashing.apply(rewards, there.sum(-1, keepdim=True), self.encoder.width) * there
        chosen = (squashed if squashing.first else rewards).sum(-1).argmax(1)
        rows = torch.arange(len(steps), device=steps.device)
        return Judgement(
            squashed[rows, chosen],
            chosen,
            found.marginal_error.unflatten(0, (-1, count))[rows, chosen],
            found.defined.unflatten(0, (-1, count)).all(1),
        )

    def _doubt(self, found: Judgement) -> None:
        undefined = (~found.defined).nonzero().flatten().tolist()
        if undefined:
            raise PrefalignError(
                f"rollout {undefined[0]} has a step whose embedding is 0, so that there is no angle to it "
                f"({len(undefined)} such rollouts in all); leave out steps without observations"
            )
        astray = found.marginal_error > MOST_MARGINAL_ERROR
        if bool(astray.any()):
            warnings.warn(
                f"{int(astray.sum())} of {len(astray)} plans did not converge (marginal error up to "
                f"{found.marginal_error.max().item():.2g}); raise iterations ({self.iterations}) or epsilon "
                f"({self.epsilon:g})",
                RuntimeWarning,
                stacklevel=3,
            )

    def save_pretrained(self, folder: Path) -> None:
        """Write settings, encoder, weights and demonstrations.

        Raises:
            PrefalignError: for an encoder of another kind than `saving.ENCODERS`.
        """
        settings = {
            "epsilon": self.epsilon,
            "iterations": self.iterations,
            "tolerance": self.tolerance,
            "squashing": self.squashing,
        }
        save(folder, type(self).__name__, self.encoder, settings)
        tensors = {f"{number:04d}": torch.from_numpy(one) for number, one in enumerate(self.demonstrations)}
        save_file(tensors, Path(folder) / DEMONSTRATIONS_FILE)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """The reward that `save_pretrained` wrote.

        Raises:
            PrefalignError: if the folder holds no such reward.
        """
        settings, file = load_settings(folder, cls.__name__), Path(folder) / DEMONSTRATIONS_FILE
        try:
            tensors = load_file(file)
            reward = cls([tensors[name].numpy() for name in sorted(tensors)], str(folder), None, **settings)
        except (OSError, SafetensorError) as error:
            raise PrefalignError(f"{file}: cannot be loaded ({error})") from None
        except TypeError as error:
            raise PrefalignError(f"{folder}: the settings do not fit this version ({error})") from None
        reward.configure_model()
        return reward


def _best(path: str, count: int | None) -> list[np.ndarray]:
    """The episodes of an archive by return, best first; of equal ones the earlier."""
    episodes = load_episodes(path)
    return list(episodes.observations[np.argsort(-episodes.returns, kind="stable")[:count]])


def _demonstration(number: int, values: Any, size: int) -> np.ndarray:
    try:
        return checked_steps(values, size)
    except PrefalignError as error:
        raise PrefalignError(f"demonstration {number}: {error}") from None
