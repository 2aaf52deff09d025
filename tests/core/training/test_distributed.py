"""Two processes on the CPU train like one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.core.training.conftest import write_pairs

from prefalign.data.store import write_parquet
from prefalign.testing.denoisers import latent_pairs

SCRIPT = Path(__file__).with_name("ddp_run.py")


def run(folder, tokenizer, train, devices, reference, family):
    folder.mkdir()
    arguments = [sys.executable, str(SCRIPT), str(folder), tokenizer, train, str(devices), reference, family]
    done = subprocess.run(
        arguments, capture_output=True, text=True, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [json.loads((folder / f"losses-{rank}.json").read_text()) for rank in range(devices)]
    mean = [sum(step) / devices for step in zip(*losses, strict=True)]
    return mean, load_file(folder / "weights.safetensors")


@pytest.mark.parametrize("family", ["tokens", "denoiser"])
@pytest.mark.parametrize("reference", ["frozen", "cached"])
def test_two_processes_equal_one(tmp_path, tokenizer, reference, family):
    """8 pairs a step in both cases: one process takes all, or two take every other one of the same order."""
    if family == "tokens":
        train = write_pairs(tmp_path / "train.jsonl", 32)
    else:
        train = str(tmp_path / "train.parquet")
        write_parquet(latent_pairs(32), Path(train))
    one, weights_one = run(tmp_path / "one", tokenizer, train, 1, reference, family)
    two, weights_two = run(tmp_path / "two", tokenizer, train, 2, reference, family)
    assert len(one) == 8
    assert two == pytest.approx(one, abs=2e-6)
    for name, tensor in weights_one.items():
        torch.testing.assert_close(weights_two[name], tensor, rtol=1e-4, atol=2e-5)
