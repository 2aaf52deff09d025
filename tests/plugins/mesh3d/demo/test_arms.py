"""Every arm is the preset with stated changes, and second rounds start where the first ended."""

import pytest
import yaml

from prefalign_mesh3d.demo import arms
from prefalign_mesh3d.demo.arms import ALARM, ARMS, train

#: What each arm optimises: class, beta, weight of the anchor, and the terms it names itself.
OBJECTIVES = {
    "coin": None,
    "rft": ("core/dpo", None, 0.0, ["sft"]),
    "dpo": None,
    "unanchored": ("core/dpo", 0.1, 0.0, None),
    "masked": ("mesh3d/masked_dpo", 1.0, 10.0, "logp_sum"),
    "masked_l1": ("mesh3d/masked_dpo", 10.0, 10.0, "prob_l1"),
    "near_rft": ("core/dpo", None, 0.0, ["sft"]),
    "near_dpo": None,
    "rft_2": ("core/dpo", None, 0.0, ["sft"]),
    "dpo_2": None,
}


@pytest.fixture
def given(tmp_path, monkeypatch):
    """What `run_arm` is given by an arm: the change, the folder, the preset."""

    def ask(name, log=""):
        seen = []

        def run_arm(change, run, *, preset):
            seen.append((change, run, preset))
            return {"seconds": 1.5, "log": log}

        monkeypatch.setattr(arms, "run_arm", run_arm)
        done = train(name, tmp_path / "seed3", tmp_path / "seed3" / "arms", 3)
        (call,) = seen
        return *call, done

    return ask


def test_every_arm_is_looked_at():
    assert set(OBJECTIVES) == set(ARMS)


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_optimises_what_its_title_says(given, name):
    change, run, preset, _ = given(name)
    assert preset == "mesh3d/deepmesh-tiny"
    assert run.parts[-2:] == ("arms", name)
    model = change["model"]["init_args"]
    if OBJECTIVES[name] is None:
        # The preset's: DPO with β = 1 and its anchor.
        assert "objective" not in model
    else:
        path, beta, anchor, form = OBJECTIVES[name]
        objective = model["objective"]
        options = objective["init_args"]
        assert (objective["class_path"], options["beta"], options["nll_weight"]) == (path, beta, anchor)
        assert options.get("loss_type", options.get("mask_form")) == form
        if form == ["sft"]:
            assert options["loss_weights"] == [10.0]
    assert yaml.safe_load(yaml.safe_dump(change)) == change


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_reads_its_own_records_with_the_seed(given, tmp_path, name):
    change, run, _, _ = given(name)
    data = change["data"]["init_args"]
    files = {"coin": "coin", "near_rft": "near", "near_dpo": "near", "masked": "masked", "masked_l1": "masked"}
    expected = tmp_path / "seed3" / f"{files.get(name, 'pairs')}.parquet"
    if name.endswith("_2"):
        expected = run / "fresh.parquet"
    assert data == {"train": str(expected), "seed": 3}
    assert change["seed_everything"] == 3
    steps, lr = (120, 5.0e-5) if name == "unanchored" else (200, 3.0e-5)
    assert change["trainer"] == {"max_steps": steps, "default_root_dir": str(run)}
    assert change["model"]["init_args"]["optimizer"]["init_args"] == {"lr": lr, "weight_decay": 0.0}


@pytest.mark.parametrize("name", ARMS)
def test_second_rounds_start_from_the_first_and_the_others_from_the_base(given, tmp_path, name):
    change = given(name)[0]
    first = {"rft_2": "arms/rft", "dpo_2": "arms/dpo"}.get(name, "base")
    model = change["model"]["init_args"]["policy"]["init_args"]["model"]
    assert model == str(tmp_path / "seed3" / first / "export")


def test_the_alarm_is_read_from_the_log(given):
    assert given("dpo")[3] == {"seconds": 1.5, "alarm": 0.0}
    assert given("dpo", f"step 40: the chosen responses {ALARM} by 3 nats")[3] == {"seconds": 1.5, "alarm": 1.0}
