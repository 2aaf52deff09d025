"""The benchmark still runs, and its two sides still do the same work; it measures nothing here."""

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "preference_step.py"


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed in v6:FutureWarning")
@pytest.mark.parametrize("mode", [("full", "live"), ("full", "cached"), ("lora", "live"), ("lora", "cached")])
def test_both_sides_take_the_same_steps(tmp_path, mode):
    """`measure_time` raises when their losses part; the loss is ln 2 at the start, and less once both have learnt."""
    benchmark = runpy.run_path(str(SCRIPT))
    benchmark["write_model"](tmp_path)
    result = benchmark["measure_time"](tmp_path, benchmark["Workload"](2, 8, 8), mode, repetitions=3)
    first, last = result["first_and_last_loss"]
    assert first == pytest.approx(0.693147, abs=1e-4)
    assert last < first - 1e-3
    assert result["wall_ratio"]["min"] <= result["wall_ratio"]["median"] <= result["wall_ratio"]["max"]
