"""Robot policies as the objectives of language models know them: log-probabilities of what was done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from prefalign.interfaces import (
    Batch,
    CapabilityError,
    Policy,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    Response,
    ResponseScores,
)
from prefalign_robotics.policies.actor import Actor
from prefalign_robotics.rewards.codec import ACTIONS, OBSERVATIONS, TrajectoryCodec, TrajectoryExample

#: What a saved folder holds.
SETTINGS_FILE, WEIGHTS_FILE = "gaussian_policy.json", "model.safetensors"


class BoundedCodec(TrajectoryCodec):
    """A trajectory codec that refuses actions which a policy by tanh could never take."""

    def encode(self, record: PreferenceRecord) -> TrajectoryExample:
        """One record as trajectories.

        Raises:
            RecordError: as `TrajectoryCodec`, and for actions outside [−1, 1].
        """
        example = super().encode(record)
        for index, row in enumerate(example.rows):
            largest = float(row.actions.abs().max())
            if largest > 1 + 1e-6:
                raise record.error(
                    f"expected actions in [−1, 1], as simulators execute them, and got {largest:g}: clip or scale them",
                    f"responses[{index}].arrays.{ACTIONS}",
                )
        return example


class GaussianPolicy(Policy):
    """Actions around a mean that a perceptron makes of the observation, with one deviation for all.

    A step's log-probability is −‖a − π(s)‖² as in CPL's released code (arXiv 2310.13639): that of a Gaussian of
    variance 1/2 in each number of the action, less its constant, which cancels between policy and reference. A
    response's is the sum over its steps, in nats. There is no dropout, which the paper's runs have (0.25): policy and
    reference, and both responses of a pair, must meet the same function.

    Observations are standardised by what training meets first (see `Scale`), unless `weights` brings a scale. Under
    an objective that needs a reference the scale stays as it is, or the policy would leave its reference without
    learning anything: clone first (`loss_type: sft`, or `cpl` itself), and give the outcome as `weights`.

    Args:
        observation_size: O, numbers in an observation.
        action_size: A, numbers in an action, each in [−1, 1].
        hidden: widths of the hidden layers.
        init_seed: seed of random weights.
        weights: folder that `save_pretrained` wrote, to start from; random weights if None.

    Raises:
        PrefalignError: for sizes below 1.
    """

    provides = frozenset({"token_logps", "likelihood"})
    codec: BoundedCodec

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden: Sequence[int] = (256, 256),
        init_seed: int = 0,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.codec = BoundedCodec(observation_size, action_size)
        self.settings = {"observation_size": observation_size, "action_size": action_size, "hidden": list(hidden)}
        if any(width < 1 for width in hidden):
            raise PrefalignError(f"expected hidden layers of at least 1 unit, got {list(hidden)}")
        self.hidden, self.init_seed, self.weights = tuple(hidden), init_seed, weights
        self.actor: Actor | None = None

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """The policy that `save_pretrained` wrote, its weights loaded.

        Raises:
            PrefalignError: if the folder holds no such policy.
        """
        try:
            policy = cls(**_settings(Path(folder)), weights=str(folder))
        except TypeError as error:
            raise PrefalignError(
                f"{folder}: the settings in {SETTINGS_FILE} do not fit this version ({error})"
            ) from None
        policy.configure_model()
        return policy

    def configure_model(self) -> None:
        """Make the network, and load weights and scale into it.

        Raises:
            PrefalignError: for weights that cannot be read, or are those of a policy of other sizes.
        """
        if self.actor is not None:
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.init_seed)
            actor = Actor(self.codec.observation_size, self.codec.action_size, self.hidden)
        if self.weights is not None:
            folder = Path(self.weights)
            saved = _settings(folder)
            if saved != self.settings:
                raise PrefalignError(
                    f"{folder}: these weights have the settings {saved}, and this policy {self.settings}; give the "
                    "arguments that they were trained with"
                )
            try:
                actor.load_state_dict(load_file(folder / WEIGHTS_FILE))
            except (OSError, SafetensorError, RuntimeError) as error:
                raise PrefalignError(f"{folder / WEIGHTS_FILE}: cannot be loaded ({error})") from None
            # However short the training that measured it: the weights were learned with this scale.
            actor.scale.settled.fill_(True)
        self.actor = actor

    def scores(self, batch: Batch, needs: frozenset[str] = frozenset()) -> ResponseScores:
        """Log-probabilities (N, T) of the steps and (N,) of the responses; `lengths` are numbers of steps.

        Raises:
            PrefalignError: before `configure_model`.
        """
        actor = self._built()
        observations, actions, mask = (cast(Tensor, batch.inputs[name]) for name in (OBSERVATIONS, ACTIONS, "mask"))
        dtype = next(actor.network.parameters()).dtype
        # In the network's own precision even under autocast: differences of sums drown in bfloat16.
        with torch.autocast(observations.device.type, enabled=False):
            moving = "reference" not in needs
            seen = actor.scale(observations, mask) if moving else actor.standardised(observations)
            errors = (actor.network(seen.to(dtype)) - actions.to(dtype)).square().sum(-1)
        return _summed(-errors.masked_fill(~mask, 0), mask)

    def stored(self, scores: ResponseScores) -> list[Tensor]:
        """The log-probabilities of each row's steps."""
        assert scores.token_logps is not None
        assert scores.mask is not None
        return [logps[mask].float() for logps, mask in zip(scores.token_logps, scores.mask, strict=True)]

    def restored(self, values: Sequence[Tensor], batch: Batch) -> ResponseScores:
        """The scores whose steps' log-probabilities are given."""
        mask = cast(Tensor, batch.inputs["mask"])
        return _summed(pad_sequence(list(values), batch_first=True).to(mask.device), mask)

    def sample(
        self, prompts: Sequence[Prompt], n: int = 1, *, generator: torch.Generator | None = None, **options: Any
    ) -> list[list[Response]]:
        """Not possible: a response is what came of many actions, which takes a world to act in.

        Raises:
            CapabilityError: always.
        """
        raise CapabilityError(
            "a robot's response is a trajectory, and the policy alone cannot make one: run it in a simulator "
            "(prefalign_robotics.simulator.rollouts.roll_out(policy.act, task)), or compare recorded trajectories"
        )

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(B, A) mean actions for (B, O) observations, as `simulator.rollouts` asks for them.

        Raises:
            PrefalignError: before `configure_model`.
        """
        return self._built().act(observations)

    def save_pretrained(self, folder: Path) -> None:
        """Write weights, scale and settings.

        Raises:
            PrefalignError: before `configure_model`.
        """
        actor, folder = self._built(), Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.detach().cpu().contiguous() for name, value in actor.state_dict().items()}
        save_file(tensors, folder / WEIGHTS_FILE)
        (folder / SETTINGS_FILE).write_text(json.dumps(self.settings, indent=2) + "\n", "utf-8")

    def _built(self) -> Actor:
        if self.actor is None:
            raise PrefalignError("the policy has no weights yet: call configure_model first")
        return self.actor


def _summed(logps: Tensor, mask: Tensor) -> ResponseScores:
    return ResponseScores(logps.sum(-1), mask.sum(-1).to(logps), token_logps=logps, mask=mask)


def _settings(folder: Path) -> dict[str, Any]:
    file = folder / SETTINGS_FILE
    if not file.is_file():
        raise PrefalignError(f"{folder}: no {SETTINGS_FILE}, so this is no Gaussian policy that prefalign saved")
    try:
        return dict(json.loads(file.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise PrefalignError(f"{file}: cannot be read ({type(error).__name__}: {error}); was it cut off?") from None
