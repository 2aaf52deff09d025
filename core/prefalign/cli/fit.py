"""`fit`, `validate`, `test` and `predict`: Lightning's command line with the corners taken off that hurt.

The numbers L4 to L23 name facts about Lightning 2.6 and jsonargparse 4 that `tests/core/cli/test_lightning_facts.py`
pins down; a test there fails when upstream changes, so that the workaround can go.

* L4, L5: short names are replaced while YAML is read, and in the arguments before they are parsed.
* L6: a config read after a flag would overwrite it, so configs are read first.
* L12: nothing is linked into nested `init_args`, whose values would be missing from checkpoints.
* L13, L14: the resolved config travels in the checkpoint; on resumption its values are defaults, so what is typed wins.
* L15: every run has a folder of its own.
* L19: only the parser of the requested sub-command is built.
* L23: an error is printed alone, without the usage of a hundred options.
"""

import json
import logging
import os
import platform
import re
import shlex
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import get_loader, set_loader
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from prefalign.cli import runs
from prefalign.cli.errors import CommandError, debugging, mark_started, own_cause, print_error
from prefalign.cli.names import NameResolver, config_values, configs_first
from prefalign.hooks.errors import nearest
from prefalign.hooks.presets import list_presets
from prefalign.hooks.registry import get_registry

PARSER_MODE = "prefalign"
PARSER_OPTIONS = {"parser_mode": PARSER_MODE, "allow_abbrev": False}
# Sections of a checkpoint's config that become defaults; `ckpt_path` and the like belong to the run that is over.
RESUMED_SECTIONS = ("seed_everything", "trainer", "model", "data")


def main(arguments: list[str]) -> int:
    """Run one sub-command; `arguments` starts with its name.

    Raises:
        ValueError: The input is wrong; the outer command prints it.
    """
    model_class, data_class = base_classes()
    try:
        TrainingCommand(arguments[0], arguments[1:], model_class, data_class)
    finally:
        os.environ.pop(runs.FOLDER_VARIABLE, None)
    return 0


def base_classes() -> tuple[type[LightningModule], type[LightningDataModule]]:
    """The classes whose sub-classes a config may name as `model` and `data`."""
    from prefalign.data.module import PreferenceDataModule
    from prefalign.training.module import PreferenceModule

    return PreferenceModule, PreferenceDataModule


