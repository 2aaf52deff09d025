"""The demonstration's command: wrong arms are refused at once; one learning run, marked slow, passes its own rules."""

import json

import pytest

from prefalign.cli.main import main as prefalign
from prefalign_audio.commands.demo import main


def test_arms_are_checked_before_anything_is_made(tmp_path, capsys):
    assert main(["--arms", "batonn_0", "--out", str(tmp_path / "runs")]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert prefalign(["audio", "demo", "--arms", "crpo_online", "--out", str(tmp_path / "runs")]) == 2
    assert "starts from crpo" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_another_plan_is_refused_before_any_work(tmp_path, capsys):
    """Its arms belong to another base, and would be taken for this one's."""
    (tmp_path / "seed0").mkdir()
    (tmp_path / "seed0" / "facts.json").write_text(json.dumps({"plan": {"seed": 0, "classes": 8}}))
    assert main(["--out", str(tmp_path)]) == 2
    assert "choose another --out" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_quick_demonstration_gains_by_reward(tmp_path):
    """Bounds are loose: one seed. The control sees the same clips without their labels."""
    assert main(["--quick", "--out", str(tmp_path)]) in (0, 1)
    figures = {name: rows[0] for name, rows in json.loads((tmp_path / "results.json").read_text())["figures"].items()}
    assert figures["baton_0"]["temporal"] - figures["control"]["temporal"] >= 0.08
    assert figures["crpo"]["temporal"] - figures["control"]["temporal"] >= 0.08
    assert figures["crpo"]["chosen_drift"] < 0.1
    assert figures["best_of_5"]["temporal"] > figures["base"]["temporal"]
    assert (tmp_path / "listen" / "index.html").stat().st_size > 10_000
