"""Run folders, checkpoints by word, and looking at arguments before they are parsed."""

import datetime
import os
from pathlib import Path

import pytest
import torch

from prefalign.cli import runs
from prefalign.cli.errors import CommandError

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(runs.FOLDER_VARIABLE, "")
    for variable in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(variable, raising=False)


def test_folders_are_unique_even_within_a_second() -> None:
    folders = [runs.claim_folder("p/q", NOW) for _ in range(3)]
    assert [folder.as_posix() for folder in folders] == [
        "runs/p/q/2026-01-02_03-04-05",
        "runs/p/q/2026-01-02_03-04-05-2",
        "runs/p/q/2026-01-02_03-04-05-3",
    ]


def test_processes_of_further_devices_take_the_first_one_s_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """They start a moment later, with the first one's environment."""
    first = runs.claim_folder("p", NOW)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert runs.claim_folder("p", NOW + datetime.timedelta(seconds=9)) == first.resolve()
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert runs.claim_folder("p", NOW) != first, "the first process of a later run starts anew"


@pytest.mark.parametrize("variable", ["RANK", "SLURM_PROCID"])
def test_processes_of_a_launcher_claim_nothing(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "3")
    assert runs.claim_folder("p", NOW) == Path("runs/p")
    assert not Path("runs").exists()


def test_peek_finds_flags_then_configs_then_files_that_configs_include() -> None:
    Path("sub").mkdir()
    Path("sub/trainer.yaml").write_text("default_root_dir: deep\nmax_steps: 3\n")
    Path("sub/a.yaml").write_text("trainer: trainer.yaml\nckpt_path: from_a\n")
    Path("b.yaml").write_text("ckpt_path: from_b\n")
    configs = ["--config", "sub/a.yaml"]
    assert runs.peek(configs, "trainer.default_root_dir") == "deep"
    assert runs.peek([*configs, "--config=b.yaml"], "ckpt_path") == "from_b"
    assert runs.peek([*configs, "--config=b.yaml", "--ckpt_path", "x", "--ckpt_path=y"], "ckpt_path") == "y"
    assert runs.peek(configs, "trainer.max_steps") is None, "only texts are asked for"
    assert runs.peek(configs, "model.nothing") is None
    assert runs.peek(["--config", "gone.yaml"], "ckpt_path") is None, "the parser will say that it is gone"
    Path("broken.yaml").write_text("a: [1\n")
    assert runs.peek(["--config", "broken.yaml"], "ckpt_path") is None


def test_without_removes_both_spellings() -> None:
    arguments = ["--a", "1", "--ckpt_path", "x", "--b", "--ckpt_path=y", "--ckpt_paths=z"]
    assert runs.without(arguments, "ckpt_path") == ["--a", "1", "--b", "--ckpt_paths=z"]


def test_a_run_is_filed_under_its_preset_its_file_or_the_run_that_it_repeats() -> None:
    presets = {"/site/presets/small.yaml": "audio/small"}
    assert runs.preset_label(["--config", "/site/presets/small.yaml", "--config", "x.yaml"], presets) == "audio/small"
    assert runs.preset_label(["--config=folder/x.yaml"], presets) == "x"
    assert runs.preset_label(["--config=runs/audio/small/2026-01-02_03-04-05/config.yaml"], presets) == "audio/small"
    assert runs.preset_label(["--config=elsewhere/config.yaml"], presets) == "config"
    assert runs.preset_label(["--trainer.max_steps=1"], presets) == "unnamed"


def checkpoint(path: str, age: int, **content: object) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(content), file)
    os.utime(file, (1_000_000 - age, 1_000_000 - age))
    return file


def test_last_is_the_newest_and_among_equals_the_one_called_last() -> None:
    checkpoint("runs/p/a/checkpoints/epoch=9.ckpt", age=10)
    older = checkpoint("runs/p/b/checkpoints/epoch=1.ckpt", age=5)
    assert runs.find_checkpoint("last", Path("runs/p")) == older
    last = checkpoint("runs/p/b/checkpoints/last.ckpt", age=5)
    assert runs.find_checkpoint("last", Path("runs/p")) == last
    assert runs.find_checkpoint("last", Path("runs/p/a")).name == "epoch=9.ckpt"


def test_a_sharded_checkpoint_is_a_folder_and_its_files_are_not_checkpoints() -> None:
    checkpoint("runs/p/a/checkpoints/last.ckpt/rank0.ckpt", age=1)
    folder = Path("runs/p/a/checkpoints/last.ckpt")
    os.utime(folder, (999_000, 999_000))
    assert runs.find_checkpoint("last", Path("runs")) == folder
    assert runs.read_checkpoint(folder) == {}


def test_best_is_what_the_newest_run_s_callback_says_even_if_the_run_was_moved() -> None:
    best = checkpoint("runs/p/a/checkpoints/epoch=1.ckpt", age=9)
    for recorded in (str(best.resolve()), "/moved/away/epoch=1.ckpt"):
        state = {"monitor": "val/loss", "best_model_path": recorded}
        checkpoint("runs/p/a/checkpoints/last.ckpt", age=0, callbacks={"ModelCheckpoint{'monitor': 'val/loss'}": state})
        assert runs.find_checkpoint("best", Path("runs")).resolve() == best.resolve()
    best.unlink()
    with pytest.raises(CommandError, match="its best checkpoint is gone; use last or a path"):
        runs.find_checkpoint("best", Path("runs"))


def test_the_run_of_a_checkpoint_is_the_folder_with_its_config() -> None:
    path = checkpoint("runs/p/a/checkpoints/deep/x.ckpt", age=0)
    assert runs.folder_of_checkpoint(path) is None
    Path("runs/p/a/config.yaml").write_text("{}")
    assert runs.folder_of_checkpoint(path) == Path("runs/p/a")


def test_the_stored_config_is_ours_or_lightning_s_hyper_parameters() -> None:
    ours = {"prefalign": {"config": {"model": {"class_path": "a.B"}, "trainer": {"max_steps": 2}}}}
    assert runs.stored_config({**ours, "hyper_parameters": {"_class_path": "x.Y"}}) == ours["prefalign"]["config"]
    foreign = {"hyper_parameters": {"_class_path": "x.Y", "_instantiator": "z", "width": 3}}
    assert runs.stored_config(foreign) == {"model": {"class_path": "x.Y", "init_args": {"width": 3}}}
    assert runs.stored_config({"hyper_parameters": {"width": 3}}) == {}
    assert runs.stored_config({"prefalign": {"config": None}}) == {}


def test_files_are_set_aside_under_the_next_free_number() -> None:
    for text in ("one", "two", "three"):
        runs.set_aside(Path("config.yaml"))
        Path("config.yaml").write_text(text)
    assert [Path(name).read_text() for name in ("config.1.yaml", "config.2.yaml", "config.yaml")] == [
        "one",
        "two",
        "three",
    ]


def test_flatten_names_every_leaf() -> None:
    assert runs.flatten({"a": {"b": 1, "c": {}}, "d": [1, {"e": 2}]}) == {"a.b": 1, "a.c": {}, "d": [1, {"e": 2}]}