class ShortErrorParser(LightningArgumentParser):
    """A parser that prints what is wrong and nothing else (L23).

    jsonargparse builds further parsers of this class for nested values; those raise instead of printing.
    """

    names: NameResolver | None = None

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message as one `error:` block and exit with code 2."""
        if self.names is None or not self.exit_on_error:
            super().error(message, ex)  # raises
        elif debugging() and ex is not None:
            raise ex
        elif (reason := self.names.reason_for(message)) is not None:
            print_error(reason)
        else:
            print_error(CommandError(message + self._near_flags(message)))
            command = f"{Path(sys.argv[0]).name} {' '.join(sys.argv[1:2])}"
            print(f"(`{command} --help` lists options, `prefalign presets` configs to start from)", file=sys.stderr)
        raise SystemExit(2)

    def _near_flags(self, message: str) -> str:
        unknown = re.search(r"unrecognized arguments: (--[\w.]+)", message)
        if unknown is None:
            return ""
        parsers = [self, *(p for action in self._actions for p in getattr(action, "_name_parser_map", {}).values())]
        near = nearest(unknown[1], {flag for parser in parsers for flag in parser._option_string_actions})
        return f"; did you mean {' or '.join(near)}?" if near else ""


class RunRecord(SaveConfigCallback):
    """Writes the resolved config and the run's card into the run's folder.

    Files of an earlier start in the same folder are set aside under a number.
    """

    def __init__(self, parser: Any, config: Any, folder: Path, filename: str, card: dict[str, Any]) -> None:
        super().__init__(parser, config, config_filename=filename, save_to_log_dir=False)
        self.folder, self.card = folder, card

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write both files; Lightning calls this on the first process only."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config_file = self.folder / self.config_filename
        card_file = config_file.with_name("run.json" if config_file.stem == "config" else f"{config_file.stem}.json")
        for file in (config_file, card_file):
            runs.set_aside(file)
        self.parser.save(self.config, config_file, skip_none=False, overwrite=False, multifile=False)
        card_file.write_text(json.dumps(self.card, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


class MarkStart(Callback):
    """Notes when work on data begins: from there on an error is no longer a matter of input alone."""

    def on_train_batch_start(self, *_: Any) -> None:
        """Note it."""
        mark_started()


class TrainingCommand(LightningCLI):
    """One sub-command of the Trainer, parsed from arguments and run.

    Args:
        subcommand: `fit`, `validate`, `test` or `predict`.
        arguments: what follows the sub-command; short names, presets and `--config` in any place are welcome.
        model_class: base of what `model` may be.
        data_class: base of what `data` may be, and what it is if the config does not say.

    Raises:
        ValueError: The input is wrong; see the message.
        SystemExit: With code 2 after the parser has printed what is wrong, with 0 after `--help` and `--print_config`.
    """

    def __init__(
        self,
        subcommand: str,
        arguments: list[str],
        model_class: type[LightningModule],
        data_class: type[LightningDataModule],
    ) -> None:
        registry = get_registry()
        self._only = subcommand
        self._names = NameResolver(registry)
        arguments, moved = configs_first(self._names.arguments(arguments))
        if moved:
            _note("--config is read before the flags, wherever it stands: what is typed wins")
        presets = {str(preset.path): preset.name for preset in list_presets(registry)}
        self._label = runs.preset_label(arguments, presets)
        self._checkpoint, arguments = _with_checkpoint(arguments, self._label)
        content = runs.read_checkpoint(self._checkpoint) if self._checkpoint else {}
        self._stored = runs.stored_config(content)
        self.run_folder: Path | None = None
        self.run_facts: dict[str, dict[str, Any]] = {}
        _install_loader(self._names)
        _hide_advertisements()
        # Lightning starts further processes from sys.argv and warns about arguments given in any other way (L16).
        sys.argv = [sys.argv[0], subcommand, *arguments]
        super().__init__(
            model_class,
            data_class,
            save_config_callback=RunRecord,
            seed_everything_default=0,
            # An abbreviated flag may mean another one tomorrow, and configs_first() would not know `--conf`.
            parser_kwargs={**PARSER_OPTIONS, subcommand: dict(PARSER_OPTIONS)},
            parser_class=ShortErrorParser,
            subclass_mode_model=True,
            subclass_mode_data=True,
            # The optimiser is an argument of the module, which knows what it trains.
            auto_configure_optimizers=False,
        )

    def subcommands(self) -> dict[str, set[str]]:
        """Only the requested one: building a parser takes a third of a second (L19)."""
        return {self._only: super().subcommands()[self._only]}

    def init_parser(self, **kwargs: Any) -> ShortErrorParser:
        """Let the parser explain short names."""
        parser: ShortErrorParser = super().init_parser(**kwargs)
        parser.names = self._names
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Set defaults: our data module, and on resumption what the checkpoint's run used (L14)."""
        data_class = self._datamodule_class
        defaults: dict[str, Any] = {"data": {"class_path": f"{data_class.__module__}.{data_class.__qualname__}"}}
        stored = {
            section: self._stored[section] for section in RESUMED_SECTIONS if self._stored.get(section) is not None
        }
        settings = stored.pop("trainer", {})
        known = vars(parser.get_defaults().trainer) if settings else {}
        defaults.update({f"trainer.{key}": value for key, value in settings.items() if key in known})
        parser.set_defaults({**defaults, **stored})

    def _parse_ckpt_path(self) -> None:
        """Say where this run departs from the checkpoint; Lightning would overwrite what was typed here (L14)."""
        if self._stored.get("model"):
            before = runs.flatten(self._stored["model"])
            self._dump_config()
            for key, value in runs.flatten(self.config_dump["model"]).items():
                if key in before and before[key] != value:
                    _note(f"model.{key} is {value!r}, in the checkpoint it was {before[key]!r}")
            del self.config_dump  # it is made again once the seed is known

    def before_instantiate_classes(self) -> None:
        """Ask plugins for facts about the run."""
        self._dump_config()
        if rank_zero_only.rank == 0:
            self.run_facts = get_registry().describe_run(self.config_dump, self._names.aliases_in(self.config_dump))

    def instantiate_classes(self) -> None:
        """Build module, data and Trainer; what their constructors refuse is raised as they worded it."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            cause = own_cause(error)
            if cause is error:
                raise
            raise cause from None

    def after_instantiate_classes(self) -> None:
        """Hand the module the config that checkpoints store (L13)."""
        self.model.run_config = self.config_dump

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the Trainer in the run's folder, with TensorBoard and CSV logs unless the config says otherwise."""
        settings = self._get(self.config_init, "trainer")
        if settings.fast_dev_run or settings.barebones:
            self.save_config_callback = None
            return super().instantiate_trainer(**kwargs)
        self.run_folder = folder = self._choose_folder(settings.default_root_dir)
        if settings.logger in (None, True):
            kwargs["logger"] = default_loggers(folder)
        self.save_config_kwargs = {
            "folder": folder,
            "filename": "config.yaml" if self._only == "fit" else f"{self._only}.yaml",
            "card": self._card(),
        }
        return super().instantiate_trainer(default_root_dir=str(folder), **kwargs)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        return super()._instantiate_trainer(config, [*callbacks, MarkStart()])

    def _choose_folder(self, wanted: str | None) -> Path:
        if wanted is not None:
            folder = Path(wanted)
            # Further processes of the same run find the first one's config there.
            taken = self._only == "fit" and (folder / "config.yaml").is_file() and rank_zero_only.rank == 0
            if taken and self._checkpoint is None:
                raise CommandError(
                    f"trainer.default_root_dir: {folder} holds an earlier run; continue it with --ckpt_path last,"
                    " or choose another folder"
                )
            return folder
        resumed = runs.folder_of_checkpoint(self._checkpoint) if self._checkpoint else None
        return resumed or runs.claim_folder(self._label)

    def _card(self) -> dict[str, Any]:
        libraries = ("prefalign", "torch", "lightning", "transformers", "peft")
        return {
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "checkpoint": str(self._checkpoint) if self._checkpoint else None,
            "components": list(self._names.aliases_in(self.config_dump)),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in libraries}},
            "plugins": {plugin.name: plugin.version for plugin in get_registry().usable},
            "facts": self.run_facts,
        }


