"""A comparison whose counts, fronts and volumes are worked out by hand, the picture's size, and bad files by place."""

import copy
import io
import json

import numpy as np
import pytest
from PIL import Image

from prefalign.interfaces import PrefalignError
from prefalign_audio.commands.pareto import main, write_report
from prefalign_audio.commands.pareto_picture import _staircase

AXES = {"error": "min", "agreement": "max"}


def document():
    """Two seeds. In seed 0, `a` beats the base on both axes; in seed 1, on the error alone. `m` always beats it."""
    measured = {
        "base": ("base", [(0.5, 0.5), (0.5, 0.6)]),
        "a": ("single", [(0.1, 0.6), (0.1, 0.5)]),
        "b": ("single", [(0.6, 0.9), (0.6, 1.0)]),
        "m": ("merge", [(0.3, 0.7), (0.3, 0.8)]),
        "r": ("rival", [(0.6, 0.5), (0.6, 0.5)]),
        "real": ("real", [(0.0, 0.95)]),
    }
    return {
        "axes": dict(AXES),
        "base": "base",
        "points": [
            {
                "name": name,
                "title": f"model | {name} for $5",
                "kind": kind,
                "weights": {"a": 0.5, "b": 0.5} if kind == "merge" else None,
                "seeds": {
                    str(seed): {"error": error, "agreement": agreement, "loudness": -20}
                    for seed, (error, agreement) in enumerate(values)
                },
            }
            for name, (kind, values) in measured.items()
        ],
    }


@pytest.fixture
def run(tmp_path):
    (tmp_path / "points.json").write_text(json.dumps(document()))
    return tmp_path


def test_counts_and_fronts_by_hand(run):
    report = write_report(document(), run)
    rows = {row["name"]: row for row in report["points"]}
    assert [rows["a"]["axes"][axis]["better_in"] for axis in AXES] == [2, 1]
    assert [rows["r"]["axes"][axis]["better_in"] for axis in AXES] == [0, 0]  # as good is not better
    assert {name: row.get("better_on_all_in") for name, row in rows.items()} == {
        "base": None,
        "a": 1,
        "b": 0,
        "m": 2,
        "r": 0,
        "real": None,
    }
    fronts = {name: (row.get("on_front_of_means"), row.get("on_front_in")) for name, row in rows.items()}
    assert fronts == {
        "base": (False, 0),
        "a": (True, 2),
        "b": (True, 2),
        "m": (True, 2),
        "r": (False, 0),
        "real": (None, None),
    }
    assert rows["a"]["axes"]["agreement"]["mean"] == pytest.approx(0.55)
    assert rows["a"]["axes"]["agreement"]["sd"] == pytest.approx(np.sqrt(0.005))
    assert rows["a"]["axes"]["agreement"]["difference"]["estimate"] == pytest.approx(0)
    assert rows["a"]["axes"]["agreement"]["difference"]["low"] == pytest.approx(-0.1)
    assert rows["real"]["axes"]["error"] == {"mean": 0.0, "sd": None}
    assert rows["m"]["weights"] == {"a": 0.5, "b": 0.5}


def test_the_front_of_the_means_is_not_that_of_a_seed(tmp_path):
    """`a` loses to the base in seed 0 and wins in seed 1 by more."""
    two = document()
    two["points"] = two["points"][:2]
    for point, values in zip(two["points"], ([(0.5, 0.5), (0.5, 0.5)], [(0.6, 0.4), (0.0, 1.0)]), strict=True):
        point["seeds"] = {str(i): {"error": error, "agreement": best} for i, (error, best) in enumerate(values)}
    base, a = write_report(two, tmp_path)["points"]
    assert (base["on_front_of_means"], base["on_front_in"]) == (False, 1)
    assert (a["on_front_of_means"], a["on_front_in"]) == (True, 1)


def test_volumes_by_hand(run):
    """The box: error from 0.6 to 0.1, agreement from 0.5 to 1: area 0.25. The base in seed 1: 0.1 · 0.1.

    The rivals lie in the box's worst corner. Merges in seed 1: 0.3 · 0.3. Singles in seed 0: `a` alone, 0.5 · 0.1,
    since `b` has the worst error; with `m` inside all models: 0.5 · 0.1 + 0.3 · 0.1.
    """
    report = write_report(document(), run)
    assert report["box"] == {"worst": {"error": 0.6, "agreement": 0.5}, "best": {"error": 0.1, "agreement": 1.0}}
    volumes = {kind: volume["seeds"] for kind, volume in report["hypervolume"].items()}
    assert volumes["base"] == pytest.approx([0, 0.01 / 0.25])
    assert volumes["single"] == pytest.approx([0.05 / 0.25, 0])
    assert volumes["merge"] == pytest.approx([0.06 / 0.25, 0.09 / 0.25])
    assert volumes["rival"] == [0, 0]
    assert volumes["all"] == pytest.approx([0.08 / 0.25, 0.09 / 0.25])
    assert "real" not in volumes
    assert report["hypervolume"]["base"]["mean"] == pytest.approx(0.02)


