"""The benchmark of rendering still runs, and both of its sides see the same; it measures nothing here."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.rendering.render import centred, render_mesh

FOLDER = Path(__file__).resolve().parents[4] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """The benchmark, imported as the command does that runs it: with its folder first on the path."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module("mesh_rendering")
    for name in set(sys.modules) - before:
        if (FOLDER / f"{name}.py").exists():
            del sys.modules[name]


def test_runs(benchmark, tmp_path, capsys):
    out = tmp_path / "figures.json"
    benchmark.main(["--seconds", "0", "--most-faces", "1000", "--json", str(out)])
    figures = json.loads(out.read_text("utf-8"))
    assert figures["faces"] == [1000]
    assert all(ms > 0 for (ms,) in figures["ms"].values())
    assert "| 4 views, 4 samples a pixel |" in capsys.readouterr().out


def test_open3d_sees_the_same_torus(benchmark):
    pytest.importorskip("open3d", exc_type=ImportError)
    plain = benchmark.torus(25, 20)
    mesh = Mesh(centred(plain.vertices), plain.faces)
    ours = render_mesh(mesh, benchmark.CAMERAS, 64, supersample=1).depth.numpy()
    theirs = benchmark.cast(mesh, benchmark.CAMERAS, 64)
    assert np.isfinite(ours).mean() > 0.2
    assert (np.isfinite(ours) == np.isfinite(theirs)).mean() > 0.998
    both = np.isfinite(ours) & np.isfinite(theirs)
    apart = np.abs(ours[both] - theirs[both])
    assert np.median(apart) < 1e-4
    assert (apart < 5e-3).mean() > 0.99
