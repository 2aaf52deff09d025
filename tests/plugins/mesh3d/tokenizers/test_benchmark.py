"""The benchmark's other side gives our tokens, and the benchmark runs."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from prefalign_mesh3d.tokenizers import fans

FOLDER = Path(__file__).resolve().parents[4] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module("mesh_tokenizers")
    for name in ("mesh_tokenizers", "turns"):
        sys.modules.pop(name, None)


def test_the_letter_gives_our_stream_for_old_weights(benchmark, any_mesh):
    arrays = any_mesh.vertices, any_mesh.faces
    assert benchmark.literal_tokens(arrays) == benchmark.chain(arrays, benchmark.PUBLISHED).tolist()


@pytest.mark.parametrize("apart", [False, True])
def test_meshes_have_about_as_many_faces_as_asked_for(benchmark, apart):
    vertices, faces = benchmark.torus(1000, apart)
    assert abs(len(faces) - 1000) < 50
    assert len(vertices) == (3 * len(faces) if apart else len(faces) // 2)


def test_walking_is_chosen_and_put_back(benchmark):
    before = fans.WORTH_COMPILING
    with benchmark.walking(True):
        assert fans.WORTH_COMPILING < 0
    with benchmark.walking(False):
        assert fans.WORTH_COMPILING > 10**9
    assert before == fans.WORTH_COMPILING


def test_time_that_grows_with_the_square_has_exponent_two(benchmark):
    """Faces a second fall as 1 / F where time is F squared, and stay where it is F."""
    sizes = (1000, 3000, 10_000)
    rows = [{"faces": faces, "square": {"cpu": 1e6 / faces}, "linear": {"cpu": 5e5}} for faces in sizes]
    assert benchmark.exponent(rows, "square") == pytest.approx(2)
    assert benchmark.exponent(rows, "linear") == pytest.approx(1)


def test_tokens_that_differ_end_the_run(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "literal_tokens", lambda arrays: [1])
    with pytest.raises(RuntimeError, match="other tokens"):
        benchmark.compare(100, 1)


@pytest.mark.slow
def test_it_runs(benchmark, monkeypatch, tmp_path, capsys):
    target = tmp_path / "found.json"
    arguments = ["--sizes", "300", "600", "--literal-sizes", "200", "--repetitions", "1", "--json", str(target)]
    monkeypatch.setattr(sys, "argv", ["mesh_tokenizers.py", *arguments])
    benchmark.main()
    found = json.loads(target.read_text())
    assert len(found["made"]) == 4
    assert all(row["plain"]["cpu"] > 1000 for row in found["made"])
    assert found["literal"][0]["plain"]["cpu"] > found["literal"][0]["literal"]["cpu"]
    assert "times" in capsys.readouterr().out
