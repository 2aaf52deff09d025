"""LeLM through the command: a run, the same run interrupted, and the large preset's tiny twin."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from prefalign.cli.main import main
from prefalign.data.store import write_parquet
from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Response

SYLLABLES = [{"phonemes": ["n", "a"], "ends_word": True}]


def pairs(conditions, codes=(8, 8, 8)):
    generator = np.random.default_rng(0)

    def song(frames):
        return Response(arrays={"codes": np.stack([generator.integers(0, count, frames) for count in codes])})

    return [
        PreferenceRecord(
            id=str(n), prompt=Prompt(conditions=conditions), responses=(song(4), song(6)), verdict=Pair(0, 1)
        )
        for n in range(8)
    ]


def small(folder, **trainer):
    """The shortest config that tunes a LeLM."""
    conditioner = {"class_path": "audio/song_conditions", "init_args": {"vocabulary": ["a", "n"]}}
    model = {"class_path": "audio/lelm", "init_args": {"model": {"codes": [8, 8, 8]}, "conditioner": conditioner}}
    policy = {"class_path": "audio/streams", "init_args": {"model": model}}
    return {
        "seed_everything": 0,
        "model": {
            "class_path": "core/preference_tuning",
            "init_args": {
                "policy": policy,
                "objective": {"class_path": "core/dpo", "init_args": {"beta": 0.1}},
                "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1.0e-3}},
            },
        },
        "data": {
            "class_path": "core/preferences",
            "init_args": {"train": str(folder / "pairs.parquet"), "batch_size": 2},
        },
        "trainer": {
            "accelerator": "cpu",
            "callbacks": [{"class_path": "core/export"}],
            "max_epochs": -1,
            **trainer,
        },
    }


def fit(folder, config, *more):
    """Run the command on the config, in a folder that a run may fill."""
    config["trainer"]["default_root_dir"] = str(folder)
    file = folder.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", str(file), *more]) == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_run_is_exported_and_continued(tmp_path, monkeypatch):
    """Twice the same from a seed; ended after half of the steps and continued, bit for bit the same as well."""
    monkeypatch.chdir(tmp_path)
    write_parquet(pairs({"syllables": SYLLABLES, "mode": "minor"}), tmp_path / "pairs.parquet")
    found = {}
    for name in ("one", "two"):
        fit(tmp_path / name, small(tmp_path, max_steps=6))
        found[name] = load_file(tmp_path / name / "export" / "model.safetensors")
    fit(tmp_path / "parts", small(tmp_path, max_steps=3))
    fit(tmp_path / "parts", small(tmp_path, max_steps=6), "--ckpt_path", "last")
    export = tmp_path / "parts" / "export"
    found["parts"] = load_file(export / "model.safetensors")
    for name in ("two", "parts"):
        assert all((value == found[name][key]).all() for key, value in found["one"].items())
    assert json.loads((export / "condition_words.json").read_text())["phonemes"] == ["a", "n"]


def save_tokenizer(folder):
    words = {word: index for index, word in enumerate(["<unk>", "[", "]", "lyrics", "description", "la", "waltz"])}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>").save_pretrained(folder)
    return str(folder)


POLICY = "--model.init_args.policy.init_args"


@pytest.mark.slow
def test_the_large_preset_runs_on_its_tiny_twin(tmp_path, monkeypatch):
    """Without network: a model of random weights, a tokenizer of seven words."""
    monkeypatch.chdir(tmp_path)
    write_parquet(pairs({"lyrics": "la la", "description": "waltz"}, (32, 24, 16)), tmp_path / "pairs.parquet")
    family = f"{POLICY}.model.init_args"
    tokenizer = save_tokenizer(tmp_path / "words")
    told = [
        f"{family}.model",
        "{}",
        f"{family}.conditioner.init_args.tokenizer",
        tokenizer,
        f"{family}.dtype",
        "float32",
    ]
    small = ["--trainer.accelerator", "cpu", "--trainer.max_steps", "1", "--trainer.precision", "32-true"]
    small += ["--trainer.devices", "1", "--trainer.strategy", "auto", "--data.init_args.num_workers", "0"]
    assert main(["fit", "--config", "audio/levo", "--data.train", "pairs.parquet", *told, *small]) == 0
    assert list(Path("runs/audio/levo").rglob("model.safetensors"))


def test_the_large_preset_parses(capsys):
    assert main(["fit", "--config", "audio/levo", "--data.train", "pairs.parquet", "--print_config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["init_args"]["objective"]["init_args"]["beta"] == 0.1