def default_loggers(folder: Path) -> list[Logger]:
    """TensorBoard in the run's folder itself, and a CSV file per start of the run below `csv/`.

    The CSV logger deletes what an earlier start wrote unless each has its own version.
    """
    return [TensorBoardLogger(str(folder), name="", version=""), CSVLogger(str(folder), name="csv")]


def _with_checkpoint(arguments: list[str], label: str) -> tuple[Path | None, list[str]]:
    """Return the checkpoint that the arguments mean, and the arguments with its path in place of `last` or `best`."""
    wanted = runs.peek(arguments, "ckpt_path")
    if wanted is None or wanted in ("null", "hpc") or wanted.startswith("registry:"):
        return None, arguments
    explicit = runs.peek(arguments, "trainer.default_root_dir")
    default = runs.RUNS / label if config_values(arguments) else runs.RUNS
    path = runs.find_checkpoint(wanted, Path(explicit) if explicit else default)
    return path, arguments if str(path) == wanted else [*runs.without(arguments, "ckpt_path"), f"--ckpt_path={path}"]


def _install_loader(names: NameResolver) -> None:
    """Register the YAML loader that replaces short names (L4); wrapping the usual one keeps `1e-3` a number."""
    load: Callable[[str], Any] = get_loader("yaml")

    def load_with_names(text: str) -> Any:
        return names.tree(load(text))

    set_loader(PARSER_MODE, load_with_names, (yaml.YAMLError,))


def _hide_advertisements() -> None:
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    if _is_no_advertisement not in logger.filters:
        logger.addFilter(_is_no_advertisement)


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    message = str(record.msg)
    return not ("Tip:" in message and ("litlogger" in message or "litmodels" in message))


def _note(text: str) -> None:
    if rank_zero_only.rank == 0:
        print(f"note: {text}", file=sys.stderr)
