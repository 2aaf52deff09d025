"""The table, paired differences and rules of the comparison, from figures given by hand."""

import pytest

from prefalign_audio.demo.report import differences, spread, table, verdicts


def rows(*values, **more):
    return [{"temporal": value, "mel_frechet": 0.2, **more} for value in values]


def test_spreads_are_sample_deviations():
    assert spread([]) == "-"
    assert spread([0.5]) == "0.500"
    assert spread([0.4, 0.6]) == "0.500 ± 0.141"  # sqrt(0.02)
    assert spread([0.1, 0.3], signed=True) == "+0.200 ± 0.141"


def test_differences_are_taken_within_a_seed():
    """Means of 0.6 and 0.5; seed by seed the gain is 0.1 both times, so its spread is 0."""
    text = differences({"baton_0": rows(0.5, 0.7), "control": rows(0.4, 0.6)})
    assert "| +0.100 ± 0.000 (2 of 2 positive) | +0.000 ± 0.000 (0 of 2 positive) |" in text
    assert len(text.splitlines()) == 3


def test_the_table_has_a_row_per_arm():
    lines = table({"base": rows(0.5), "dpo": rows(0.9, chosen_drift=0.7)}).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| base |")
    assert "0.700" in lines[3]


@pytest.mark.parametrize("gain", [0.07, 0.09])
def test_rules_answer_for_every_seed(gain):
    found = verdicts(
        {
            "control": rows(0.6, 0.6),
            "baton_0": rows(0.6 + gain, 0.9),
            "winners": rows(0.8, 0.9),
            "crpo": [*rows(0.8, chosen_drift=0.05, alarm=0.0), *rows(0.85, chosen_drift=0.2, alarm=1.0)],
        }
    )
    assert found["BATON β = 0 gains 0.08 over the control"] == [gain > 0.08, True]
    assert found["CRPO at least equals winners only"] == [True, False]
    assert found["CRPO's winner drift is below 0.1"] == [True, False]
    assert found["the drift alarm is silent on CRPO"] == [True, False]
    assert "the drift alarm is loud on DPO" not in found
