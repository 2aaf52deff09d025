"""The arms of the demonstration: one preset, and what each arm changes in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefalign.training.arms import run_arm

PRESET = "vision_llm/rlhfv-tiny"


@dataclass(frozen=True)
class Arm:
    """A row of the table.

    Attributes:
        title: what the table calls it.
        sets: record files of the prepared folder that it trains on.
        objective: what it changes in the preset's objective.
        lr: learning rate.
        batch_size: records in a batch; about 32 pairs in each arm.
    """

    title: str
    sets: tuple[str, ...]
    objective: Mapping[str, Any] = field(default_factory=dict)
    lr: float = 2e-4
    batch_size: int = 72


_BARE = {"nll_weight": 0.0, "verified_weight": 0.0}

ARMS: dict[str, Arm] = {
    "ddpo": Arm("dense DPO, anchored (the preset)", ("pairs.jsonl", "verified.jsonl")),
    "ddpo_bare": Arm("dense DPO, no anchor", ("pairs.jsonl",), _BARE, 5e-5, 32),
    "dpo": Arm("plain DPO", ("pairs-plain.jsonl",), _BARE, 5e-5, 32),
    "sft": Arm(
        "fine-tuning on the same corrections (control)",
        ("pairs-plain.jsonl", "verified.jsonl"),
        {"loss_type": "sft", "beta": None, "nll_weight": 0.0},
    ),
}


def overrides(arm: Arm, prepared: Path, run: Path) -> dict[str, Any]:
    """What the arm changes in the preset, as a config that is merged over it."""
    return {
        "model": {
            "init_args": {
                "policy": {"init_args": {"model": str(prepared / "base")}},
                "objective": {"init_args": dict(arm.objective)},
                "optimizer": {"init_args": {"lr": arm.lr}},
            }
        },
        "data": {"init_args": {"train": [str(prepared / name) for name in arm.sets], "batch_size": arm.batch_size}},
        "trainer": {"default_root_dir": str(run)},
    }


def train(name: str, prepared: Path, run: Path, seed: int) -> Path:
    """Run `prefalign fit` for an arm, in a process of its own as a user would, and return the exported model's folder.

    An arm that was trained before with the same settings is used again.

    Raises:
        RuntimeError: if the command fails; its output is in `fit.log` of the run's folder.
    """
    changes = overrides(ARMS[name], prepared, run) | {"seed_everything": seed}
    run_arm(changes, run, preset=PRESET)
    return run / "export"
