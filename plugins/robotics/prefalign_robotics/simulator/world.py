"""One task of Meta-World, with numbered goal instances and its scripted expert.

Observations are the 39 numbers of the goal-observable environments: hand (3), gripper (1), two objects (7 each),
the same eighteen one step earlier, and the goal (3), positions in metres. Actions are four numbers in [−1, 1]: a step
of the hand of at most 1 cm along each axis, and the closing of the gripper.

A goal instance is where object and goal stand. Each whole number always gives the same one, drawn uniformly over the
task's reset space, so that there are as many as wanted and the same number means the same start in every process.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from prefalign.interfaces import unknown_name
from prefalign_robotics.simulator.errors import SimulatorError

#: Numbers of an observation, and of an action.
OBSERVATION, ACTION = 39, 4
#: Steps after which Meta-World wants a reset.
HORIZON = 500
_PLAIN = (bool, int, float, str, type(None), np.ndarray, np.generic, tuple, list, dict)


def tasks() -> tuple[str, ...]:
    """The fifty task names, such as `button-press`.

    Raises:
        SimulatorError: if Meta-World is not installed.
    """
    return tuple(sorted(name.removesuffix("-v3") for name in _metaworld("policies").ENV_POLICY_MAP))


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All that the future of a world depends on, so that several futures can be tried from one present.

    Attributes:
        task: of the world.
        physics: MuJoCo's integration state (time, positions, velocities, controls, mocap, warm starts of the solver).
        placed: positions of bodies and sites, which Meta-World moves in the model itself.
        memory: what the environment remembers beside the physics (previous observation, steps so far, goal, …).
    """

    task: str
    physics: np.ndarray
    placed: tuple[np.ndarray, np.ndarray]
    memory: dict[str, Any]


class World:
    """A simulator of one task.

    Args:
        task: one of `tasks()`.

    Raises:
        PrefalignError: for another task.
        SimulatorError: if Meta-World is not installed.
    """

    def __init__(self, task: str) -> None:
        check_task(task)
        self.task = task
        environments = _metaworld("env_dict").ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
        # The seed keeps the constructor from drawing from NumPy's global generator.
        self._environment: Any = environments[f"{task}-v3-goal-observable"](seed=0)
        # Each reset draws a goal instance from the environment's own generator, which `reset` seeds.
        self._environment._freeze_rand_vec, self._environment.seeded_rand_vec = False, True

    def reset(self, instance: int) -> np.ndarray:
        """(39,) float64 first observation of a goal instance, a whole number from 0 up.

        Meta-World reports some objects (windows, drawers, dials) where they stood before the reset; the first step
        puts that right. See `Episodes.settled`.
        """
        self._environment.seed(int(instance))
        observation: np.ndarray = self._environment.reset()[0]
        return observation

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """Act once.

        Args:
            action: (4,) in [−1, 1].

        Returns:
            (39,) float64 observation, dense reward in [0, 10], and whether the task is done at this step.
        """
        observation, reward, _, _, info = self._environment.step(action)
        return observation, float(reward), bool(info["success"])

    def save(self) -> Snapshot:
        """The present, to come back to with `restore`."""
        mujoco, environment = _mujoco(), self._environment
        physics = np.empty(mujoco.mj_stateSize(environment.model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(environment.model, environment.data, physics, mujoco.mjtState.mjSTATE_INTEGRATION)
        placed = environment.model.body_pos.copy(), environment.model.site_pos.copy()
        return Snapshot(self.task, physics, placed, copy.deepcopy(self._memory()))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to what `save` gave: every later step is then the same, to the bit.

        Args:
            snapshot: of this world, or of another of its task; this one must have been reset before.

        Raises:
            SimulatorError: for the snapshot of another task.
        """
        if snapshot.task != self.task:
            raise SimulatorError(f"expected a snapshot of {self.task}, got one of {snapshot.task}")
        mujoco, environment = _mujoco(), self._environment
        for name in self._memory().keys() - snapshot.memory.keys():
            delattr(environment, name)
        environment.__dict__.update(copy.deepcopy(snapshot.memory))
        environment.model.body_pos[:], environment.model.site_pos[:] = snapshot.placed
        state = environment.model, environment.data, snapshot.physics, mujoco.mjtState.mjSTATE_INTEGRATION
        mujoco.mj_setState(*state)
        # Positions of bodies and contacts follow from the state. Finding them overwrites the solver's warm start.
        mujoco.mj_forward(environment.model, environment.data)
        mujoco.mj_setState(*state)

    def _memory(self) -> dict[str, Any]:
        """Attributes of the environment that are plain values; simulator, renderer, spaces and generator are not."""
        return {
            name: value
            for name, value in vars(self._environment).items()
            if isinstance(value, _PLAIN) and not _is_window(value)
        }

    @property
    def simulation(self) -> tuple[Any, Any]:
        """MuJoCo's model and data, for cameras."""
        return self._environment.model, self._environment.data

    def expert(self) -> Expert:
        """A new scripted expert of this task."""
        return Expert(self.task)

    def close(self) -> None:
        """Free the simulator."""
        self._environment.close()


class Expert:
    """Meta-World's scripted policy of one task; its class is not always named as the task (PegInsertion)."""

    def __init__(self, task: str) -> None:
        check_task(task)
        self._policy: Any = _metaworld("policies").ENV_POLICY_MAP[f"{task}-v3"]()

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """(4,) float64 action for a (39,) observation, not clipped: scripted policies ask for more than 1."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Constant", category=UserWarning)
            action: np.ndarray = self._policy.get_action(observation)
        return np.asarray(action, dtype=np.float64)


def check_task(task: str) -> None:
    """Refuse a name that is no task.

    Raises:
        PrefalignError: with the nearest names.
        SimulatorError: if Meta-World is not installed.
    """
    if task not in tasks():
        raise unknown_name("Meta-World task", task, tasks())


def simulator_version() -> str:
    """What episodes depend on besides their arguments."""
    from importlib.metadata import version

    _metaworld("policies")
    return f"metaworld{version('metaworld')}-mujoco{version('mujoco')}"


def _is_window(value: object) -> bool:
    """Whether an array looks into the simulator's own memory, and so follows the physics without being told.

    Meta-World keeps some "initial" positions so. A copy in their place would stand still, and change rewards.
    """
    while isinstance(value, np.ndarray) and isinstance(value.base, np.ndarray):
        value = value.base
    return isinstance(value, np.ndarray) and value.base is not None


def _mujoco() -> ModuleType:
    from importlib import import_module

    return import_module("mujoco")


def _metaworld(part: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(f"metaworld.{part}")
    except ImportError as error:
        raise SimulatorError(
            f'Meta-World cannot be imported ({error}); install it with: pip install "prefalign-robotics[simulator]"'
        ) from None
