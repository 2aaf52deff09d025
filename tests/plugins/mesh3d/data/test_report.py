"""Buckets, reasons, and how they are told."""

import json

import pytest

from prefalign_mesh3d.data.report import Bucket, CurationReport, Rejected, bucket_name


@pytest.mark.parametrize(
    ("faces", "name"), [(1, "1-10"), (10, "1-10"), (11, "11-20"), (20, "11-20"), (21, "21-"), (10**6, "21-")]
)
def test_a_bound_belongs_to_the_range_below(faces, name):
    assert bucket_name(faces, (10, 20)) == name


@pytest.fixture
def report():
    return CurationReport(
        settings={"seed": 0},
        files=7,
        passed_over={".png": 2, "": 1},
        records=6,
        buckets={"1-10": Bucket(1, 8, 24, 24, 1), "11-20": Bucket(2, 32, 80, 50, 0)},
        rejected=[Rejected(f"{n}.obj", reason, f"problem {n}") for n, reason in enumerate(["b", "a", "b", "c"])],
    )


def test_sums_and_reasons(report):
    assert report.total == Bucket(3, 40, 104, 50, 1)
    assert list(report.reasons.items()) == [("b", 2), ("a", 1), ("c", 1)]
    # Looking does not count twice.
    assert report.total == Bucket(3, 40, 104, 50, 1)


def test_as_json(report):
    told = json.loads(json.dumps(report.as_json()))
    assert told["kept"] == {
        "meshes": 3,
        "faces": 40,
        "tokens": 104,
        "longest": 50,
        "tokens_per_face": 2.6,
        "watertight": pytest.approx(1 / 3),
    }
    assert told["buckets"]["1-10"]["tokens_per_face"] == 3
    assert told["reasons"] == {"b": 2, "a": 1, "c": 1}
    assert told["rejected"][3] == {"file": "3.obj", "reason": "c", "problem": "problem 3"}
    assert (told["files"], told["records"], told["passed_over"]) == (7, 6, {".png": 2, "": 1})


def test_nothing_kept_has_no_ratios():
    told = CurationReport(settings={}, files=1).as_json()
    assert (told["kept"]["meshes"], told["kept"]["tokens_per_face"], told["kept"]["watertight"]) == (0, None, None)
    assert "0 of 1 files kept, 0 records" in CurationReport(settings={}, files=1).as_text()


def test_as_text(report):
    text = report.as_text(examples=1)
    assert "11-20   2       32     80      50       2.500            0.000" in text
    assert "all     3       40     104     50       2.600            0.333" in text
    assert "3 of 7 files kept, 6 records; passed over: 2 .png, 1 without suffix" in text
    assert "b         2" in text
    assert "problem 0" in text
    # The second file of a reason is not among the examples.
    assert "problem 2" not in text
