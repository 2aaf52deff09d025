"""Arms run as processes of their own, once."""

import pytest

from prefalign.data.store import write_parquet
from prefalign.testing.denoisers import latent_pairs
from prefalign.training.arms import run_arm


def config(folder, **trainer):
    return {
        "model": {
            "class_path": "core/preference_tuning",
            "init_args": {
                "policy": {
                    "class_path": "core/denoising",
                    "init_args": {"denoiser": {"class_path": "core/small_denoiser"}},
                },
                "objective": {"class_path": "core/dpo"},
            },
        },
        "data": {"class_path": "core/preferences", "init_args": {"train": str(folder / "pairs.parquet")}},
        "trainer": {
            "accelerator": "cpu",
            "max_steps": 2,
            "default_root_dir": str(folder / "run"),
            "callbacks": [{"class_path": "core/export"}, {"class_path": "core/drift"}],
            **trainer,
        },
    }


def test_an_arm_runs_once_for_the_same_settings_and_says_how_it_fails(tmp_path):
    """The config also is the shortest that tunes a denoiser with the command."""
    write_parquet(latent_pairs(8), tmp_path / "pairs.parquet")
    first = run_arm(config(tmp_path), tmp_path / "run")
    assert (tmp_path / "run" / "export" / "model.safetensors").is_file()
    stamp = (tmp_path / "run" / "export" / "model.safetensors").stat().st_mtime_ns
    assert run_arm(config(tmp_path), tmp_path / "run") == first
    assert (tmp_path / "run" / "export" / "model.safetensors").stat().st_mtime_ns == stamp
    with pytest.raises(RuntimeError, match="max_stops"):
        run_arm(config(tmp_path, max_stops=3), tmp_path / "run")
