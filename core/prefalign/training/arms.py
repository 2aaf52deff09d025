"""Arms of a comparison: runs of one config with changes, each a process of its own as a user would start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def run_arm(config: Mapping[str, Any], run: Path, *, preset: str | None = None) -> dict[str, Any]:
    """Run `prefalign fit`; an arm that was run before with the same settings is not run again.

    Args:
        config: the whole config, or what it changes in `preset`. Written to `arm.yaml` in the run's folder.
        run: the run's folder. What the command says is kept in `fit.log` there.
        preset: short name of a preset that comes before.

    Returns:
        `seconds` of wall time that the run took, and `log`, what the command said.

    Raises:
        RuntimeError: if the command fails, with the end of its output.
    """
    file, done, log = run / "arm.yaml", run / "done.json", run / "fit.log"
    plain = json.loads(json.dumps({"preset": preset, "config": config}))
    if done.exists() and (found := json.loads(done.read_text("utf-8")))["plan"] == plain:
        return {"seconds": found["seconds"], "log": log.read_text("utf-8")}
    run.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(plain["config"]), encoding="utf-8")
    configs = [part for name in (preset, str(file)) if name for part in ("--config", name)]
    # A bar that is redrawn a thousand times makes no readable log.
    command = [sys.executable, "-m", "prefalign.cli.main", "fit", *configs, "--trainer.enable_progress_bar=false"]
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=os.environ, check=False).returncode
    said = log.read_text("utf-8")
    if code:
        tail = said.strip().splitlines()[-12:]
        raise RuntimeError(f"{' '.join(command)} failed with code {code}:\n" + "\n".join(tail))
    seconds = round(time.perf_counter() - started, 1)
    done.write_text(json.dumps({"plan": plain, "seconds": seconds}) + "\n", encoding="utf-8")
    return {"seconds": seconds, "log": said}
