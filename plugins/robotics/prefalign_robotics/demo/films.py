"""Films of a run, before and after: two policies on the same goal instance, done over as they did it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prefalign_robotics.demo.behaviour import read_rollouts
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.errors import SimulatorError
from prefalign_robotics.simulator.film import film
from prefalign_robotics.simulator.rollouts import Policy

#: Arms that are shown: what cloning everything gives, and what the learned reward's choice gives.
BEFORE, AFTER = "all", "scored"
_EVERY = 5  # steps a frame, each of which takes a third of a second to draw without a GPU


def films(run: Path, policies: Mapping[str, Mapping[str, Any]]) -> tuple[Path, Path]:
    """GIFs of both policies, made once; on the first goal instance that only the second reaches, else on the first.

    The simulator does the kept actions over, which gives the same episode, so that no policy has to be kept.

    Args:
        run: folder of the run.
        policies: its results by arm.

    Raises:
        SegmentError: if one of the two arms was not run, or its rollouts are damaged.
        SimulatorError: where nothing can be simulated or drawn.
    """
    missing = [name for name in (BEFORE, AFTER) if name not in policies]
    if missing:
        raise SegmentError(
            f"{run}: the arm {missing[0]!r} was not run; run the demonstration with --arms {BEFORE},{AFTER}"
        )
    names = [str(policies[name]["rollouts"]) for name in (BEFORE, AFTER)]
    before, after = (read_rollouts(run / "rollouts" / Path(name).name) for name in names)
    gained = np.flatnonzero(after.succeeded & ~before.succeeded)
    row = int(gained[0]) if len(gained) else 0
    folder = run / "films"
    made = []
    for name, found in zip(names, (before, after), strict=True):
        path = folder / f"{Path(name).stem}-{row}.gif"
        if not path.exists():
            folder.mkdir(exist_ok=True)
            try:
                film(replay(found.actions[row]), found.task, path, int(found.instances[row]), found.steps, every=_EVERY)
            except SimulatorError:
                raise
            except Exception as error:  # with MUJOCO_GL set to what is missing, importing MuJoCo fails in its own ways
                raise SimulatorError(
                    f"MuJoCo cannot be used to draw here ({type(error).__name__}: {error}); set MUJOCO_GL to osmesa or "
                    "egl, whichever is installed, before Python starts"
                ) from None
        made.append(path)
    return made[0], made[1]


def replay(actions: np.ndarray) -> Policy:
    """A policy that does actions (T, A) one after another, whatever it sees."""
    left = iter(actions)
    return lambda observations: next(left)[None]
