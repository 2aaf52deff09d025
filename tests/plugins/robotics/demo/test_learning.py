"""The reward is the preset's, and judges every step."""

from importlib.resources import files

import numpy as np
import pytest
import torch
import yaml

from prefalign_robotics.demo.learning import config, step_rewards
from prefalign_robotics.rewards.mlp import MarkovReward
from prefalign_robotics.segments.segments import Segments


def test_the_config_is_the_preset_with_stated_changes(tmp_path):
    preset = yaml.safe_load((files("prefalign_robotics") / "presets" / "pearl-tiny.yaml").read_text("utf-8"))
    found = config(tmp_path / "pairs.parquet", tmp_path / "run", 3, 500)
    assert found.pop("seed_everything") == 3
    assert found["model"]["init_args"]["reward"]["init_args"].pop("init_seed") == 3
    assert found["data"]["init_args"].pop("seed") == 3
    assert found["trainer"].pop("default_root_dir") == str(tmp_path / "run")
    assert found["data"]["init_args"].pop("train") == str(tmp_path / "pairs.parquet")
    assert preset["data"]["init_args"].pop("train") == "runs/robotics/button-press--window-open/seed0/pairs.parquet"
    assert found == preset


def test_the_plain_loss_has_a_reward_without_deviation(tmp_path):
    model = config(tmp_path, tmp_path, 0, 7, "bradley_terry")["model"]["init_args"]
    assert model["objective"] == {"class_path": "core/bradley_terry"}
    assert model["reward"]["init_args"]["gaussian"] is False
    assert config(tmp_path, tmp_path, 0, 7)["model"]["init_args"]["reward"]["init_args"]["gaussian"] is True


@pytest.mark.parametrize("gaussian", [True, False])
def test_every_step_is_judged_by_itself(gaussian):
    """Also those that `every` leaves out of training; each as if it were alone."""
    generator = np.random.default_rng(0)
    values = [generator.standard_normal((3, 7, size)).astype(np.float32) for size in (5, 2)]
    reward = MarkovReward(5, 2, [8], gaussian=gaussian, every=3)
    reward.configure_model()
    reward.eval()
    mean, deviation = step_rewards(reward, Segments(*values))
    assert mean.shape == deviation.shape == (3, 7)
    assert mean.std() > 0
    assert (deviation > 0).all() if gaussian else (deviation == 0).all()
    alone = reward.network(
        torch.from_numpy(values[0][1, 4])[None, None], torch.from_numpy(values[1][1, 4])[None, None], None
    )
    assert mean[1, 4] == pytest.approx(alone[0, 0, 0].item(), abs=1e-6)
