"""The arms of the demonstration: the preset `audio/baton-tiny`, and what each arm changes in it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from prefalign.training.arms import run_arm

#: β of the pairwise losses, for errors that are means over 192 numbers; the papers' 2000 belongs to large latents.
BETA = 20.0


@dataclass(frozen=True)
class Arm:
    """A row of the table.

    Attributes:
        title: what the table calls it.
        objective: in the place of the preset's.
        records: file that it trains on.
        batch_size: records in a batch: 48 clips or 24 pairs.
        anchored: whether the pretraining clips join every batch.
        start: arm whose result it starts from; None for the base.
    """

    title: str
    objective: Mapping[str, Any] = field(default_factory=dict)
    records: str = "pairs.parquet"
    batch_size: int = 24
    anchored: bool = False
    start: str | None = None


def _rewarded(title: str, anchor: float, **weighting: Any) -> Arm:
    objective: dict[str, Any] = {"class_path": "core/reward_weighted", "init_args": weighting}
    if anchor:
        objective = {"class_path": "core/anchored", "init_args": {"objective": objective, "weight": anchor}}
    return Arm(title, objective, "rated.parquet", 48, bool(anchor))


def _pairwise(title: str, records: str = "pairs.parquet", start: str | None = None, **options: Any) -> Arm:
    return Arm(title, {"class_path": "core/dpo", "init_args": options}, records, start=start)


ARMS: dict[str, Arm] = {
    "control": _rewarded("same clips without reward (control)", 0.0, weighting="threshold", above=-1.0),
    "baton_1": _rewarded("BATON, β = 1", 1.0),
    "baton_025": _rewarded("BATON, β = 0.25", 0.25),
    "baton_0": _rewarded("BATON, β = 0", 0.0),
    "winners": _pairwise("winners only", loss_type="sft"),
    "dpo_50": _pairwise("DPO, β = 50", beta=50.0),
    "dpo": _pairwise("DPO, β = 20", beta=BETA),
    "coin": _pairwise("DPO, β = 20, winners by coin (control)", "coin.parquet", beta=BETA),
    "crpo": _pairwise("CRPO, β = 20", beta=BETA, nll_weight=1.0),
    "crpo_offline": _pairwise("second CRPO round, same pairs", start="crpo", beta=BETA, nll_weight=1.0),
    "crpo_online": _pairwise("second CRPO round, new pairs + old", "online.parquet", "crpo", beta=BETA, nll_weight=1.0),
}


def config(name: str, prepared: Path, run: Path, arms: Path, seed: int) -> dict[str, Any]:
    """The whole config of an arm.

    Args:
        name: of the arm.
        prepared: folder of the seed.
        run: folder of the arm.
        arms: folder that holds the arms of all seeds, where a second round finds the first.
        seed: of order and noise.
    """
    arm = ARMS[name]
    text = (files("prefalign_audio") / "presets" / "baton-tiny.yaml").read_text("utf-8")
    made: dict[str, Any] = copy.deepcopy(yaml.safe_load(text))
    start = prepared / "base" if arm.start is None else arm_folder(arms, arm.start, seed) / "export"
    made["seed_everything"] = seed
    model, data = made["model"]["init_args"], made["data"]["init_args"]
    model["policy"]["init_args"]["denoiser"]["init_args"]["model"] = str(start)
    model["policy"]["init_args"]["noise_seed"] = seed
    model["objective"] = json.loads(json.dumps(arm.objective))
    folder = run if arm.records == "online.parquet" else prepared
    data |= {"train": str(folder / arm.records), "batch_size": arm.batch_size, "seed": seed}
    if arm.anchored:
        data["anchor"] = str(prepared / "anchor.parquet")
    else:
        del data["anchor"], data["anchor_batch_size"]
    made["trainer"]["default_root_dir"] = str(run)
    return made


def arm_folder(arms: Path, name: str, seed: int) -> Path:
    """Where an arm of a seed lives."""
    return arms / f"{name}-{seed}"


def train(name: str, prepared: Path, arms: Path, seed: int) -> dict[str, Any]:
    """Run an arm through `prefalign fit`; its model is then in `export/` of its folder.

    Returns:
        What `run_arm` does, and `alarm`, whether the drift alarm was raised.
    """
    run = arm_folder(arms, name, seed)
    done = run_arm(config(name, prepared, run, arms, seed), run)
    return {**done, "alarm": "denoising error has grown" in done["log"]}
