"""Tables from figures given by hand."""

import pytest

from prefalign_robotics.demo.report import inside_table, noise_table, policy_table, report, spread, transfer_table


def agree(spearman, p=0.001):
    return {"spearman": spearman, "p": p, "pair_accuracy": 0.5}


def result(source="a", target="b", seed=0, **more):
    inside = {
        "return": {"learned": agree(0.5), "rule": agree(0.4), "return": agree(1.0)},
        "speed": {"learned": agree(0.1, 0.4), "rule": agree(0.2, 0.3), "return": None},
        "smoothness": {"learned": None, "rule": None, "return": None},
    }
    return {
        "source": source,
        "target": target,
        "seed": seed,
        "transfer": {"accuracy": 0.8, "confident_half": 0.9, "rule_accuracy": 0.7},
        "ranking": {"successful": 9, "all": {"learned": agree(0.85), "rule": agree(0.6)}, "inside": inside},
        "policies": {"all": figure(0.5, 100), "scored": figure(1.0, 300)},
        "noise": {},
        **more,
    }


def figure(success, mean_return):
    return {"success": {"estimate": success}, "mean_return": {"estimate": mean_return}}


def test_spreads_are_sample_deviations():
    assert spread([]) == "-"
    assert spread([0.5]) == "0.500"
    assert spread([0.4, 0.6]) == "0.500 ± 0.141"  # sqrt(0.02)
    assert spread([0.1, 0.3], signed=True) == "+0.200 ± 0.141"


def test_transfer():
    second = result(seed=1, transfer={"accuracy": 0.6, "confident_half": 0.9, "rule_accuracy": 0.7})
    assert transfer_table([result(), second]).splitlines()[2] == (
        "| a → b | 0.700 ± 0.141 | 0.900 ± 0.000 | 0.700 ± 0.000 | 0.850 ± 0.000 | 0.600 ± 0.000 |"
    )


def test_policies_show_every_seed_and_a_column_for_each_pair():
    rows = [
        result(),
        result(seed=1, policies={"all": figure(0.0, 50)}),
        result("c", policies={"scored": figure(0.9, 7)}),
    ]
    lines = policy_table(rows, "success").splitlines()
    assert lines[0] == "| policy | a → b | c → b |"
    assert lines[2] == "| cloning, all episodes | 0.250 [0.50 0.00] | - |"
    assert lines[3] == "| cloning, best quarter by the learned reward | 1.000 [1.00] | 0.900 [0.90] |"
    assert len(lines) == 4
    assert "75 [100 50]" in policy_table(rows, "mean_return")


def test_chance_is_named_among_the_successful():
    lines = inside_table([result(), result(seed=1)]).splitlines()
    assert lines[2] == "| a → b | return | 0.500 ± 0.000 | 0.400 ± 0.000 |  |"
    assert lines[3] == "| a → b | speed | 0.100 ± 0.000 (2 of 2) | 0.200 ± 0.000 (2 of 2) | - |"
    assert lines[4] == "| a → b | smoothness | - | - | - |"
    few = result(ranking={**result()["ranking"], "inside": None})
    assert inside_table([few]).splitlines()[2] == "| a → b | return | - | - |  |"


def test_differences_under_wrong_labels_are_taken_within_a_run():
    """0.7 − 0.6 and 0.9 − 0.8: a gain of 0.1 without spread."""
    runs = [
        result(noise={"0.2": {"robust": 0.7, "bradley_terry": 0.6}}),
        result(
            seed=1, noise={"0.2": {"robust": 0.9, "bradley_terry": 0.8}, "0.35": {"robust": 0.5, "bradley_terry": 0.6}}
        ),
    ]
    lines = noise_table(runs).splitlines()
    assert lines[2] == "| b | 20% | 0.800 ± 0.141 | 0.700 ± 0.141 | +0.100 ± 0.000 |"
    assert lines[3] == "| b | 35% | 0.500 | 0.600 | -0.100 |"


@pytest.mark.parametrize("noise", [False, True])
def test_a_report_has_the_tables_that_were_filled(noise):
    text = report([result(noise={"0.2": {"robust": 0.7, "bradley_terry": 0.6}} if noise else {})])
    assert text.count("\n| --- |") == 4 + noise
