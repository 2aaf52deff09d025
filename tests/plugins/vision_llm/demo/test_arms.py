"""The arms are the preset with stated changes, and train through the command."""

import json

import pytest
import yaml
from tests.plugins.vision_llm.demo.test_preparation import TINY

from prefalign.cli.main import main
from prefalign_vision_llm.demo import arms
from prefalign_vision_llm.demo.arms import ARMS, overrides, train
from prefalign_vision_llm.demo.preparation import prepare


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_parses_over_the_preset(name, tmp_path, capsys):
    config = tmp_path / "arm.yaml"
    config.write_text(yaml.safe_dump(overrides(ARMS[name], tmp_path / "seed0", tmp_path / "run")))
    assert main(["fit", "--config", "vision_llm/rlhfv-tiny", "--config", str(config), "--print_config"]) == 0
    parsed = yaml.safe_load(capsys.readouterr().out)
    objective = parsed["model"]["init_args"]["objective"]["init_args"]
    assert objective["loss_type"] == ("sft" if name == "sft" else "sigmoid")
    assert objective["beta"] == (None if name == "sft" else 2.0)
    assert objective["nll_weight"] == (1.0 if name == "ddpo" else 0.0)
    assert parsed["data"]["init_args"]["train"][0].endswith("pairs.jsonl" if "ddpo" in name else "pairs-plain.jsonl")


def test_an_arm_trains_through_the_command_and_is_used_again(tmp_path, monkeypatch):
    from transformers import LlavaForConditionalGeneration

    prepare(tmp_path / "seed0", 0, TINY, lambda text: None)
    changes = overrides(ARMS["ddpo"], tmp_path / "seed0", tmp_path / "run")
    changes["trainer"] |= {"max_steps": 2}
    changes["data"]["init_args"]["batch_size"] = 8
    monkeypatch.setattr(arms, "overrides", lambda *_: changes)
    folder = train("ddpo", tmp_path / "seed0", tmp_path / "run", seed=0)
    LlavaForConditionalGeneration.from_pretrained(folder)
    assert json.loads((tmp_path / "run" / "done.json").read_text())["seconds"] > 0
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert train("ddpo", tmp_path / "seed0", tmp_path / "run", seed=0) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written


def test_a_failing_run_shows_the_end_of_its_log(tmp_path):
    with pytest.raises(RuntimeError, match=r"failed with code 2[\s\S]*error: there is no model folder"):
        train("ddpo", tmp_path / "nowhere", tmp_path / "run", seed=0)
