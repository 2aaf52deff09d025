"""What rewards over trajectories share: scales, weights, saving."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from prefalign.interfaces import Batch, PrefalignError, PreferenceRecord, Reward, RewardOutput
from prefalign_robotics.rewards.codec import ACTIONS, OBSERVATIONS, TrajectoryCodec
from prefalign_robotics.rewards.scale import Scale

#: What a saved folder holds.
SETTINGS_FILE, WEIGHTS_FILE = "trajectory_reward.json", "model.safetensors"

#: Logarithms of deviations stay between these two.
LOG_DEVIATION = (-5.0, 3.0)


class TrajectoryReward(Reward):
    """Base of the rewards that a network gives to the steps of a trajectory.

    Args:
        codec: encodes records.
        settings: the arguments of the class that make the same network again, as plain JSON values.
        init_seed: seed of random weights; members of an ensemble differ in it.
        weights: folder that `save_pretrained` wrote, to start from; random weights if None.
    """

    codec: TrajectoryCodec

    def __init__(self, codec: TrajectoryCodec, settings: dict[str, Any], init_seed: int, weights: str | None) -> None:
        super().__init__()
        self.codec, self.settings, self.init_seed, self.weights = codec, settings, init_seed, weights
        self.observation_scale, self.action_scale = Scale(codec.observation_size), Scale(codec.action_size)
        self.network: nn.Module | None = None

    @abstractmethod
    def build(self) -> nn.Module:
        """The network with random weights.

        It maps standardised observations (N, T, O), actions (N, T, A) and the mask (N, T) to what `judge` reads.
        """

    @abstractmethod
    def judge(self, found: Any, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """(N, T) rewards of the steps and their deviations, or None, from what the network gave."""

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """The reward that `save_pretrained` wrote, its weights loaded.

        Raises:
            PrefalignError: if the folder holds no such reward.
        """
        try:
            reward = cls(**_settings(Path(folder), cls.__name__), weights=str(folder))
        except TypeError as error:
            raise PrefalignError(
                f"{folder}: the settings in {SETTINGS_FILE} do not fit this version ({error})"
            ) from None
        reward.configure_model()
        return reward

    def configure_model(self) -> None:
        """Make the network, and load weights into it and the scales.

        Raises:
            PrefalignError: for weights that cannot be read, or are those of another reward.
        """
        if self.network is not None:
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.init_seed)
            network = self.build()
        if self.weights is not None:
            folder = Path(self.weights)
            saved = _settings(folder, type(self).__name__)
            if saved != self.settings:
                others = {name: value for name, value in saved.items() if self.settings.get(name) != value}
                raise PrefalignError(
                    f"{folder}: these weights have the settings {others}, and this reward has others; give the "
                    "arguments that they were trained with"
                )
            self.network = network
            try:
                self.load_state_dict(load_file(folder / WEIGHTS_FILE))
            except (OSError, SafetensorError, RuntimeError) as error:
                self.network = None
                raise PrefalignError(f"{folder / WEIGHTS_FILE}: cannot be loaded ({error})") from None
        self.network = network

    def save_pretrained(self, folder: Path) -> None:
        """Write weights, scales and settings.

        Raises:
            PrefalignError: before `configure_model`.
        """
        self._built()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(tensors, folder / WEIGHTS_FILE)
        saved = {"class": type(self).__name__, "settings": self.settings}
        (folder / SETTINGS_FILE).write_text(json.dumps(saved, indent=2) + "\n", "utf-8")

    def fit_scales(self, records: Iterable[PreferenceRecord]) -> None:
        """Measure the scales on all of these records at once; training then leaves them as they are.

        Raises:
            RecordError: for a record that cannot be encoded.
        """
        for record in records:
            batch = self.codec.collate([self.codec.encode(record)])
            observations, actions, mask = self.inputs(batch)
            for scale, values in ((self.observation_scale, observations), (self.action_scale, actions)):
                device = scale.mean.device
                scale.measure(values.to(device), mask.to(device))
                scale.settled.fill_(True)

    @staticmethod
    def inputs(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Observations (N, T, O), actions (N, T, A) and mask (N, T) of a batch."""
        return cast(tuple[Tensor, Tensor, Tensor], tuple(batch.inputs[n] for n in (OBSERVATIONS, ACTIONS, "mask")))

    def read(self, batch: Batch) -> Any:
        """What the network gives, in its own precision even under autocast: differences of sums drown in bfloat16.

        Raises:
            PrefalignError: before `configure_model`.
        """
        network = self._built()
        observations, actions, mask = self.inputs(batch)
        dtype = next(network.parameters()).dtype
        with torch.autocast(observations.device.type, enabled=False):
            seen, done = self.observation_scale(observations, mask), self.action_scale(actions, mask)
            return network(seen.to(dtype), done.to(dtype), mask)

    def forward(self, batch: Batch) -> RewardOutput:
        """Rewards of the steps, (N, T, 1)."""
        _, _, mask = self.inputs(batch)
        mean, deviation = self.judge(self.read(batch), mask)
        variance = None if deviation is None else (deviation**2).unsqueeze(-1)
        return RewardOutput(mean.unsqueeze(-1), mask.any(1), variance, mask)

    def _built(self) -> nn.Module:
        if self.network is None:
            raise PrefalignError("the reward has no weights yet: call configure_model first")
        return self.network


def deviation(raw: Tensor) -> Tensor:
    """Standard deviations from unbounded numbers; 0 gives about 1.

    The logarithm stays within `LOG_DEVIATION` by a tanh of slope 1 at the middle: a hard clamp has no slope beyond its
    ends, so that a network which got there would never come back.
    """
    low, high = LOG_DEVIATION
    middle, half = (low + high) / 2, (high - low) / 2
    return torch.exp(middle + half * torch.tanh((raw - middle) / half))


def _settings(folder: Path, name: str) -> dict[str, Any]:
    file = folder / SETTINGS_FILE
    if not file.is_file():
        raise PrefalignError(f"{folder}: no {SETTINGS_FILE}, so this is no reward of trajectories that prefalign saved")
    try:
        saved = json.loads(file.read_text("utf-8"))
        kind, settings = saved["class"], dict(saved["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise PrefalignError(f"{file}: cannot be read ({type(error).__name__}: {error}); was it cut off?") from None
    if kind != name:
        raise PrefalignError(f"{folder}: holds a {kind}, not a {name}")
    return settings
