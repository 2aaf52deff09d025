"""DeepMesh's rule: every case of two candidates, more of them, and every reason for which there is no pair."""

import dataclasses
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.interfaces import Pair, PrefalignError, RecordError
from prefalign_mesh3d.pairs.criteria import Criterion
from prefalign_mesh3d.pairs.geometry_first import GeometryFirst
from prefalign_mesh3d.pairs.human_verdicts import HumanVerdicts
from prefalign_mesh3d.pairs.verdict_files import HumanVerdict

LOOKS = Criterion("looks", "higher", clear=0.1)
BOTH = "both candidates are near enough"


def shape(chamfer, looks=None):
    return {"chamfer": chamfer} | ({} if looks is None else {"looks": looks})


def ids(records):
    return [record.id for record in records]


@pytest.mark.parametrize(
    ("first", "second", "made", "reason"),
    [
        (shape(0.05), shape(0.2), "r/0-1", None),
        (shape(0.2), shape(0.1), "r/1-0", None),  # the threshold itself is near enough
        (shape(0.05, 0.0), shape(0.2, 1.0), "r/0-1", None),  # looks have no say where geometry decides
        (shape(0.11), shape(0.12), None, "neither candidate is near enough"),
        (shape(0.05, 0.2), shape(0.01, 0.5), "r/1-0", None),
        (shape(0.01, 0.5), shape(0.05, 0.2), "r/0-1", None),
        (shape(0.05, 0.5), shape(0.01, 0.5), None, f"{BOTH}, and 'looks' does not tell them apart"),
        (shape(0.05, 0.5), shape(0.01, 0.59), None, f"{BOTH}, and 'looks' does not tell them apart"),
        (shape(0.05, 0.5), shape(0.01), None, f"{BOTH}, and one has no score 'looks'"),
    ],
)
def test_two_candidates(candidates, ran, first, second, made, reason):
    record = candidates(first, second)
    found, dropped = ran(GeometryFirst(0.1, LOOKS), record)
    assert ids(found) == ([] if made is None else [made])
    assert dropped == ({} if reason is None else {reason: 1})
    for pair in found:
        order = [int(i) for i in made.removeprefix("r/").split("-")]
        assert pair.verdict == Pair()
        assert pair.responses == tuple(record.responses[i] for i in order)


def test_without_appearance_two_good_ones_are_left_out(candidates, ran):
    found, dropped = ran(GeometryFirst(0.1), candidates(shape(0.01), shape(0.02), shape(0.3)))
    assert ids(found) == ["r/0-2", "r/1-2"]
    assert dropped == {BOTH: 1}


def test_what_has_no_distance_is_in_no_pair(candidates, ran):
    """An empty mesh has no Chamfer distance. It is invalid, not bad: it loses to nobody."""
    found, dropped = ran(GeometryFirst(0.1), candidates({}, shape(0.01), shape(0.3)))
    assert ids(found) == ["r/1-2"]
    assert dropped == {"a candidate has no score 'chamfer'": 1}
    found, dropped = ran(GeometryFirst(0.1, geometry="hausdorff"), candidates({"hausdorff": 0.1}, {}))
    assert found == []
    assert dropped == {
        "a candidate has no score 'hausdorff'": 1,
        "fewer than two candidates have a score 'hausdorff'": 1,
    }


def test_identical_candidates_are_no_pair(candidates, ran):
    record = candidates(shape(0.01), shape(0.3))
    twin = dataclasses.replace(record.responses[1], token_ids=record.responses[0].token_ids)
    record = dataclasses.replace(record, responses=(record.responses[0], twin))
    assert ran(GeometryFirst(0.1), record) == ([], {"both candidates are identical": 1})


def said(first, second, verdict, who="x", record="r"):
    return HumanVerdict(record, first, second, verdict, who, "people.csv, line 2")


