"""The arms are the preset with stated changes; second rounds start where the first ended."""

import pytest
import yaml

from prefalign_audio.demo.arms import ARMS, config


@pytest.fixture
def made(tmp_path):
    return lambda name: config(name, tmp_path / "seed3", tmp_path / f"{name}-3", tmp_path / "arms", 3)


def test_every_arm_reads_its_own_records_with_the_seed(made):
    for name, arm in ARMS.items():
        found = made(name)
        data, policy = found["data"]["init_args"], found["model"]["init_args"]["policy"]["init_args"]
        assert data["train"].endswith(arm.records)
        assert (data["seed"], policy["noise_seed"], found["seed_everything"]) == (3, 3, 3)
        assert data["batch_size"] == arm.batch_size
        assert (
            ("anchor" in data)
            == arm.anchored
            == (found["model"]["init_args"]["objective"]["class_path"] == "core/anchored")
        )
        assert yaml.safe_load(yaml.safe_dump(found)) == found


def test_second_rounds_start_from_the_first_and_the_others_from_the_base(made, tmp_path):
    start = {n: made(n)["model"]["init_args"]["policy"]["init_args"]["denoiser"]["init_args"]["model"] for n in ARMS}
    assert start["crpo_online"] == start["crpo_offline"] == str(tmp_path / "arms" / "crpo-3" / "export")
    assert start["dpo"] == start["control"] == str(tmp_path / "seed3" / "base")
    assert made("crpo_online")["data"]["init_args"]["train"] == str(tmp_path / "crpo_online-3" / "online.parquet")


def test_the_control_weighs_every_clip_alike_and_batons_ratio_is_as_named(made):
    control = made("control")["model"]["init_args"]["objective"]
    assert control == {"class_path": "core/reward_weighted", "init_args": {"weighting": "threshold", "above": -1.0}}
    for name, weight in (("baton_1", 1.0), ("baton_025", 0.25)):
        objective = made(name)["model"]["init_args"]["objective"]["init_args"]
        assert objective == {"objective": {"class_path": "core/reward_weighted", "init_args": {}}, "weight": weight}