def test_the_command_writes_what_it_prints(run, capsys):
    assert main([str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((run / "pareto.json").read_text())
    out = run / "elsewhere" / "deep"
    assert main([str(run / "points.json"), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert (out / "pareto.md").read_text() in printed
    assert str(out / "pareto.png") in printed
    line = next(line for line in printed.splitlines() if "model \\| a" in line)
    assert [cell.strip() for cell in line.replace("\\|", "").split("|")][3:-1] == [
        "0.100 ± 0.000",
        "0.550 ± 0.071",
        "2 of 2",
        "1 of 2",
        "1 of 2",
        "yes",
        "2 of 2",
    ]
    assert {path.name for path in out.iterdir()} == {"pareto.md", "pareto.json", "pareto.png"}


def test_one_seed_has_no_spread_and_equal_models_no_volume(tmp_path):
    one = document()
    for point in one["points"]:
        point["seeds"] = {"0": {"error": 0.5, "agreement": 0.5}}
    report = write_report(one, tmp_path)
    assert report["points"][0]["axes"]["error"]["sd"] is None
    assert report["hypervolume"]["all"] == {"seeds": [0.0], "mean": 0.0, "sd": None}
    assert all(row["on_front_of_means"] for row in report["points"][:-1])


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [2, 40])
def test_the_picture_is_a_thousand_pixels_wide(tmp_path, axes, count):
    """For any number of axes, and for more points than its key can name."""
    draw = np.random.default_rng(0)
    names = [f"axis {i}" for i in range(axes)]
    kinds = ["base", *["single", "merge", "rival", "control", "real"] * count][:count]
    points = [
        {
            "name": f"p{i}",
            "kind": kind,
            "seeds": {str(s): dict(zip(names, draw.random(axes).tolist(), strict=True)) for s in range(3)},
        }
        for i, kind in enumerate(kinds)
    ]
    write_report({"axes": dict.fromkeys(names, "max"), "base": "p0", "points": points}, tmp_path)
    image = Image.open(io.BytesIO((tmp_path / "pareto.png").read_bytes()))
    assert image.width == 1000
    assert 300 < image.height < 1500
    assert np.asarray(image.convert("L")).std() > 5


def test_the_drawn_front_is_a_staircase_through_the_best_points():
    """Error (min) across, agreement (max) up: (0.1, 0.2) to (0.3, 0.8) by way of the worse of both, (0.3, 0.2)."""
    means = np.array([(0.3, 0.8), (0.1, 0.2), (0.4, 0.5)])
    assert _staircase(means, ["min", "max"]).tolist() == [[0.1, 0.2], [0.3, 0.2], [0.3, 0.8]]
    assert _staircase(means, ["max", "max"]).tolist() == [[0.3, 0.8], [0.3, 0.5], [0.4, 0.5]]


def broken(change):
    made = copy.deepcopy(document())
    change(made)
    return made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("axes"), "points: there is no 'axes'; there are 'base', 'points'"),
        (lambda d: d.update(axes=[]), r"axes: expected an object with names, got \[\]"),
        (lambda d: d.update(axes={}), "axes: expected at least one axis"),
        (lambda d: d["axes"].update(error="down"), r"axes.error: expected 'min' or 'max', got 'down'"),
        (lambda d: d.update(points=[]), "points: expected a list of at least one point"),
        (lambda d: d.update(base="bse"), "unknown point 'bse'; did you mean 'base'"),
        (lambda d: d.update(base={}), "unknown point '{}'"),
        (lambda d: d["points"].append("x"), r'points\[6\]: expected an object with names, got "x"'),
        (lambda d: d["points"][2].update(name="a"), r"points\[2\].name: 'a' is the name of an earlier point"),
        (lambda d: d["points"][2].update(name=3), r"points\[2\].name: expected text, got 3"),
        (lambda d: d["points"][1].update(kind="singel"), r"points\[1\] \(a\).kind: unknown kind .* 'single'"),
        (lambda d: d["points"][1].update(kind=["single"]), r"points\[1\] \(a\).kind: unknown kind"),
        (lambda d: d["points"][1].update(kind="base"), r"points\[1\] \(a\).kind: 'base' is for the point 'base'"),
        (lambda d: d["points"][0].update(kind="single"), r"points\[0\] \(base\).kind: 'base' is for"),
        (lambda d: d["points"][1].update(title=3), r"points\[1\] \(a\).title: expected text"),
        (lambda d: d["points"][3].update(weights=[1]), r"points\[3\] \(m\).weights: expected an object"),
        (lambda d: d["points"][3]["weights"].update(a="1"), r"weights.a: expected a finite number, got \"1\""),
        (lambda d: d["points"][1]["seeds"].pop("1"), r"points\[1\] \(a\).seeds: expected the base's seeds 0, 1.*got 0"),
        (lambda d: d["points"][5].update(seeds={}), r"points\[5\] \(real\).seeds: expected the values of at least one"),
        (lambda d: d["points"][1]["seeds"]["1"].pop("error"), r"\(a\).seeds.1: there is no 'error'"),
        (lambda d: d["points"][1]["seeds"]["1"].update(error=True), r"\(a\).seeds.1.error: .* got true"),
        (lambda d: d["points"][1]["seeds"]["1"].update(error=float("nan")), r"seeds.1.error: .* got NaN"),
    ],
)
def test_bad_points_are_refused_with_their_place(tmp_path, change, message):
    with pytest.raises(PrefalignError, match=message):
        write_report(broken(change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no"), (b"{", "not JSON"), (b"\xff\xfe", "not JSON"), (b"[" * 100_000, "nested too deeply")],
    ids=["missing", "cut off", "not text", "nested"],
)
def test_bad_files_are_refused(tmp_path, capsys, content, message):
    if content is not None:
        (tmp_path / "points.json").write_bytes(content)
    assert main([str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} <= {"points.json"}


def test_a_file_in_the_place_of_the_folder_is_refused(run, capsys):
    assert main([str(run), "--out", str(run / "points.json")]) == 2
    assert "is a file; expected a folder" in capsys.readouterr().err
