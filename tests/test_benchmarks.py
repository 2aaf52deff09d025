"""The benchmarks still run, and their two sides still do the same work; they measure nothing here."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
MODES = [("full", "live"), ("full", "cached"), ("lora", "live"), ("lora", "cached")]


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a benchmark by name, as the command does that runs it: with its folder first on the path."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if (FOLDER / f"{name}.py").exists():
            del sys.modules[name]


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed in v6:FutureWarning")
@pytest.mark.parametrize("mode", MODES)
def test_both_sides_take_the_same_preference_steps(benchmark, tmp_path, mode):
    """`measure_time` raises when their losses part; the loss is ln 2 at the start, and less once both have learnt."""
    step = benchmark("preference_step")
    step.write_model(tmp_path)
    check_steps(step.measure_time(tmp_path, step.Workload(2, 8, 8), mode, repetitions=3))


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize("mode", MODES)
def test_both_sides_take_the_same_denoising_steps(benchmark, tmp_path, mode):
    """The peer's errors, reference and loss are its own; only noise and timesteps are given to it."""
    step = benchmark("denoising_step")
    step.write_network(tmp_path)
    result = step.measure_time(tmp_path, step.Workload(pairs=2, side=8), mode, repetitions=3)
    check_steps(result)
    assert (result["prepared"] > 0) == (mode[1] == "cached")


def check_steps(result):
    first, last = result["first_and_last_loss"]
    assert first == pytest.approx(0.693147, abs=1e-4)
    assert last < first - 1e-3
    assert result["wall_ratio"]["min"] <= result["wall_ratio"]["median"] <= result["wall_ratio"]["max"]


class Counted:
    """A side whose losses are given, and which notes its turns."""

    def __init__(self, name, losses, turns):
        self.name, self.losses, self.turns = name, iter(losses), turns

    def step(self):
        self.turns.append(self.name)
        return next(self.losses)


@pytest.mark.slow
def test_gradients_in_windows_are_those_of_their_whole_graph(benchmark, monkeypatch, capsys):
    """The command fails where they are not."""
    windows = benchmark("mesh_windows")
    small = {"latents": 3, "width": 16, "heads": 2, "layers": 1, "out_width": 16}
    monkeypatch.setitem(
        windows.SIZES, "tiny", {"width": 16, "heads": 2, "inner": 32, "depths": [1, 1, 1], "points": small}
    )
    monkeypatch.setattr(sys, "argv", ["mesh_windows.py", "--window", "36", "--lengths", "36,108", "--repeats", "1"])
    assert windows.main() == 0
    assert capsys.readouterr().out.count("| windows |") == 2
    # A window that is computed again on other inputs gives another gradient, and the command says so.
    scores = windows.MeshPolicy.scores

    def halved(policy, batch, needs=frozenset()):
        found = scores(policy, batch, needs)
        if windows.mesh_policy.checkpoint is checkpoint:
            found.logps = found.logps * 0.5
        return found

    checkpoint = windows.mesh_policy.checkpoint
    monkeypatch.setattr(windows.MeshPolicy, "scores", halved)
    assert windows.main() == 1


def test_sides_take_turns_that_swap_their_order(benchmark):
    turns = benchmark("turns")
    order = []
    losses = [1.0, 0.9, 0.8, 0.7, 0.6]
    arms = {name: Counted(name, losses, order) for name in ("ours", "peer")}
    found = turns.take_turns(arms, repetitions=2, relative=0.0, absolute=0.0)
    assert order == ["peer", "ours", "ours", "peer"] * 2 + ["peer", "ours"]
    assert [step["loss"] for step in found["steps"]["ours"]] == [0.7, 0.6]  # three warm up
    assert found["first_and_last_loss"] == [1.0, 0.6]
    assert found["losses_apart"] == 0.0


def test_losses_that_part_end_the_run(benchmark):
    turns = benchmark("turns")

    def arms():
        return {"ours": Counted("ours", [1.0, 1.0], []), "peer": Counted("peer", [1.0, 1.01], [])}

    with pytest.raises(RuntimeError, match=r"step 1: the losses part, 1\.0 and 1\.01"):
        turns.take_turns(arms(), repetitions=0, relative=1e-3, absolute=1e-3)
    with pytest.raises(StopIteration):  # the losses given are at an end, and none has been refused
        turns.take_turns(arms(), repetitions=0, relative=0.02, absolute=0.0)


