"""Preferences of the arms from four judged songs."""

import numpy as np
import pytest

from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Ranking, Response
from prefalign_audio.song_demo import pairs
from prefalign_audio.song_demo.pairs import by_coin, pair_sets


def judged(name, rows):
    responses = tuple(
        Response(
            arrays={"codes": np.full((3, 2), place)},
            scores=dict(zip(("lyric", "prompt", "musicality"), row, strict=True)),
        )
        for place, row in enumerate(rows)
    )
    return PreferenceRecord(id=name, prompt=Prompt(), responses=responses, verdict=Ranking((0,) * len(rows)))


ROWS = [(-0.4, 1.0, 0.0), (0.0, 0.0, 1.0), (-0.2, 0.5, 5.0), (-0.1, 1.0, 2.0)]


def ends(record):
    return int(record.responses[0].arrays["codes"][0, 0]), int(record.responses[1].arrays["codes"][0, 0])


def test_the_best_of_a_criterion_wins_over_all_that_are_far_enough_behind():
    sets = pair_sets([judged("a", ROWS)], 3.5, seed=0)
    # Song 3 has a lyric that is worse by 0.1, which is not more than the gap.
    assert sorted(map(ends, sets["lyric"])) == [(1, 0), (1, 2)]
    assert sorted(map(ends, sets["prompt"])) == [(0, 1), (0, 2)]
    assert sorted(map(ends, sets["musicality"])) == [(2, 0), (2, 1)]
    assert len(sets["mixed"]) == 6
    # Sums of ranks: song 0 has 0 + 2.5 + 0, song 1 3 + 0 + 1, song 2 1 + 1 + 3, song 3 2 + 2.5 + 2.
    assert [ends(pair) for pair in sets["rank_sum"]] == [(3, 0)]


def test_sets_are_cut_without_regard_to_their_order(monkeypatch):
    monkeypatch.setattr(pairs, "MOST", 2)
    records = [judged(str(n), ROWS) for n in range(20)]
    sets = pair_sets(records, 1.0, seed=0)
    assert (len(sets["lyric"]), len(sets["mixed"]), len(sets["rank_sum"])) == (2, 6, 6)
    assert {pair.id for pair in sets["lyric"]} == {pair.id for pair in pair_sets(records[::-1], 1.0, seed=0)["lyric"]}
    assert any(int(pair.id.partition("/")[0]) > 3 for pair in sets["mixed"])


def test_gaps_that_are_too_small_make_no_pair():
    close = [(-0.1, 0.5, 0.0), (0.0, 0.5, 0.9)]  # 0.1 is not more than 0.1
    sets = pair_sets([judged("a", close), judged("b", ROWS)], 1.0, seed=0)
    assert {pair.id[0] for name in ("lyric", "prompt", "musicality") for pair in sets[name]} == {"b"}


def test_winners_of_cross_pairs_satisfy_both_criteria_of_a_group():
    sets = pair_sets([judged("a", ROWS)], 1.0, seed=0)
    found = {pair.id.rpartition("/")[2]: ends(pair) for pair in sets["cross"]}
    # Medians: lyric -0.15, prompt 0.75, musicality 1.5. Only song 3 exceeds two of them in each group.
    assert found == {"lyric+prompt": (3, 2), "lyric+musicality": (3, 0), "prompt+musicality": (3, 1)}


def test_a_coin_turns_about_half_of_the_pairs_once_and_for_all():
    records = [judged(str(n), ROWS[:2]) for n in range(200)]
    plain = [PreferenceRecord(id=p.id, prompt=p.prompt, responses=p.responses, verdict=Pair()) for p in records]
    turned = by_coin(plain, seed=1)
    assert sum(pair.verdict.chosen for pair in turned) == pytest.approx(100, abs=25)
    assert by_coin(plain, seed=1) == turned
    assert by_coin(plain, seed=2) != turned
