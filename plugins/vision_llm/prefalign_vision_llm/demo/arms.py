"""The arms of the demonstration: one preset, and what each arm changes in it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

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
    config, done = run / "arm.yaml", run / "done.json"
    if done.exists() and json.loads(done.read_text())["changes"] == json.loads(json.dumps(changes)):
        return run / "export"
    run.mkdir(parents=True, exist_ok=True)
    config.write_text(yaml.safe_dump(changes), encoding="utf-8")
    command = [sys.executable, "-m", "prefalign.cli.main", "fit", "--config", PRESET, "--config", str(config)]
    started = time.perf_counter()
    with (run / "fit.log").open("w", encoding="utf-8") as log:
        # A bar that is redrawn a thousand times makes no readable log.
        quiet = [*command, "--trainer.enable_progress_bar=false"]
        code = subprocess.run(quiet, stdout=log, stderr=subprocess.STDOUT, env=os.environ, check=False).returncode
    if code:
        tail = (run / "fit.log").read_text(encoding="utf-8").strip().splitlines()[-12:]
        raise RuntimeError(f"{' '.join(command)} failed with code {code}:\n" + "\n".join(tail))
    seconds = round(time.perf_counter() - started, 1)
    done.write_text(json.dumps({"changes": changes, "seconds": seconds}) + "\n", encoding="utf-8")
    return run / "export"
