"""What Lightning and jsonargparse do by themselves in the cases that prefalign/cli/fit.py works around.

Each test describes the upstream behaviour that makes a workaround necessary. One that fails is good news: look whether
the workaround of the same number can go, and its test in test_fit.py stay.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import get_loader
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI
from torch.utils.data import DataLoader

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch ended"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
    pytest.mark.filterwarnings("ignore:Attribute '(loss|head)' is an instance of"),
]

QUIET = [
    "--trainer.accelerator=cpu",
    "--trainer.max_steps=1",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]
HERE = __name__
LOSS = {"class_path": f"{HERE}.Loss", "init_args": {"beta": 0.2}}


class Loss(torch.nn.Module):
    def __init__(self, beta: float = 0.1) -> None:
        super().__init__()
        self.beta = beta


class Head(torch.nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(width, 1)


class Model(LightningModule):
    def __init__(self, loss: Loss, head: Head | None = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.loss, self.head = loss, head or Head()

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.head.layer(batch).mean() * self.loss.beta

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Ignoring(Model):
    def __init__(self, loss: Loss) -> None:
        LightningModule.__init__(self)
        self.save_hyperparameters(ignore=["loss"])
        self.loss, self.head = loss, Head()


class Data(LightningDataModule):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.width = width

    def train_dataloader(self) -> DataLoader:
        return DataLoader(torch.ones(4, self.width))


class Linked(LightningCLI):
    def add_arguments_to_parser(self, parser: Any) -> None:
        parser.link_arguments("data.init_args.width", "model.init_args.head.init_args.width")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cli"])


def cli(*arguments: str, kind: type[LightningCLI] = LightningCLI, **options: Any) -> LightningCLI:
    return kind(
        LightningModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        auto_configure_optimizers=False,
        seed_everything_default=0,
        args=[*arguments],
        **options,
    )


def write_config(**model: Any) -> str:
    """A config of `Model`, with what `model` changes in it."""
    content = {
        "model": {"class_path": f"{HERE}.Model", "init_args": {"loss": LOSS}, **model},
        "data": {"class_path": f"{HERE}.Data"},
    }
    Path("c.yaml").write_text(yaml.safe_dump(content))
    return "--config=c.yaml"


def train(*arguments: str, **options: Any) -> LightningCLI:
    return cli("fit", write_config(), *QUIET, *arguments, **options)


def only_checkpoint() -> Path:
    (path,) = Path().rglob("*.ckpt")
    return path


def test_l4_plain_yaml_reads_a_number_without_a_point_as_text() -> None:
    """Why our loader wraps jsonargparse's instead of calling yaml itself."""
    assert yaml.safe_load("1e-3") == "1e-3"
    assert get_loader("yaml")("1e-3") == 0.001


def test_l5_a_class_given_by_flag_does_not_pass_the_yaml_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why short names are replaced in the arguments as well."""
    from jsonargparse import set_loader

    usual = get_loader("yaml")
    set_loader("shouting", lambda text: f"{HERE}.Loss" if text == "loss" else usual(text), (yaml.YAMLError,))
    options = {"run": False, "parser_kwargs": {"parser_mode": "shouting"}}
    arguments = [write_config(), "--model.loss", "loss"]
    with pytest.raises(SystemExit):
        cli(*arguments, **options)


def test_l6_a_config_read_late_overwrites_flags_without_a_word() -> None:
    config = write_config()
    before = cli(config, "--model.loss.beta=0.9", run=False)
    after = cli("--model", f"{HERE}.Model", f"--model.loss={HERE}.Loss", "--model.loss.beta=0.9", config, run=False)
    assert before.model.loss.beta == 0.9
    assert after.model.loss.beta == 0.2


def test_l12_a_value_linked_into_nested_arguments_is_missing_from_the_checkpoint() -> None:
    head = {"class_path": f"{HERE}.Head"}
    config = write_config(init_args={"loss": LOSS, "head": head})
    linked = cli("fit", config, "--data.width=6", *QUIET, kind=Linked)
    assert linked.model.head.layer.in_features == 6
    stored = torch.load(only_checkpoint(), weights_only=True)["hyper_parameters"]
    assert stored["head"].get("init_args", {}).get("width") != 6
    with pytest.raises(RuntimeError, match="size mismatch"):
        Model.load_from_checkpoint(only_checkpoint())


def test_l13_ignoring_a_module_argument_makes_the_checkpoint_unloadable() -> None:
    """Lightning's own warning recommends `ignore` for arguments that are modules."""
    cli("fit", write_config(class_path=f"{HERE}.Ignoring"), *QUIET)
    with pytest.raises(argparse.ArgumentError, match=r"required: module\.loss"):
        Ignoring.load_from_checkpoint(only_checkpoint())


def test_l14_values_of_the_checkpoint_overwrite_what_is_typed() -> None:
    train()
    resumed = train("--model.loss.beta=0.9", "--trainer.max_steps=2", f"--ckpt_path={only_checkpoint()}")
    assert resumed.model.loss.beta == 0.2


def test_l15_a_second_run_in_the_same_folder_aborts() -> None:
    train("--trainer.logger=false", "--trainer.default_root_dir=here")
    with pytest.raises(RuntimeError, match=r"expected .*config.yaml to NOT exist"):
        train("--trainer.logger=false", "--trainer.default_root_dir=here")


def test_l15_the_csv_logger_deletes_what_an_earlier_start_wrote(tmp_path: Path) -> None:
    """Why each start of a run has a version of its own below csv/."""
    from lightning.pytorch.loggers import CSVLogger

    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "metrics.csv").write_text("step,loss\n0,1.0\n")
    with pytest.warns(UserWarning, match="will be deleted"):
        CSVLogger(str(tmp_path), name="csv", version="").experiment.log_metrics({"loss": 2.0}, step=0)
    assert not (tmp_path / "csv" / "metrics.csv").exists()


def test_l16_arguments_given_from_python_warn_when_there_is_a_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["cli", "fit"])
    with pytest.warns(UserWarning, match="not recommended to provide both args and command line"):
        cli(write_config(), run=False)


def test_l19_every_sub_command_s_parser_is_built() -> None:
    assert len(train("--trainer.fast_dev_run=true")._subcommand_parsers) == 4


def test_l23_errors_come_behind_the_usage_of_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train("--trainer.max_step=x")
    err = capsys.readouterr().err
    assert err.startswith("usage:")
    assert len(err.splitlines()) > 20


def test_an_abbreviated_flag_is_accepted() -> None:
    """Why abbreviations are switched off: `--conf` would escape configs_first()."""
    assert cli("--conf=c.yaml", write_config(), run=False).model.loss.beta == 0.2


def test_what_a_constructor_raises_is_wrapped_in_an_error_about_types() -> None:
    """Why own_cause() looks for the reason: `Subtypes: [...]` says nothing to a user."""
    Path("r.py").write_text("")
    with pytest.raises(ValueError, match="Does not validate against any of the Union subtypes") as caught:
        cli(write_config(class_path=f"{HERE}.Refusing"), run=False)
    assert "nothing pleases me" in str(caught.value)


class Refusing(Model):
    def __init__(self, loss: Loss) -> None:
        super().__init__(loss)
        raise ValueError("nothing pleases me")


def test_two_advertisements_are_logged_in_every_run(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    filters, logger.filters = logger.filters, []  # ours may be there from another test
    try:
        with caplog.at_level(logging.INFO, logger=logger.name):
            train()
    finally:
        logger.filters = filters
    assert "litlogger" in caplog.text
    assert "litmodels" in caplog.text
