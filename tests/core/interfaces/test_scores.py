"""Verdicts as index tensors over the rows of a batch."""

import math

import torch

from prefalign.interfaces import Batch, Group, Pair, PreferenceRecord, Prompt, Ranking, Relations, Response, Unary
from prefalign.interfaces.verdict import labels, pairs, ranking


def record(name, count, verdict, **fields):
    answers = tuple(Response(text=f"{name}{i}") for i in range(count))
    return PreferenceRecord(id=name, prompt=Prompt(text="q"), responses=answers, verdict=verdict, **fields)


def test_each_kind_of_verdict_gives_what_it_implies():
    """Rows 0-1 a pair the other way round, 2 alone and undesirable, 3-5 ranked with a tie, 6-7 with rewards."""
    made = Relations.from_records(
        [
            record("p", 2, Pair(1, 0, probability=0.8), margin=0.5, weight=2.0),
            record("u", 1, Unary((False,))),
            record("k", 3, Ranking((1, 0, 1))),
            record("g", 2, Group((0.1, 0.7))),
        ]
    )
    assert made.record.tolist() == [0, 0, 1, 2, 2, 2, 3, 3]
    assert list(zip(made.chosen.tolist(), made.rejected.tolist(), strict=True)) == [
        (1, 0),
        (4, 3),
        (3, 5),
        (4, 5),
        (7, 6),
    ]
    torch.testing.assert_close(made.probability, torch.tensor([0.8, 1.0, 0.5, 1.0, 1.0]))
    assert made.tie.tolist() == [False, False, True, False, False]
    assert made.margin.tolist() == [0.5, 0, 0, 0, 0]
    assert made.pair_weight.tolist() == [2, 1, 1, 1, 1]
    assert [None if math.isnan(x) else x for x in made.label.tolist()] == [0, 1, 0, None, None, None, None, None]
    assert made.rank.tolist() == [-1, -1, -1, 1, 0, 1, 1, 0]
    assert [None if math.isnan(x) else round(x, 3) for x in made.reward.tolist()] == [None] * 6 + [0.1, 0.7]
    assert made.unpaired.tolist() == [False, False, True] + [False] * 5
    assert made.ids == ["p", "u", "k", "g"]


def test_no_pairs_give_empty_indices_of_the_right_type():
    made = Relations.from_records([record("u", 1, Unary((True,)))], mismatched=1)
    assert made.chosen.dtype == torch.long
    assert made.chosen.shape == (0,)
    assert made.mismatched.tolist() == [1]
    assert made.record.tolist() == [0, -1]


def test_a_declared_tie_counts_as_one_half():
    made = Relations.from_records([record("t", 2, Pair(tie=True))])
    assert made.probability.tolist() == [0.5]
    assert made.unpaired.tolist() == [False, False]


def test_conversions_run_one_way():
    assert ranking(Group((1.0, 3.0, 1.0))) == Ranking((1, 0, 1))
    assert pairs(Unary((True, False))) == ()
    assert labels(Pair(0, 1, probability=0.5), 2) == (None, None)
    assert labels(Pair(0, 1, probability=0.2), 2) == (False, True)


def test_a_batch_moves_with_everything_in_it():
    relations = Relations.from_records([record("p", 2, Pair())])
    batch = Batch({"input_ids": torch.zeros(2, 3), "rows": [0, 0]}, relations, ["a", "b"]).to("meta")
    assert batch.inputs["input_ids"].device.type == "meta"
    assert batch.relations.chosen.device.type == "meta"
    assert batch.inputs["rows"] == [0, 0]
    assert batch.relations.ids == ["p"]
