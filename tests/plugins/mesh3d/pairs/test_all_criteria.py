"""Pairs by several criteria: strict in all of them, or with tolerances; all of it also by an independent loop."""

import dataclasses
import itertools
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.interfaces import Pair, PrefalignError, RecordError
from prefalign_mesh3d.pairs.all_criteria import AllCriteria
from prefalign_mesh3d.pairs.criteria import SMALLEST, Criterion

MESH_RFT = (Criterion("ber"), Criterion("topology", "higher"), Criterion("hausdorff"))
#: Section 7.1 of the demonstration: 2 % of Chamfer, no boundary edge more; clear is 15 % of Chamfer or 0.1 of edges.
DEMO = (Criterion("chamfer", scale="relative", slack=0.02, clear=0.15), Criterion("ber", clear=0.1))


def scores(ber, topology, hausdorff):
    return {"ber": ber, "topology": topology, "hausdorff": hausdorff}


def demo(chamfer, ber, ended=1.0):
    return {"chamfer": chamfer, "ber": ber, "ended": ended}


def ids(records):
    return [record.id for record in records]


def test_eight_candidates_of_one_order_make_all_28_pairs(candidates, ran):
    """Candidate i is better than i + 1 in everything; pairs come by falling gain, 7 to 1 steps apart."""
    record = candidates(*(scores(0.125 * i, 80 - i, 0.25 * i) for i in range(8)))
    found, dropped = ran(AllCriteria(MESH_RFT), record)
    assert len(found) == 28
    assert dropped == {}
    assert ids(found)[:3] == ["r/0-7", "r/0-6", "r/1-7"]
    assert all(pair.verdict == Pair() and len(pair.responses) == 2 for pair in found)
    assert found[0].responses == (record.responses[0], record.responses[7])


def test_all_three_must_be_strictly_better(candidates, ran):
    """1 is equal to 0 in one criterion, 2 is worse in one; 3 is worse than 0 in all. 3 loses to 1 too, 2 to nobody."""
    record = candidates(scores(0.1, 80, 0.3), scores(0.1, 70, 0.4), scores(0.0, 79, 0.2), scores(0.2, 60, 0.5))
    found, dropped = ran(AllCriteria(MESH_RFT), record)
    assert sorted(ids(found)) == ["r/0-3", "r/1-3", "r/2-1", "r/2-3"]
    assert dropped == {"neither candidate is better by the criteria": 2}


def test_the_direction_is_that_of_the_criterion(candidates, ran):
    low, high = Criterion("s"), Criterion("s", "higher")
    record = candidates({"s": 1.0}, {"s": 2.0})
    assert ids(ran(AllCriteria([low]), record)[0]) == ["r/0-1"]
    assert ids(ran(AllCriteria([high]), record)[0]) == ["r/1-0"]


@pytest.mark.parametrize(
    ("chosen", "rejected", "made"),
    [
        (demo(0.84, 0.0), demo(1.0, 0.0), True),  # clear in Chamfer alone
        (demo(0.85, 0.0), demo(1.0, 0.0), False),  # not below 0.85
        (demo(1.02, 0.0), demo(1.0, 0.2), True),  # 2 % worse in one, clear in the other
        (demo(1.021, 0.0), demo(1.0, 0.2), False),  # worse by more
        (demo(0.5, 0.01), demo(1.0, 0.0), False),  # clear in one, no slack in the other
        (demo(1.0, 0.0), demo(1.0, 0.1), False),  # exactly 0.1 is not more than 0.1
        (demo(0.9, 0.1), demo(1.0, 0.15), False),  # better in both, clearly in none
    ],
)
def test_the_demonstrations_rule_at_its_edges(candidates, ran, chosen, rejected, made):
    found, _ = ran(AllCriteria(DEMO, "one", ended="ended"), candidates(chosen, rejected))
    assert ids(found) == (["r/0-1"] if made else [])


def test_the_chosen_one_must_have_ended_and_the_rejected_need_not(candidates, ran):
    stage = AllCriteria(DEMO, "one", ended="ended")
    found, dropped = ran(stage, candidates(demo(0.1, 0.0, ended=0.0), demo(1.0, 0.5)))
    assert (found, dropped) == ([], {"the better candidate has no end": 1})
    found, dropped = ran(stage, candidates(demo(0.1, 0.0), demo(1.0, 0.5, ended=0.0)))
    assert (ids(found), dropped) == (["r/0-1"], {})


def test_what_could_not_be_judged_is_in_no_pair_and_counted(candidates, ran):
    """1 has no Hausdorff distance; 3 has nothing. 0 and 2 remain, under their own indices."""
    record = candidates(scores(0.2, 70, 0.2), {"ber": 0.0, "topology": 90}, scores(0.1, 80, 0.1), {})
    found, dropped = ran(AllCriteria(MESH_RFT), record)
    assert ids(found) == ["r/2-0"]
    assert found[0].responses == (record.responses[2], record.responses[0])
    assert dropped == {"a candidate has no score 'hausdorff'": 1, "a candidate has no score 'ber'": 1}
    found, dropped = ran(AllCriteria(MESH_RFT), candidates(scores(0.1, 80, 0.1), {}))
    assert found == []
    assert dropped["fewer than two candidates have every score"] == 1


def test_the_best_pairs_are_those_of_the_largest_gain(candidates, ran):
    """log(CD_r/CD_c) + BER_r − BER_c: 0-1 gains log 2 + 0.1 = 0.79, 0-2 log 1.5 + 0.5 = 0.91, 2-1 is not clear."""
    record = candidates(demo(0.2, 0.0), demo(0.4, 0.1), demo(0.3, 0.5))
    every, _ = ran(AllCriteria(DEMO, "one"), record)
    assert ids(every) == ["r/0-2", "r/0-1"]
    best, dropped = ran(AllCriteria(DEMO, "one", per_prompt=1), record)
    assert ids(best) == ["r/0-2"]
    assert dropped["not among the 1 pairs of the largest gain"] == 1


