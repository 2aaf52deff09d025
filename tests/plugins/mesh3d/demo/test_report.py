"""The table, paired differences and rules of the comparison, from figures given by hand."""

import pytest

from prefalign_mesh3d.demo.arms import ARMS
from prefalign_mesh3d.demo.report import COMPARISONS, TITLES, differences, spread, table, verdicts

FIGURES = ("chamfer", "boundary", "closed", "ended", "length")


def row(chamfer, boundary=0.1, closed=0.5, ended=1.0, length=100.0, **more):
    figures = dict(zip(FIGURES, (chamfer, boundary, closed, ended, length), strict=True))
    cooler = {f"{name}@0.7": value / 2 for name, value in figures.items()}
    return {**{f"{name}@1.0": value for name, value in figures.items()}, **cooler, **more}


def good():
    """Figures that pass every rule."""
    return {
        "base": [row(0.10, 0.20)],
        "coin": [row(0.11, 0.19, alarm=0.0)],
        "dpo": [row(0.08, 0.10, length=105, alarm=0.0)],
        "unanchored": [row(0.3, alarm=1.0)],
    }


def test_spreads_are_sample_deviations():
    assert spread([0.5], 2) == "0.50"
    assert spread([0.4, 0.6], 3) == "0.500 ± 0.141"  # sqrt(0.02)
    assert spread([1, 3], 1, signed=True) == "+2.0 ± 1.4"
    assert spread([-1], 1, signed=True) == "-1.0"


def test_the_table_has_a_row_per_arm_at_its_temperature():
    results = {"base": [row(0.1), row(0.3)], "dpo": [row(0.08), row(0.08, 0.0, 1.0, 1.0, 120)]}
    assert table(results, 1.0).splitlines() == [
        "| temperature 1 | Chamfer ↓ | boundary edges ↓ | closed | tokens |",
        "|---|---|---|---|---|",
        "| supervised base | 0.2000 ± 0.1414 | 0.1000 ± 0.0000 | 0.5000 ± 0.0000 | 100.0 ± 0.0 |",
        "| DPO, β = 1, anchored | 0.0800 ± 0.0000 | 0.0500 ± 0.0707 | 0.7500 ± 0.3536 | 110.0 ± 14.1 |",
    ]
    assert "| supervised base | 0.1000 ± 0.0707 |" in table(results, 0.7)


def test_differences_are_taken_within_a_seed():
    """Either arm spreads; seed by seed the gain is 0.01 both times, so its spread is 0."""
    results = {"base": [row(0.10, 0.2), row(0.30, 0.4)], "dpo": [row(0.09, 0.1, 0.6), row(0.29, 0.4)]}
    assert differences(results, 1.0).splitlines() == [
        "| temperature 1 | Chamfer × 1000 | boundary edges × 1000 | closed, points |",
        "|---|---|---|---|",
        "| DPO, β = 1, anchored − supervised base | -10.0 ± 0.0 (-10 / -10) | -50.0 ± 70.7 (-100 / +0) "
        "| +5.0 ± 7.1 (+10 / +0) |",
    ]
    assert "| -5.0 ± 0.0 (-5 / -5) |" in differences(results, 0.7)
    # One seed has no spread, and nothing to list.
    assert "| -20.0 | -100.0 | +0.0 |" in differences({name: good()[name] for name in ("base", "dpo")}, 1.0)


def test_comparisons_are_between_arms_that_there_are():
    assert len(set(COMPARISONS)) == len(COMPARISONS)
    assert {name for both in COMPARISONS for name in both} == {"base", *ARMS} == set(TITLES)


def test_good_figures_pass_every_rule():
    found = verdicts(good())
    assert len(found) == 8
    assert all(answers == [True] for answers in found.values())


@pytest.mark.parametrize(
    ("arm", "figure", "value", "rule"),
    [
        ("base", "chamfer@1.0", 0.08, "DPO's Chamfer distance is below the base's"),
        ("coin", "chamfer@1.0", 0.08, "DPO's Chamfer distance is below the control's"),
        ("base", "boundary@1.0", 0.10, "DPO's share of boundary edges is below the base's"),
        ("coin", "boundary@1.0", 0.10, "DPO's share of boundary edges is below the control's"),
        ("dpo", "ended@1.0", 0.949, "95 % of DPO's meshes come to an end"),
        ("dpo", "length@1.0", 110.2, "DPO's meshes are as long as the base's, within a tenth"),
        ("dpo", "length@1.0", 89.8, "DPO's meshes are as long as the base's, within a tenth"),
        ("dpo", "alarm", 1.0, "the alarm is silent on DPO with its anchor"),
        ("unanchored", "alarm", 0.0, "the alarm is loud on DPO without one"),
    ],
)
def test_a_wrong_figure_fails_its_rule_alone(arm, figure, value, rule):
    results = good()
    results[arm][0][figure] = value
    assert [name for name, answers in verdicts(results).items() if answers != [True]] == [rule]


def test_rules_answer_for_every_seed():
    results = {"base": [row(0.1), row(0.1)], "dpo": [row(0.05, alarm=0.0), row(0.2, alarm=0.0)]}
    assert verdicts(results)["DPO's Chamfer distance is below the base's"] == [True, False]


def test_rules_of_arms_that_were_not_run_are_absent():
    results = good()
    del results["coin"], results["unanchored"]
    assert len(verdicts(results)) == 5
    assert not [rule for rule in verdicts(results) if "control" in rule or "loud" in rule]
    assert verdicts({"base": results["base"]}) == {}
