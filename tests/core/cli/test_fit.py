"""The training commands, end to end with a model of five weights. Tests named after rows L4 to L23 cover workarounds.

What Lightning itself does in each of these cases is pinned in test_lightning_facts.py.
"""

import csv
import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.cli import instantiate_module

from prefalign.cli.fit import TrainingCommand, base_classes
from prefalign.cli.main import main

Capture = pytest.CaptureFixture[str]

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch ended"),
]

BETA = ("model", "init_args", "loss", "init_args", "beta")


def fit(*arguments: str, command: str = "fit") -> None:
    assert main([command, "--config", "toy/small", *arguments]) == 0


def only_run(label: str = "toy/small") -> Path:
    (folder,) = (Path("runs") / label).iterdir()
    return folder


def dig(node: Any, *keys: str) -> Any:
    for key in keys:
        node = node[key]
    return node


def config_of(folder: Path, name: str = "config.yaml") -> dict[str, Any]:
    return yaml.safe_load((folder / name).read_text())


def checkpoint_of(folder: Path) -> dict[str, Any]:
    newest = max(folder.glob("checkpoints/*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    return torch.load(newest, weights_only=True)


def printed(capsys: Capture, *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["fit", *arguments, "--print_config"]) == 0
    return yaml.safe_load(capsys.readouterr().out)


# Names ---------------------------------------------------------------------------------------------------------------


def test_l4_short_names_in_yaml_become_class_paths_and_numbers_stay_numbers(toy: Any, capsys: Capture) -> None:
    """Plain YAML would make a text of `1e-3`; jsonargparse's own loader, which ours wraps, does not."""
    config = printed(capsys, "--config", "toy/small")
    assert config["model"]["class_path"] == "prefalign_toy_package.parts.Toy"
    assert config["model"]["init_args"]["loss"]["class_path"] == "prefalign_toy_package.parts.Plain"
    assert config["data"]["class_path"] == "prefalign_toy_package.parts.Ones"
    assert dig(config, *BETA) == 0.001
    assert config["trainer"]["max_steps"] == 2, "the piece that the preset includes by relative path"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model.loss", "toy/square"],
        ["--model.loss=toy/square"],
        ["--model.init_args.loss", "toy/square"],
        ["--model.loss.class_path", "toy/square"],
        ["--model.loss", "{class_path: toy/square}"],
        ['--model.loss={"class_path": "toy/square"}'],
    ],
)
def test_l5_short_names_in_flags_become_class_paths(toy: Any, capsys: Capture, arguments: list[str]) -> None:
    config = printed(capsys, "--config", "toy/small", *arguments)
    assert config["model"]["init_args"]["loss"]["class_path"] == "prefalign_toy_package.parts.Square"


def test_l5_short_names_work_without_any_config_and_in_lists(toy: Any, capsys: Capture) -> None:
    arguments = ["--model", "toy/toy", "--model.loss", "toy/plain", "--trainer.callbacks", "toy/listener"]
    config = printed(capsys, *arguments, "--trainer.callbacks+=toy/listener")
    listener = "prefalign_toy_package.parts.Listener"
    assert [callback["class_path"] for callback in config["trainer"]["callbacks"]] == [listener, listener]


