"""A film is written frame by frame; what draws is replaced here, so that no display is needed."""

import numpy as np
import pytest

from prefalign_robotics.simulator.errors import SimulatorError
from prefalign_robotics.simulator.film import film

mujoco = pytest.importorskip("mujoco")
imageio = pytest.importorskip("imageio.v3")


class Renderer:
    """Draws the hand's height as grey, with a white upper left corner."""

    closed = 0

    def __init__(self, model, height, width):
        self.size = (height, width)

    def update_scene(self, data, camera):
        self.grey, self.camera = int(255 * data.body("hand").xpos[2]), camera

    def render(self):
        picture = np.full((*self.size, 3), self.grey, np.uint8)
        picture[:4, :4] = 255
        return picture

    def close(self):
        Renderer.closed += 1


def lift(observations):
    return np.tile([0.0, 0.0, 1.0, 0.0], (len(observations), 1))


@pytest.mark.parametrize(("camera", "corner"), [("corner2", (-1, -1)), ("topview", (0, 0))])
def test_frames_follow_the_episode_the_right_way_up(tmp_path, monkeypatch, camera, corner):
    monkeypatch.setattr(mujoco, "Renderer", Renderer)
    before = Renderer.closed
    assert film(lift, "reach", tmp_path / "a.gif", steps=10, every=4, size=16, camera=camera) is False
    assert Renderer.closed == before + 1
    frames = imageio.imread(tmp_path / "a.gif")
    assert frames.shape == (3, 16, 16, 3)
    assert (np.diff(frames[:, 8, 8, 0].astype(int)) > 0).all()
    assert (frames[(slice(None), *corner)] == 255).all()
    assert imageio.immeta(tmp_path / "a.gif")["duration"] == 50
    assert [file.name for file in tmp_path.iterdir()] == ["a.gif"]


def test_where_nothing_can_be_drawn_the_way_out_is_named(tmp_path, monkeypatch):
    def fail(*_):
        raise AttributeError("'NoneType' object has no attribute 'glGetError'")

    monkeypatch.setattr(mujoco, "Renderer", fail)
    with pytest.raises(SimulatorError, match=r"cannot draw here .*glGetError.*MUJOCO_GL=osmesa"):
        film(lift, "reach", tmp_path / "a.gif")
    assert not any(tmp_path.iterdir())
