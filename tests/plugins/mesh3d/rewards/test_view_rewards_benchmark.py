"""The benchmark of rewards over views: its rules say what they should, and it runs; it learns nothing here."""

import importlib
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from prefalign_mesh3d.demo.shapes import draw_shapes

FOLDER = Path(__file__).resolve().parents[4] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """The benchmark, imported as the command does that runs it: with its folder first on the path."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module("mesh_view_rewards")
    for name in set(sys.modules) - before:
        if (FOLDER / f"{name}.py").exists():
            del sys.modules[name]


def meshes_by_rank(record):
    read = [
        trimesh.load(io.BytesIO(response.media[0].data), file_type="glb", force="mesh") for response in record.responses
    ]
    return [read[record.verdict.ranks.index(rank)] for rank in range(3)]


def test_tall_ranks_by_height_over_length(benchmark):
    for record in benchmark.records("tall", draw_shapes(9, 0), seed=0):
        heights = [mesh.extents[2] / max(mesh.extents[:2]) for mesh in meshes_by_rank(record)]
        assert heights == sorted(heights, reverse=True)


def test_whole_ranks_by_what_is_left(benchmark):
    for record in benchmark.records("whole", draw_shapes(4, 0), seed=0):
        faces = np.array([len(mesh.faces) for mesh in meshes_by_rank(record)])
        assert (faces[0] - faces).tolist() == [0, 2, 6]


def test_coins_rank_the_same_meshes_otherwise(benchmark):
    shapes = draw_shapes(30, 0)
    plain, coins = (benchmark.records("whole", shapes, seed=0, coin=coin) for coin in (False, True))

    def said(records):
        return {frozenset(response.media[0].data for response in record.responses) for record in records}

    assert said(plain) == said(coins)
    # By rank, how many faces: coins put the whole shape first in about a third of the records.
    first = [len(meshes_by_rank(record)[0].faces) % 12 == 0 for record in coins]
    assert 3 <= sum(first) <= 20


def test_learning_runs(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "EPOCHS", 1)
    monkeypatch.setattr(benchmark, "RING", benchmark.Ring(size=16))
    (tmp_path / "cache").mkdir()
    figures = benchmark.learn("tall", "concat", 0, 4, False, tmp_path, tmp_path / "cache")
    assert figures.keys() == {"before", "after", "seconds"}
    assert 0 <= figures["after"] <= 1