def test_a_folder_or_hub_name_that_looks_like_a_short_name_is_left_alone(toy: Any, capsys: Capture) -> None:
    config = printed(capsys, "--config", "toy/small", "--model.note", "toy/clips")
    assert config["model"]["init_args"]["note"] == "toy/clips"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model.loss", "toy/plian"], "there is no component 'toy/plian'; did you mean toy/plain"),
        (["--model.loss.class_path", "toy/plian"], "there is no component 'toy/plian'; did you mean toy/plain"),
        (["--model.loss", "audio/clap"], "plugin 'audio' is not installed; get it with: pip install prefalign-audio"),
        (["--config", "toy/smal"], "there is no preset and no file 'toy/smal'; did you mean toy/small"),
        (["--config", "more.yaml"], "there is no component 'toy/skwere'; did you mean toy/square"),
        (["--config", "strict.yaml"], "there is no component 'toy/skwere'; did you mean toy/square"),
        (["--config", "gone.yaml"], 'Parser key "config": File does not exist'),
    ],
)
def test_a_name_that_nothing_has_is_one_clean_error(
    toy: Any, capsys: Capture, arguments: list[str], message: str
) -> None:
    Path("more.yaml").write_text("model:\n  init_args:\n    loss: toy/skwere\n")
    Path("strict.yaml").write_text("model:\n  init_args:\n    loss:\n      class_path: toy/skwere\n")
    assert main(["fit", "--config", "toy/small", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {message}")
    assert "Traceback" not in err


def test_a_config_that_needs_a_broken_plugin_fails_with_that_plugin_s_error(toy: Any, capsys: Capture) -> None:
    toy.add("bad", "1 / 0\n")
    toy.registry()
    for arguments in (["--model.loss", "bad/loss"], ["--config", "bad/preset"], ["--model.loss.class_path=bad/loss"]):
        assert main(["fit", "--config", "toy/small", *arguments]) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: plugin 'bad' (prefalign-bad 1.0) is broken: ZeroDivisionError")
        assert "prefalign_bad_package/plugin.py" in err
    assert printed(capsys, "--config", "toy/small"), "everything else goes on working"


# Order and errors ----------------------------------------------------------------------------------------------------


def test_l6_what_is_typed_wins_wherever_the_config_stands(toy: Any, capsys: Capture) -> None:
    assert main(["fit", "--model.loss.beta", "0.9", "--config", "toy/small", "--print_config"]) == 0
    out, err = capsys.readouterr()
    assert dig(yaml.safe_load(out), *BETA) == 0.9
    assert "note: --config is read before the flags, wherever it stands: what is typed wins" in err
    Path("mine.yaml").write_text("trainer:\n  max_steps: 7\n")
    config = printed(capsys, "--trainer.min_steps=3", "-c", "toy/small", "--config=mine.yaml")
    assert (config["trainer"]["max_steps"], config["trainer"]["min_steps"]) == (7, 3)
    assert config["trainer"]["accelerator"] == "cpu", "several configs are merged, the later one wins"


@pytest.mark.parametrize(
    ("arguments", "first_lines"),
    [
        (
            ["--trainer.max_step", "7"],
            "error: unrecognized arguments: --trainer.max_step 7; did you mean --trainer.max_steps",
        ),
        (["--trainer.max_steps", "many"], 'error: Parser key "trainer.max_steps":'),
        (["--model.loss.bet", "0.7"], 'error: Parser key "model":'),
    ],
)
def test_l23_an_error_stands_alone(toy: Any, capsys: Capture, arguments: list[str], first_lines: str) -> None:
    assert main(["fit", "--config", "toy/small", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(first_lines)
    assert "usage" not in err
    assert len(err.splitlines()) < 15


def test_l23_a_missing_model_is_named(toy: Any, capsys: Capture) -> None:
    assert main(["fit"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: the following arguments are required: fit.model\n")
    assert "`prefalign presets` configs to start from" in err


def test_bad_input_before_training_is_one_line_and_a_failure_during_it_a_traceback(toy: Any, capsys: Capture) -> None:
    assert main(["fit", "--config", "toy/small", "--model.fails", "early"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: toy: told to fail early"
    with pytest.raises(ValueError, match="toy: told to fail late"):
        fit("--model.fails", "late")
    with pytest.raises(ValueError, match="toy: told to fail early"):
        fit("--model.fails", "early", "--debug")


def test_a_trainer_setting_that_lightning_refuses_is_one_line(toy: Any, capsys: Capture) -> None:
    assert main(["fit", "--config", "toy/small", "--trainer.val_check_interval", "2.5"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: You have passed invalid value 2.5")


# What a run is and leaves behind -------------------------------------------------------------------------------------


def test_a_run_leaves_its_config_card_logs_and_checkpoint(toy: Any) -> None:
    fit("--model.loss.beta=0.5")
    folder = only_run()
    config = config_of(folder)
    assert config["seed_everything"] == 0
    assert config["model"]["class_path"] == "prefalign_toy_package.parts.Toy", "full paths, so that it runs without us"
    assert dig(config, *BETA) == 0.5
    assert config["trainer"]["default_root_dir"] is None, "the saved config starts a new run elsewhere"
    card = json.loads((folder / "run.json").read_text())
    assert card["components"] == ["toy/ones", "toy/plain", "toy/toy"]
    assert card["facts"] == {"toy": {"steps": 2, "components": ["toy/ones", "toy/plain", "toy/toy"]}}
    assert card["plugins"] == {"core": "0.1.0", "toy": "1.0"}
    assert card["versions"]["torch"] == torch.__version__
    assert card["command"].endswith("--model.loss.beta=0.5")
    rows = (folder / "csv/version_0/metrics.csv").read_text().splitlines()
    assert len(rows) == 3, "a header and two steps"
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    assert len(list(folder.glob("checkpoints/*.ckpt"))) == 1


def test_prefalign_describe_run_is_called_once_and_before_anything_is_built(toy: Any, capsys: Capture) -> None:
    source = toy.folder / "prefalign_toy_package" / "plugin.py"
    marker = 'print("described", "prefalign_toy_package.parts" in __import__("sys").modules and "built" or "")'
    source.write_text(source.read_text().replace('    return {"steps"', f'    {marker}\n    return {{"steps"'))
    toy.registry()
    assert main(["fit", "--config", "toy/small", "--model.fails", "early"]) == 2
    assert capsys.readouterr().out.count("described") == 1


def test_the_saved_config_repeats_the_run(toy: Any, capsys: Capture) -> None:
    fit("--model.loss.beta", "0.5", "--model.note", "x: [y")
    first = only_run()
    assert main(["fit", "--config", str(first / "config.yaml")]) == 0
    second = next(folder for folder in first.parent.iterdir() if folder != first)
    assert config_of(second) == config_of(first)
    one, two = (checkpoint_of(folder)["state_dict"]["layer.weight"] for folder in (first, second))
    assert torch.equal(one, two)


def test_l15_every_run_has_a_folder_of_its_own(toy: Any, capsys: Capture) -> None:
    fit()
    fit()
    Path("mine.yaml").write_text("model: {class_path: toy/toy, init_args: {loss: toy/plain}}\n")
    flags = [
        "--trainer.max_steps=1",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        "--data=toy/ones",
    ]
    flags.append("--trainer.log_every_n_steps=1")
    assert main(["fit", "--config", "mine.yaml", *flags]) == 0
    assert len(list(Path("runs/toy/small").iterdir())) == 2
    assert len(list(Path("runs/mine").iterdir())) == 1


def test_l15_a_folder_that_holds_a_run_is_not_overwritten(toy: Any, capsys: Capture) -> None:
    fit("--trainer.default_root_dir", "here")
    before = Path("here/config.yaml").read_text()
    assert main(["fit", "--config", "toy/small", "--trainer.default_root_dir", "here"]) == 2
    assert "here holds an earlier run; continue it with --ckpt_path last" in capsys.readouterr().err
    assert Path("here/config.yaml").read_text() == before
    assert not Path("runs").exists()


def test_loggers_and_progress_bar_are_the_config_s_to_change(toy: Any) -> None:
    fit("--trainer.logger=false")
    folder = only_run()
    assert (folder / "config.yaml").is_file()
    assert len(list(folder.glob("checkpoints/*.ckpt"))) == 1
    assert not list(folder.glob("events*"))
    assert not (folder / "csv").exists()
    fit("--trainer.logger=CSVLogger", "--trainer.logger.save_dir=logs", "--trainer.default_root_dir=other")
    assert Path("logs/lightning_logs/version_0/metrics.csv").is_file()
    assert Path("other/config.yaml").is_file()


def test_the_default_progress_bar_is_rich(toy: Any) -> None:
    command = build(toy, "--trainer.enable_progress_bar=true", "--trainer.max_steps=0")
    assert any(isinstance(callback, RichProgressBar) for callback in command.trainer.callbacks)


def test_a_trial_run_writes_nothing(toy: Any) -> None:
    fit("--trainer.fast_dev_run=true")
    assert list(Path().iterdir()) == []


def test_a_barebones_run_writes_nothing(toy: Any) -> None:
    with pytest.warns(UserWarning, match="barebones"):
        fit("--trainer.barebones=true", "--trainer.log_every_n_steps=null")
    assert list(Path().iterdir()) == []


@pytest.mark.slow
def test_two_processes_share_one_run_folder(toy: Any) -> None:
    """The second process is started from sys.argv, by which time the clock says something else."""
    arguments = ["fit", "--trainer.devices=2", "--trainer.strategy=ddp", "--config", "toy/small"]
    script = "import sys; from prefalign.cli.main import main; sys.exit(main())"
    Path("script.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(toy.folder), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "script.py", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    folder = only_run()
    assert len(list(folder.glob("checkpoints/*.ckpt"))) == 1
    assert json.loads((folder / "run.json").read_text())["command"].startswith("script.py fit --config ")


def test_print_config_and_help_write_nothing(toy: Any, capsys: Capture) -> None:
    printed(capsys, "--config", "toy/small")
    assert main(["fit", "--help"]) == 0
    assert "--ckpt_path" in capsys.readouterr().out
    assert main(["fit", "--model.help", "toy/toy"]) == 0
    assert "--model.width WIDTH" in capsys.readouterr().out
    assert list(Path().iterdir()) == []


def test_advertisements_are_hidden_and_other_messages_are_not(toy: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        fit()
    text = caplog.text
    assert "`Trainer.fit` stopped: `max_steps=2` reached." in text
    assert "litlogger" not in text
    assert "litmodels" not in text


def test_the_arguments_of_the_process_are_put_back(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning starts the processes of further devices from sys.argv, so it must say what runs while it runs."""
    monkeypatch.setattr(sys, "argv", ["prefalign", "unrelated"])
    fit("--trainer.fast_dev_run=true")
    assert sys.argv == ["prefalign", "unrelated"]


def build(toy: Any, *arguments: str) -> TrainingCommand:
    before = sys.argv
    try:
        return TrainingCommand("fit", ["--config", "toy/small", *arguments], *base_classes())
    finally:
        sys.argv = before


def test_l19_only_the_requested_parser_is_built(toy: Any) -> None:
    command = build(toy, "--trainer.fast_dev_run=true")
    assert list(command._subcommand_parsers) == ["fit"]


def test_l12_nothing_is_linked_so_that_checkpoints_hold_every_value(toy: Any) -> None:
    command = build(toy, "--model.width=4")
    for parser in (command.parser, *command._subcommand_parsers.values()):
        assert getattr(parser, "_links_group", None) is None
    stored = checkpoint_of(only_run())["prefalign"]["config"]["model"]
    expected = {"beta": 0.001}
    assert stored["init_args"]["loss"] == {"class_path": "prefalign_toy_package.parts.Plain", "init_args": expected}
    assert (stored["init_args"]["width"], stored["init_args"]["note"]) == (4, "")


def test_l13_a_checkpoint_alone_rebuilds_the_module(toy: Any) -> None:
    """The module is handed its config after it was built, whatever it does with save_hyperparameters()."""
    fit("--model.loss", "toy/square", "--model.loss.power", "5")
    checkpoint = checkpoint_of(only_run())
    model = checkpoint["prefalign"]["config"]["model"]
    rebuilt = instantiate_module(LightningModule, {"_class_path": model["class_path"], **model["init_args"]})
    assert rebuilt.loss.power == 5
    rebuilt.load_state_dict(checkpoint["state_dict"])


# Going on ------------------------------------------------------------------------------------------------------------


def test_l14_what_is_typed_beats_the_checkpoint(toy: Any, capsys: Capture) -> None:
    fit("--model.loss.beta", "0.2", "--model.note", "first")
    capsys.readouterr()
    fit("--ckpt_path", "last", "--trainer.max_steps", "4", "--model.loss.beta", "0.9")
    err = capsys.readouterr().err
    assert "note: model.init_args.loss.init_args.beta is 0.9, in the checkpoint it was 0.2\n" in err
    folder = only_run()
    config = config_of(folder)
    assert dig(config, *BETA) == 0.9
    assert config["model"]["init_args"]["note"] == "first", "what nobody mentions is as it was"
    assert checkpoint_of(folder)["global_step"] == 4


def test_l14_a_run_goes_on_without_its_config(toy: Any, capsys: Capture) -> None:
    fit("--model.loss", "toy/square", "--model.loss.power", "3", "--data.size", "8", "--trainer.max_epochs", "5")
    assert main(["fit", "--ckpt_path", "last", "--trainer.max_steps", "3"]) == 0
    config = config_of(only_run())
    loss = config["model"]["init_args"]["loss"]
    assert (loss["class_path"], loss["init_args"]["power"]) == ("prefalign_toy_package.parts.Square", 3)
    assert config["data"]["init_args"]["size"] == 8
    assert (config["trainer"]["max_epochs"], config["trainer"]["max_steps"]) == (5, 3)


def test_l14_values_that_a_new_class_does_not_have_are_dropped(toy: Any) -> None:
    fit("--model.loss", "toy/square", "--model.loss.power", "3", "--model.loss.beta", "0.7")
    assert main(["fit", "--ckpt_path", "last", "--trainer.max_steps", "3", "--model.loss", "toy/plain"]) == 0
    loss = config_of(only_run())["model"]["init_args"]["loss"]
    assert loss == {"class_path": "prefalign_toy_package.parts.Plain", "init_args": {"beta": 0.7}}


def test_going_on_keeps_the_folder_and_everything_in_it(toy: Any) -> None:
    fit("--model.note", "one", "--data.size", "20")
    fit("--ckpt_path=last", "--trainer.max_steps=4", "--model.note", "two")
    fit("--ckpt_path=last", "--trainer.max_steps=6", "--model.note", "three")
    folder = only_run()
    notes = [config_of(folder, f"config{n}.yaml")["model"]["init_args"]["note"] for n in (".1", ".2", "")]
    assert notes == ["one", "two", "three"]
    cards = [json.loads((folder / f"run{n}.json").read_text())["checkpoint"] for n in (".1", ".2", "")]
    assert cards[0] is None
    assert [Path(card).name for card in cards[1:]] == ["epoch=0-step=2.ckpt", "epoch=0-step=4.ckpt"]
    steps = []
    for n in range(3):
        with (folder / f"csv/version_{n}/metrics.csv").open() as file:
            steps.append([row["step"] for row in csv.DictReader(file) if row["train/loss"]])
    assert steps == [["0", "1"], ["2", "3"], ["4", "5"]], "each start's metrics are kept"


def test_best_is_the_best_of_the_newest_run(toy: Any, capsys: Capture) -> None:
    checkpoint = [
        "--trainer.callbacks+=ModelCheckpoint",
        "--trainer.callbacks.monitor=val/loss",
        "--trainer.callbacks.mode=max",
        "--trainer.callbacks.save_top_k=1",
        "--trainer.callbacks.save_last=true",
    ]
    fit("--trainer.max_steps=8", "--model.loss.beta=1.0", *checkpoint)
    (best,) = only_run().glob("checkpoints/epoch=*.ckpt")
    assert "epoch=0" in best.name, "the loss falls, so its maximum is after the first epoch"
    # The rank of files by time does not matter to it.
    fit("--ckpt_path", "best", command="test")
    card = json.loads((only_run() / "test.json").read_text())
    assert Path(card["checkpoint"]).resolve() == best.resolve()


def test_best_of_a_run_that_monitored_nothing_is_an_error(toy: Any, capsys: Capture) -> None:
    fit()
    assert main(["test", "--config", "toy/small", "--ckpt_path", "best"]) == 2
    assert "its ModelCheckpoint has no `monitor`; use last or a path" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_evaluation_writes_beside_the_run_that_it_evaluates(toy: Any, capsys: Capture, command: str) -> None:
    fit()
    before = config_of(only_run())
    fit("--ckpt_path", "last", command=command)
    folder = only_run()
    assert config_of(folder) == before
    assert not (folder / "config.1.yaml").exists()
    assert config_of(folder, f"{command}.yaml")["ckpt_path"].endswith("step=2.ckpt")
    assert (folder / f"{command}.json").is_file()


def test_a_checkpoint_is_found_through_the_config_too(toy: Any) -> None:
    fit()
    Path("more.yaml").write_text("ckpt_path: last\ntrainer: {max_steps: 3}\n")
    fit("--config", "more.yaml")
    assert checkpoint_of(only_run())["global_step"] == 3


def test_a_missing_checkpoint_is_an_error(toy: Any, capsys: Capture) -> None:
    assert main(["fit", "--config", "toy/small", "--ckpt_path", "last"]) == 2
    assert "error: --ckpt_path last: no checkpoint below runs/toy/small" in capsys.readouterr().err
    assert main(["fit", "--config", "toy/small", "--ckpt_path", "lasst"]) == 2
    assert "there is no checkpoint 'lasst'; expected last, best or an existing path" in capsys.readouterr().err


class Bomb:
    """Writes a file when it is unpickled by a reader that trusts everything."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("exploded", "w"))


@pytest.mark.parametrize("kind", ["torch", "pickle", "text", "list"])
def test_a_hostile_or_foreign_checkpoint_is_refused(toy: Any, capsys: Capture, kind: str) -> None:
    if kind == "torch":
        torch.save({"state_dict": {}, "x": Bomb()}, "x.ckpt")
    elif kind == "pickle":
        Path("x.ckpt").write_bytes(pickle.dumps(Bomb()))
    elif kind == "list":
        torch.save([1, 2], "x.ckpt")
    else:
        Path("x.ckpt").write_text("hello")
    assert main(["fit", "--config", "toy/small", "--ckpt_path", "x.ckpt"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: --ckpt_path: x.ckpt ")
    assert not Path("exploded").exists()


# Defaults ------------------------------------------------------------------------------------------------------------


def test_our_data_module_is_the_default(toy: Any, capsys: Capture) -> None:
    flags = ["--model", "toy/toy", "--model.loss", "toy/plain", "--data.train", "x.jsonl", "--data.batch_size=3"]
    config = printed(capsys, *flags)
    assert config["data"]["class_path"] == "prefalign.data.module.PreferenceDataModule"
    assert (config["data"]["init_args"]["train"], config["data"]["init_args"]["batch_size"]) == ("x.jsonl", 3)
    Path("short.yaml").write_text("data:\n  init_args:\n    train: y.jsonl\n")
    config = printed(capsys, *flags[:4], "--config", "short.yaml")
    assert config["data"]["class_path"] == "prefalign.data.module.PreferenceDataModule"
    assert config["data"]["init_args"]["train"] == "y.jsonl"


def test_a_model_that_is_none_of_ours_is_refused(toy: Any, capsys: Capture) -> None:
    """Lightning's demo module is importable and is a LightningModule, but it knows no policy and no objective."""
    assert main(["fit", "--model", "lightning.pytorch.demos.boring_classes.BoringModel"]) == 2
    assert "BoringModel" in capsys.readouterr().err