def test_a_weight_changes_the_order_and_not_what_is_better(candidates, ran):
    record = candidates(demo(0.2, 0.0), demo(0.4, 0.1), demo(0.3, 0.5))
    heavy = (Criterion("chamfer", scale="relative", slack=0.02, clear=0.15, weight=10.0), DEMO[1])
    assert ids(ran(AllCriteria(heavy, "one"), record)[0]) == ["r/0-1", "r/0-2"]


def test_identical_candidates_are_no_pair(candidates, ran):
    record = candidates(demo(0.2, 0.0), demo(0.4, 0.5))
    twin = dataclasses.replace(record.responses[1], token_ids=record.responses[0].token_ids)
    record = dataclasses.replace(record, responses=(record.responses[0], twin))
    found, dropped = ran(AllCriteria(DEMO, "one", per_prompt=1), record)
    assert (found, dropped) == ([], {"both candidates are identical": 1})


def test_a_relative_score_of_zero_is_perfect_and_a_negative_one_refused(candidates, ran):
    stage = AllCriteria([Criterion("chamfer", scale="relative")])
    found, _ = ran(stage, candidates({"chamfer": 0.0}, {"chamfer": 1e-3}))
    assert ids(found) == ["r/0-1"]
    assert Criterion("c", scale="relative").utility(0.0) == pytest.approx(-math.log(SMALLEST))
    with pytest.raises(RecordError, match=r"record 'r', field 'responses\[1\].scores.chamfer': .*at least 0.*-0.1"):
        ran(stage, candidates({"chamfer": 0.1}, {"chamfer": -0.1}))


# Eighths, so that limits are met exactly.
number = st.integers(0, 16).map(lambda x: x / 8)


def is_better(mine, other, criteria, clear_in):
    """The rule read word by word for one pair."""
    tolerable, clear = [], []
    for criterion, a, b in zip(criteria, mine, other, strict=True):
        if criterion.better == "higher":
            a, b = (b, a) if criterion.scale == "relative" else (-a, -b)
        limits = (b * (1 + criterion.slack), b * (1 - criterion.clear))
        if criterion.scale == "absolute":
            limits = (b + criterion.slack, b - criterion.clear)
        tolerable.append(a <= limits[0])
        clear.append(a < limits[1])
    return all(clear) if clear_in == "every" else all(tolerable) and any(clear)


@settings(deadline=None)
@given(
    values=st.lists(st.tuples(number, number, number), max_size=7),
    clear_in=st.sampled_from(["every", "one"]),
    slack=st.sampled_from([0.0, 0.125]),
    extra=st.sampled_from([0.0, 0.25]),
    scale=st.sampled_from(["absolute", "relative"]),
)
def test_against_a_plain_loop(candidates, ran, values, clear_in, slack, extra, scale):
    slack = 0.0 if clear_in == "every" else slack
    named = {"scale": scale, "slack": slack, "clear": slack + extra}
    criteria = (Criterion("a", **named), Criterion("b", "higher", **named), Criterion("c", **named))
    record = candidates(*(dict(zip("abc", row, strict=True)) for row in values or [(0.0, 0.0, 0.0)]))
    found, _ = ran(AllCriteria(criteria, clear_in), record)
    expected = {
        f"r/{i}-{j}"
        for i, j in itertools.permutations(range(len(values)), 2)
        if is_better(values[i], values[j], criteria, clear_in)
    }
    assert set(ids(found)) == expected
    assert len(found) == len(expected)
    assert not any(f"r/{j}-{i}" in expected for i, j in (i.removeprefix("r/").split("-") for i in expected))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"better": "lowest"}, "unknown better of 's' 'lowest'; did you mean 'lower'"),
        ({"scale": "relativ"}, "unknown scale of 's' 'relativ'; did you mean 'relative'"),
        ({"slack": -0.1}, "slack of at least 0"),
        ({"slack": math.nan}, "slack of at least 0"),
        ({"slack": 0.2, "clear": 0.1}, r"clear of at least slack \(0.2\), got 0.1"),
        ({"clear": math.inf}, "clear of at least slack"),
        ({"scale": "relative", "clear": 1.0}, "clear below 1"),
        ({"weight": 0.0}, "weight above 0"),
        ({"weight": math.inf}, "weight above 0"),
    ],
)
def test_criteria_refuse_senseless_settings(settings, message):
    with pytest.raises(PrefalignError, match=message):
        Criterion("s", **settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "at least one criterion"),
        (([Criterion("s"), Criterion("s", "higher")],), "'s' stands twice"),
        ((MESH_RFT, "evry"), "unknown clear_in 'evry'; did you mean 'every'"),
        ((DEMO,), "slack of 'chamfer' has no effect"),
        ((MESH_RFT, "every", None, 0), "per_prompt of at least 1, got 0"),
    ],
)
def test_the_stage_refuses_senseless_settings(arguments, message):
    with pytest.raises(PrefalignError, match=message):
        AllCriteria(*arguments)


def test_settings_are_plain_and_complete():
    stage = AllCriteria(DEMO, "one", ended="ended", per_prompt=4)
    found = json.loads(json.dumps(stage.settings()))
    again = AllCriteria([Criterion(**c) for c in found.pop("criteria")], **found)
    assert again.settings() == stage.settings()
    assert again.criteria == DEMO
