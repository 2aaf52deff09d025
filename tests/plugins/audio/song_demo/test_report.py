"""Tables, points and rules of the comparison."""

from prefalign_audio.commands.pareto_points import parse_points
from prefalign_audio.song_demo.report import differences, points, table, verdicts


def row(lyric_error, prompt, musicality, **more):
    figures = {"lyric_error": lyric_error, "prompt": prompt, "musicality": musicality}
    return {**figures, "reward": 0.0, "length": 16.0, "ended": 1.0, "repetition": 0.0, **more}


RESULTS = {
    "real": {0: row(0.0, 1.0, 0.0), 1: row(0.0, 1.0, 0.0)},
    "base": {0: row(0.2, 0.6, -7.0), 1: row(0.3, 0.6, -6.0)},
    "lyric": {0: row(0.1, 0.5, -7.0), 1: row(0.3, 0.7, -6.0)},
    "prompt": {0: row(0.4, 0.9, -8.0), 1: row(0.4, 0.9, -8.0)},
    "searched": {
        0: row(0.15, 0.7, -5.0, weight_lyric=0.5, weight_prompt=0.25, weight_musicality=0.25),
        1: row(0.2, 0.6, -5.0, weight_lyric=0.25, weight_prompt=0.5, weight_musicality=0.25),
    },
}


def test_rules_have_an_answer_for_each_seed_and_are_silent_where_nothing_was_run():
    found = verdicts(RESULTS)
    assert found == {
        "DPO, lyric: better than the base there": [True, False],
        "DPO, prompt: better than the base there": [True, True],
        # Equal is not better.
        "the searched interpolation is better on all three": [True, False],
    }


def test_one_of_the_fixed_interpolations_is_enough():
    fixed = {name: {0: row(0.3, 0.5, -8.0), 1: row(0.1, 0.7, -5.0)} for name in ("thirds", "lyric_half", "prompt_half")}
    fixed["musicality_half"] = {0: row(0.1, 0.7, -5.0), 1: row(0.3, 0.7, -5.0)}
    assert verdicts({**RESULTS, **fixed})["a fixed interpolation is better on all three"] == [True, True]


def test_points_are_what_the_pareto_report_reads():
    document = points({**RESULTS, "best_of_8": RESULTS["prompt"]})
    parsed = parse_points(document)
    assert [(point.name, point.kind) for point in parsed.points] == [
        ("real", "real"),
        ("base", "base"),
        ("lyric", "single"),
        ("prompt", "single"),
        ("searched", "merge"),
    ]
    # Weights that differ from seed to seed are no property of the point.
    assert all(point["weights"] is None for point in document["points"])
    one = points({name: {0: rows[0]} for name, rows in RESULTS.items()})
    assert one["points"][-1]["weights"] == {"lyric": 0.5, "prompt": 0.25, "musicality": 0.25}


def test_tables_show_means_and_the_seeds_that_are_better():
    assert "| DPO, lyric | 0.200 ± 0.141 | 0.600 ± 0.141 | -6.50 ± 0.71 |" in table(RESULTS)
    assert "| DPO, lyric | -0.050 ± 0.071 (1 of 2) | +0.000 ± 0.141 (1 of 2) | +0.00 ± 0.00 (0 of 2) |" in differences(
        RESULTS
    )
