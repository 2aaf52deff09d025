"""Numbers for whole lists, and margins of pairs; by hand."""

import json
import math

import pytest
import torch

from prefalign.data.stages import BestWorst
from prefalign.functional.listwise import plackett_luce
from prefalign.interfaces import Group, Pair, PrefalignError, RecordError, Relations, ResponseScores
from prefalign.objectives.listwise import PlackettLuce
from prefalign_mesh3d.pairs.criteria import Criterion
from prefalign_mesh3d.pairs.rewards import CriteriaRewards, ScoreMargin

CHAMFER, EDGES = Criterion("chamfer", scale="relative"), Criterion("ber", weight=2.0)


def test_rewards_add_up_and_fall_with_what_is_bad(candidates, ran):
    """−log CD − 2 BER: log 2 − 0.2, log 4 − 1, 0. The one without edges is left out."""
    record = candidates(
        {"chamfer": 0.5, "ber": 0.1}, {"chamfer": 0.25, "ber": 0.5}, {"chamfer": 1.0, "ber": 0.0}, {"chamfer": 0.1}
    )
    (found,), dropped = ran(CriteriaRewards([CHAMFER, EDGES]), record)
    assert isinstance(found.verdict, Group)
    assert found.verdict.rewards == pytest.approx((math.log(2) - 0.2, math.log(4) - 1.0, 0.0))
    assert found.responses == record.responses[:3]
    assert (found.id, dropped) == ("r", {"a candidate has no score 'ber'": 1})


def test_one_candidate_is_no_list(candidates, ran):
    found, dropped = ran(CriteriaRewards([CHAMFER]), candidates({"chamfer": 0.5}, {}))
    assert found == []
    assert dropped["fewer than two candidates have every score"] == 1


def test_plackett_luce_reads_the_order_off_the_rewards(candidates, ran):
    """Order 1, 0, 2 with log ratios (0.5, 1, −0.5): −log of two successive choices."""
    record = candidates({"chamfer": 0.5}, {"chamfer": 0.25}, {"chamfer": 1.0})
    records, _ = ran(CriteriaRewards([CHAMFER]), record)
    relations = Relations.from_records(records)
    assert relations.rank.tolist() == [1, 0, 2]
    ratios = torch.tensor([0.5, 1.0, -0.5], dtype=torch.float64)
    policy, reference = (ResponseScores(x, torch.ones(3)) for x in (ratios, torch.zeros(3, dtype=torch.float64)))
    loss = PlackettLuce(beta=1.0)(policy, reference, relations).loss.item()
    e = math.exp
    first = e(1) / (e(1) + e(0.5) + e(-0.5))
    second = e(0.5) / (e(0.5) + e(-0.5))
    assert loss == pytest.approx(-math.log(first * second), abs=1e-12)
    assert loss == pytest.approx(plackett_luce(ratios, relations.rank, relations.record).sum().item(), abs=1e-12)


def test_the_margin_is_the_gain(candidates, ran):
    """Higher is better: 3 · (0.9 − 0.5). Relative and lower is better: log(0.4/0.1)."""
    record = candidates({"s": 0.5, "chamfer": 0.4}, {"s": 0.9, "chamfer": 0.1}, verdict=Pair(1, 0))
    (found,), _ = ran(ScoreMargin(Criterion("s", "higher", weight=3.0)), record)
    assert found.margin == pytest.approx(1.2)
    (found,), _ = ran(ScoreMargin(CHAMFER), record)
    assert found.margin == pytest.approx(math.log(4))
    assert (found.responses, found.verdict) == (record.responses, record.verdict)


def test_a_criterion_against_the_verdict_asks_for_nothing(candidates, ran):
    record = candidates({"s": 0.5}, {"s": 0.9}, verdict=Pair(0, 1))
    (found,), dropped = ran(ScoreMargin(Criterion("s", "higher")), record)
    assert (found.margin, dropped) == (0.0, {})


def test_margins_follow_any_stage_that_makes_pairs(candidates, ran):
    record = candidates({"s": 0.5}, {"s": 0.9}, {"s": 0.6})
    pairs, _ = ran(BestWorst("s"), record)
    (found,), _ = ran(ScoreMargin(Criterion("s", "higher")), *pairs)
    assert found.margin == pytest.approx(0.4)


def test_a_pair_without_the_score_is_left_out_and_no_pair_is_an_error(candidates, ran):
    found, dropped = ran(ScoreMargin(CHAMFER), candidates({"chamfer": 0.1}, {}, verdict=Pair()))
    assert found == []
    assert dropped == {"a candidate has no score 'chamfer'": 1, "the pair has no difference of 'chamfer'": 1}
    with pytest.raises(RecordError, match="record 'r', field 'verdict': expected a pair; put this stage behind"):
        ran(ScoreMargin(CHAMFER), candidates({"chamfer": 0.1}, {"chamfer": 0.2}))


def test_settings_are_plain():
    with pytest.raises(PrefalignError, match="at least one criterion"):
        CriteriaRewards([])
    for stage in (CriteriaRewards([CHAMFER, EDGES]), ScoreMargin(EDGES)):
        text = json.dumps(stage.settings())
        assert '"weight": 2.0' in text
