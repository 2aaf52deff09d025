"""The reward: trained through the command with the preset, then asked about every step of every episode."""

from __future__ import annotations

import copy
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from prefalign.interfaces import PreferenceRecord, Prompt, Response, Unary
from prefalign.training.arms import run_arm
from prefalign_robotics.rewards.codec import TrajectoryCodec
from prefalign_robotics.rewards.mlp import MarkovReward
from prefalign_robotics.segments.segments import Segments

#: What is learned from labels that may be wrong: the preset, and the plain loss beside it.
OBJECTIVES = {"robust": "core/robust_reward", "bradley_terry": "core/bradley_terry"}


def config(pairs: Path, run: Path, seed: int, steps: int, objective: str = "robust") -> dict[str, Any]:
    """The preset `robotics/pearl-tiny` for a file of pairs.

    Args:
        pairs: the records.
        run: folder of the run.
        seed: of weights, order and draws.
        steps: of the optimiser.
        objective: one of `OBJECTIVES`; the plain loss has a reward without deviation.
    """
    text = (files("prefalign_robotics") / "presets" / "pearl-tiny.yaml").read_text("utf-8")
    made: dict[str, Any] = copy.deepcopy(yaml.safe_load(text))
    made["seed_everything"] = seed
    model = made["model"]["init_args"]
    model["reward"]["init_args"] |= {"init_seed": seed, "gaussian": objective == "robust"}
    model["objective"]["class_path"] = OBJECTIVES[objective]
    made["data"]["init_args"] |= {"train": str(pairs), "seed": seed}
    made["trainer"] |= {"max_steps": steps, "default_root_dir": str(run)}
    return made


def learn(pairs: Path, run: Path, seed: int, steps: int, objective: str = "robust") -> MarkovReward:
    """Train through `prefalign fit`, unless it was done before with the same settings; arguments as in `config`."""
    run_arm(config(pairs, run, seed, steps, objective), run)
    return MarkovReward.from_pretrained(run / "export").eval()


@torch.no_grad()
def step_rewards(reward: MarkovReward, segments: Segments) -> tuple[np.ndarray, np.ndarray]:
    """(N, T) float32 means and deviations of every step, those too that training left out; deviations are 0 if plain.

    A Markov reward judges each step by itself, so that fewer or more of them change nothing.
    """
    every = TrajectoryCodec(reward.codec.observation_size, reward.codec.action_size)
    found = reward(every.collate([every.encode(_record(segments, row)) for row in range(len(segments))]))
    mean = found.mean[..., 0].numpy()
    return mean, np.zeros_like(mean) if found.variance is None else found.variance[..., 0].sqrt().numpy()


def _record(segments: Segments, row: int) -> PreferenceRecord:
    arrays = {"observations": segments.observations[row], "actions": segments.actions[row]}
    return PreferenceRecord(
        id=f"{segments.name}-{row}", prompt=Prompt(), responses=(Response(arrays=arrays),), verdict=Unary((True,))
    )