def test_ratios_are_taken_turn_by_turn(benchmark):
    """Ours takes half, the same, and three times as long: the median is of ratios, 1, where that of times gives 0.5."""
    ours, theirs = [[{"wall": value} for value in values] for values in ([1.0, 4.0, 6.0], [2.0, 4.0, 2.0])]
    assert benchmark("turns").spread(ours, theirs, "wall") == {"min": 0.5, "median": 1.0, "max": 3.0}


def test_the_table_of_steps_sets_ours_over_the_peers(benchmark):
    spread = {"min": 0.4, "median": 0.5, "max": 0.6}
    result = {"weights": "full", "seconds": {"ours": 0.1, "peer": 0.2}, "peak_bytes": {"ours": 2**20, "peer": 2**22}}
    result |= {"wall_ratio": spread, "cpu_ratio": spread}
    lines = benchmark("turns").table([result], ["weights"], "peer").splitlines()
    ratio = "0.50 (0.40 to 0.60)"
    assert lines[2] == f"| full | 100 ms | 200 ms | {ratio} | {ratio} | 1 MiB | 4 MiB | 0.25 |"
    assert len({line.count("|") for line in lines}) == 1


def test_what_replays_cost_is_taken_within_a_seed(benchmark):
    """Seed by seed K = 1 costs 0.1 and 0.2; a count that no run had, because it repeats no draw, shows a dash."""
    replays = benchmark("replays")
    rows = [{"seed": seed, "method": "base", "temporal": 0.5} for seed in (0, 1)]
    for seed, values in enumerate([{1: 0.6, None: 0.7}, {1: 0.7, None: 0.9}]):
        for count, value in values.items():
            size = {"set": "all", "records": 1000 + seed, "visits": 7.2}
            rows.append({"seed": seed, "method": "dpo", "replays": count, "temporal": value, **size})
    lines = replays.table(rows, (1, 16, None)).splitlines()
    assert lines[2] == "| DPO, β = 20 | 1000 to 1001 | 7.2 | 0.650 ± 0.071 | - | 0.800 ± 0.141 |"
    assert lines[3].startswith("| base | - | - | 0.500 ± 0.000 |")
    assert len({line.count("|") for line in lines}) == 1
    assert "| -0.150 ± 0.071 (-0.100, -0.200) | - |" in replays.losses(rows, (1, 16, None))


def test_few_records_are_a_part_of_all_drawn_by_the_seed(benchmark, tmp_path):
    from prefalign.data.sources import open_records
    from prefalign.data.store import write_parquet
    from prefalign.testing.denoisers import latent_pairs

    replays, file = benchmark("replays"), tmp_path / "pairs.parquet"
    write_parquet(latent_pairs(12), file)
    assert replays.records_of(file, None, 3, seed=0) == (str(file), 12)
    part, count = replays.records_of(file, 2, 3, seed=0)
    ids = [record.id for record in open_records(part)]
    assert count == len(set(ids)) == 6
    assert set(ids) < {record.id for record in open_records(str(file))}
    with pytest.raises(ValueError, match="12 records, fewer than 5 batches of 3"):
        replays.records_of(file, 5, 3, seed=0)


def test_a_count_that_repeats_no_draw_is_not_run(benchmark, tmp_path, monkeypatch):
    """300 steps of 24 pairs visit each of 480 pairs 15 times: 15 draws are as many as visits, 14 are not."""
    replays = benchmark("replays")
    monkeypatch.setattr(replays, "records_of", lambda file, batches, size, seed: (str(file), 480))
    monkeypatch.setattr(replays, "judged", lambda prepared, model: {"temporal": 0.7})
    asked = []

    def run_arm(settings, run):
        asked.append(settings["model"]["init_args"])
        return {"seconds": 1.0}

    monkeypatch.setattr("prefalign.training.arms.run_arm", run_arm)

    class Prepared:
        folder = tmp_path

    def run(method, count):
        return replays.study_run(Prepared, tmp_path, 0, method, "all", count)

    assert run("dpo", 15) is None
    assert asked == []
    row = run("dpo", 14)
    assert (row["visits"], row["replays"], row["temporal"]) == (15.0, 14, 0.7)
    assert asked[0]["policy"]["init_args"]["replays"] == 14
    assert asked[0]["reference"]["class_path"] == "core/cached"
    run("dpo", None)
    assert "replays" not in asked[1]["policy"]["init_args"]
    assert "reference" not in asked[1]
    run("baton_0", 4)
    assert "reference" not in asked[2]
