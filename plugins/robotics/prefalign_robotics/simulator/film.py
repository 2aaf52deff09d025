"""Videos of a policy. They need a way to draw without a display, which the rest of the simulator does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from prefalign.data.atomic import atomic_path
from prefalign_robotics.simulator.errors import SimulatorError
from prefalign_robotics.simulator.rollouts import Policy
from prefalign_robotics.simulator.world import World


def film(
    policy: Policy,
    task: str,
    path: Path | str,
    instance: int = 0,
    steps: int = 150,
    *,
    every: int = 3,
    size: int = 240,
    camera: str = "corner2",
) -> bool:
    """Write an animated GIF of one episode, and say whether the task was done.

    Args:
        policy: (1, 39) observations to (1, 4) actions.
        task: one of `world.tasks()`.
        path: of the file.
        instance: number of the goal instance.
        steps: of the episode.
        every: how many steps lie between two frames; a frame takes a third of a second to draw without a GPU.
        size: pixels along each side.
        camera: one of Meta-World's, such as corner, corner2, corner3, topview.

    Raises:
        PrefalignError: for another task.
        SimulatorError: where nothing can be drawn or imageio is missing.
    """
    try:
        import imageio.v3 as imageio
    except ImportError as error:
        raise SimulatorError(
            f'imageio writes videos and cannot be imported ({error}); install it with: pip install "prefalign-robotics'
            '[simulator]"'
        ) from None
    world, frames, done = World(task), [], False
    observation = world.reset(instance)
    with _renderer(world, size) as renderer:
        for step in range(steps):
            if step % every == 0:
                renderer.update_scene(world.simulation[1], camera=camera)
                # Meta-World's corner cameras hang upside down.
                frames.append(renderer.render()[::-1, ::-1] if camera.startswith("corner") else renderer.render())
            action = np.clip(policy(observation[None].astype(np.float32))[0], -1, 1)
            observation, _, success = world.step(action)
            done |= success
    world.close()
    with atomic_path(Path(path)) as partial:
        # One simulator step takes 1/80 of a second.
        imageio.imwrite(partial, np.stack(frames), extension=".gif", duration=1000 * every / 80, loop=0)
    return done


@contextmanager
def _renderer(world: World, size: int) -> Iterator[Any]:
    import mujoco

    try:
        renderer = mujoco.Renderer(world.simulation[0], size, size)
    except Exception as error:  # each way of drawing fails in a way of its own
        raise SimulatorError(
            f"MuJoCo cannot draw here ({type(error).__name__}: {error}); set MUJOCO_GL=osmesa (Debian: libosmesa6) or "
            "MUJOCO_GL=egl (libegl1 with a driver) before Python starts"
        ) from None
    try:
        yield renderer
    finally:
        renderer.close()
