"""The arms of the demonstration: the preset `mesh3d/deepmesh-tiny`, and what each arm changes in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefalign.training.arms import run_arm

#: Words of the alarm that a collapsing model raises.
ALARM = "have become less likely than under the reference"


@dataclass(frozen=True)
class Arm:
    """A row of the table.

    Attributes:
        title: what the table calls it.
        objective: in the place of the preset's; None keeps it.
        records: file that it trains on.
        start: arm whose result it starts from; None for the base.
        steps, lr: in the place of the preset's.
    """

    title: str
    objective: Mapping[str, Any] | None = None
    records: str = "pairs.parquet"
    start: str | None = None
    steps: int = 200
    lr: float = 3.0e-5


def _dpo(**options: Any) -> dict[str, Any]:
    # What the preset gives and an arm does not is taken back.
    return {"class_path": "core/dpo", "init_args": {"beta": None, "nll_weight": 0.0, **options}}


#: The anchor of the DPO arm alone, with the weight that it has there.
_LIKELIHOOD = _dpo(loss_type=["sft"], loss_weights=[10.0])


def _masked(mask_form: str, beta: float) -> dict[str, Any]:
    options = {"mask_form": mask_form, "beta": beta, "nll_weight": 10.0}
    return {"class_path": "mesh3d/masked_dpo", "init_args": options}


ARMS: dict[str, Arm] = {
    "coin": Arm("DPO, chosen by a coin (control)", records="coin.parquet"),
    "rft": Arm("likelihood of the chosen (RFT)", _LIKELIHOOD),
    "dpo": Arm("DPO, β = 1, anchored"),
    "unanchored": Arm("DPO, β = 0.1, no anchor", _dpo(beta=0.1), steps=120, lr=5.0e-5),
    "masked": Arm("M-DPO, masked log-ratios, β = 1", _masked("logp_sum", 1.0), "masked.parquet"),
    "masked_l1": Arm("M-DPO, masked probabilities, β = 10", _masked("prob_l1", 10.0), "masked.parquet"),
    "near_rft": Arm("RFT, near misses", _LIKELIHOOD, "near.parquet"),
    "near_dpo": Arm("DPO, rejected near misses", None, "near.parquet"),
    "rft_2": Arm("second round of RFT", _LIKELIHOOD, "fresh.parquet", "rft"),
    "dpo_2": Arm("second round of DPO", None, "fresh.parquet", "dpo"),
}


def arm_folder(arms: Path, name: str) -> Path:
    """Where an arm of a seed lives."""
    return arms / name


def train(name: str, prepared: Path, arms: Path, seed: int) -> dict[str, Any]:
    """Run an arm through `prefalign fit`; its model is then in `export/` of its folder.

    Returns:
        `seconds` of wall time, and `alarm`, whether the alarm of unlikely chosen meshes was raised.
    """
    arm, run = ARMS[name], arm_folder(arms, name)
    start = prepared / "base" / "export" if arm.start is None else arm_folder(arms, arm.start) / "export"
    records = run if arm.records == "fresh.parquet" else prepared
    model: dict[str, Any] = {
        "policy": {"init_args": {"model": str(start)}},
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": arm.lr, "weight_decay": 0.0}},
    }
    if arm.objective is not None:
        model["objective"] = dict(arm.objective)
    change = {
        "seed_everything": seed,
        "model": {"init_args": model},
        "data": {"init_args": {"train": str(records / arm.records), "seed": seed}},
        "trainer": {"max_steps": arm.steps, "default_root_dir": str(run)},
    }
    done = run_arm(change, run, preset="mesh3d/deepmesh-tiny")
    return {"seconds": done["seconds"], "alarm": float(ALARM in done["log"])}