def test_people_decide_between_two_good_ones_only(candidates, ran):
    """0 and 1 are good, 2 is bad. What somebody says about 0 and 2 is not asked for."""
    record = candidates(shape(0.01), shape(0.02), shape(0.3))
    verdicts = HumanVerdicts([said(1, 0, "a"), said(2, 0, "a")])
    found, dropped = ran(GeometryFirst(0.1, verdicts), record)
    assert (ids(found), dropped) == (["r/0-2", "r/1-2", "r/1-0"], {})
    assert (found[2].annotator, found[2].verdict) == ("x", Pair())


@pytest.mark.parametrize(
    ("votes", "verdict", "reason"),
    [
        (["a", "a", "b"], Pair(probability=2 / 3), None),
        (["a", "tie"], Pair(probability=0.75), None),
        (["a", "neither"], Pair(), None),
        (["a", "b"], None, "people are undecided"),
        (["tie"], None, "people are undecided"),
        (["neither"], None, "people found neither good enough"),
        (["a", "neither", "neither"], None, "people found neither good enough"),
    ],
)
def test_votes(candidates, ran, votes, verdict, reason):
    verdicts = HumanVerdicts(said(0, 1, vote, who=f"p{i}") for i, vote in enumerate(votes))
    found, dropped = ran(GeometryFirst(0.1, verdicts), candidates(shape(0.01), shape(0.02)))
    assert [pair.verdict for pair in found] == ([] if verdict is None else [verdict])
    assert dropped == ({} if reason is None else {reason: 1})


def test_a_good_pair_that_nobody_judged_is_counted(candidates, ran):
    record = candidates(shape(0.01), shape(0.02), shape(0.03))
    found, dropped = ran(GeometryFirst(0.1, HumanVerdicts([said(0, 1, "b")])), record)
    assert ids(found) == ["r/1-0"]
    assert dropped == {f"{BOTH}, and no person judged them": 2}


def test_a_verdict_about_a_missing_response_is_an_error(candidates, ran):
    stage = GeometryFirst(0.1, HumanVerdicts([said(0, 2, "b")]))
    with pytest.raises(
        RecordError, match=r"people.csv, line 2, record 'r', field 'b': there is no response 2; .*has 2"
    ):
        ran(stage, candidates(shape(0.01), shape(0.02)))


level = st.sampled_from([None, 0.0, 0.05, 0.1, 0.15, 0.2])


@settings(deadline=None)
@given(st.lists(st.tuples(level, level), min_size=1, max_size=6))
def test_against_a_plain_loop(candidates, ran, rows):
    record = candidates(*({k: v for k, v in zip(("chamfer", "looks"), r, strict=True) if v is not None} for r in rows))
    expected = set()
    for i, j in itertools.permutations(range(len(rows)), 2):
        (near_i, looks_i), (near_j, looks_j) = rows[i], rows[j]
        if near_i is None or near_j is None or near_i > 0.1:
            continue
        if near_j > 0.1 or (looks_i is not None and looks_j is not None and looks_j < looks_i - 0.1):
            expected.add(f"r/{i}-{j}")
    found, dropped = ran(GeometryFirst(0.1, LOOKS), record)
    assert set(ids(found)) == expected
    valid = sum(near is not None for near, _ in rows)
    reasons = ("a candidate has", "fewer than")
    undecided = sum(n for reason, n in dropped.items() if not reason.startswith(reasons))
    assert len(found) + undecided == valid * (valid - 1) // 2


@pytest.mark.parametrize("threshold", [-0.1, float("nan"), float("inf")])
def test_senseless_thresholds_are_refused(threshold):
    with pytest.raises(PrefalignError, match="threshold of at least 0"):
        GeometryFirst(threshold)


def test_settings_are_plain():
    for appearance in (None, LOOKS, HumanVerdicts([said(0, 1, "a")])):
        found = json.loads(json.dumps(GeometryFirst(0.1, appearance).settings()))
        assert (found["threshold"], found["geometry"]) == (0.1, "chamfer")
    assert found["appearance"] == {"name": "verdicts", "sha256": None, "verdicts": 1}
