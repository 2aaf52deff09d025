"""Mixtures of criteria, and sums of ranks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefalign.data.stages import BestWorst
from prefalign.interfaces import PrefalignError
from prefalign_audio.builders.gaps import ErrorGap, GapPairs
from prefalign_audio.builders.mixed import MixedPairs, RankSumBestWorst, rank_sums


def test_the_union_of_each_criterions_own_pairs(candidates, outcome):
    records = [
        candidates({"e": -50.0, "p": 1.0}, {"e": 0.0, "p": 0.0}, {"e": -45.0, "p": 0.5}, name="a"),
        candidates({"e": -5.0, "p": 1.0}, {"e": 0.0, "p": 0.9}, name="b"),
    ]
    stages = {"lyric": ErrorGap("e"), "prompt": BestWorst("p", min_gap=0.3)}
    pairs, dropped = outcome(MixedPairs(stages), *records)
    # The criteria prefer opposite ends of a/0 and a/1: both pairs stay.
    assert pairs == {"a/1-0:lyric": (1, 0), "a/1-2:lyric": (1, 2), "a:prompt": (0, 1)}
    alone = [outcome(stage, *records) for stage in stages.values()]
    assert sorted(pairs.values()) == sorted(pair for made, _ in alone for pair in made.values())
    assert dropped == {
        f"{name}: {reason}": n for name, (_, lost) in zip(stages, alone, strict=True) for reason, n in lost.items()
    }


def test_mixture_settings_name_the_stages():
    settings = MixedPairs({"a": GapPairs("s", 1.0), "b": BestWorst("t")}).settings()
    assert settings["a"] == {"class": "prefalign_audio.builders.gaps.GapPairs", "score": "s", "gap": 1.0}
    assert settings["b"]["class"].endswith("BestWorst")
    with pytest.raises(PrefalignError, match="two stages"):
        MixedPairs({"a": GapPairs("s", 1.0)})


def test_rank_sums_by_hand():
    # First score: 0, 1.5, 1.5, 3. Second: 3, 2, 0.5, 0.5.
    assert rank_sums({0: [1.0, 9.0], 1: [2.0, 8.0], 4: [2.0, 7.0], 5: [3.0, 7.0]}) == {0: 3, 1: 3.5, 4: 2, 5: 3.5}


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=6))
def test_ranks_add_up_and_do_not_depend_on_the_scale(rows):
    sums = rank_sums(dict(enumerate(rows)))
    assert sum(sums.values()) == pytest.approx(3 * len(rows) * (len(rows) - 1) / 2)
    scaled = rank_sums({i: [2.0 ** row[0], 10.0 * row[1] - 5, row[2] ** 3] for i, row in enumerate(rows)})
    assert scaled == sums


def test_best_and_worst_by_rank_sum(candidates, outcome):
    scores = [{"a": 1.0, "b": 9.0}, {"a": 2.0, "b": 8.0}, {"a": 2.0, "b": 7.0}, {"a": 3.0, "b": 7.0}, {"a": 99.0}]
    # 1 and 3 have the same highest sum: the first counts.
    assert outcome(RankSumBestWorst(["a", "b"]), candidates(*scores))[0] == {"r": (1, 2)}


def test_what_rank_sums_leave_out(candidates, outcome):
    stage = RankSumBestWorst(["a", "b"])
    even, lone = candidates({"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 1.0}), candidates({"a": 1.0, "b": 2.0}, {"a": 2.0})
    twins = candidates({"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 2.0}, same=True)
    assert outcome(stage, even, lone, twins) == (
        {},
        {
            "all candidates have the same sum of ranks": 1,
            "fewer than two candidates have all scores": 1,
            "winner and loser are identical": 1,
        },
    )
    for bad in (["a"], ["a", "a"], "ab"):
        with pytest.raises(PrefalignError, match="two different scores"):
            RankSumBestWorst(bad)
    assert stage.settings() == {"scores": ["a", "b"]}
