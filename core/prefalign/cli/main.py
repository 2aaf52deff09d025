"""The console commands `prefalign` and `lightning`; each command's module, and so torch, is imported on demand."""

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, version

from prefalign.cli.errors import DEBUG_VARIABLE, CommandError, debugging, is_input_error, mark_started, print_error
from prefalign.cli.table import render_table
from prefalign.hooks.errors import UnknownNameError, nearest
from prefalign.hooks.loader import ALLOWED_VARIABLE, KNOWN_PLUGINS
from prefalign.hooks.registry import get_registry

TRAINER_COMMANDS = ("fit", "validate", "test", "predict")

COMMANDS = {
    "fit": ("prefalign.cli.fit:main", "train a policy or a reward as a config says"),
    "validate": ("prefalign.cli.fit:main", "evaluate a checkpoint on the validation split"),
    "test": ("prefalign.cli.fit:main", "evaluate a checkpoint on the test split"),
    "predict": ("prefalign.cli.fit:main", "run a checkpoint on new records"),
    "data": ("prefalign.cli.data:main", "look at, check and convert preference records"),
    "merge": ("prefalign.cli.merge:main", "merge models: interpolate, add up, extrapolate"),
    "plugins": ("prefalign.cli.listings:plugins_main", "list plugins with their states"),
    "components": ("prefalign.cli.listings:components_main", "list what configs may name"),
    "presets": ("prefalign.cli.listings:presets_main", "list, print or copy ready-made configs"),
    "papers": ("prefalign.cli.listings:papers_main", "list papers and what implements them"),
    "doctor": ("prefalign.cli.doctor:main", "examine the installation and the machine"),
}


def main(argv: list[str] | None = None) -> int:
    """Run `prefalign` and return its exit code: 0 for success, 2 for bad input."""
    return _run("prefalign", list(sys.argv[1:] if argv is None else argv))


def lightning_main(argv: list[str] | None = None) -> int:
    """Run `lightning`: training commands are ours, all else is passed to lightning-sdk where that is installed."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in TRAINER_COMMANDS:
        return _run("lightning", arguments)
    sdk = _sdk_script()
    if arguments and sdk is not None:
        with _argv([sys.argv[0], *arguments]):
            return int(sdk.load()() or 0)
    rows = [(name, COMMANDS[name][1]) for name in TRAINER_COMMANDS]
    print(f"lightning {{{','.join(TRAINER_COMMANDS)}}} ...\n\n{render_table(('command', 'does'), rows)}\n")
    if sdk is not None:
        print("Every other command is passed to lightning-sdk.")
        return 0
    print("Everything else is under `prefalign`. The cloud commands need: pip install lightning-sdk")
    return 0 if not arguments or arguments[0] in ("-h", "--help") else 2


def _run(program: str, arguments: list[str]) -> int:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    arguments = _take_global_flags(arguments)
    mark_started(False)
    try:
        return _dispatch(program, arguments)
    except SystemExit as stop:  # a parser that has printed its help, or what is wrong
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debugging() or not is_input_error(error):
            raise
        print_error(error)
        return 2


def _take_global_flags(arguments: list[str]) -> list[str]:
    """Act on flags that may stand anywhere; they become environment variables so that child processes agree."""
    if "--no-plugins" in arguments:
        os.environ[ALLOWED_VARIABLE] = ""
        get_registry.cache_clear()
    if "--debug" in arguments:
        os.environ[DEBUG_VARIABLE] = "1"
    return [argument for argument in arguments if argument not in ("--no-plugins", "--debug")]


def _dispatch(program: str, arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog=program, add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    position = next((i for i, argument in enumerate(arguments) if not argument.startswith("-")), len(arguments))
    options = parser.parse_args(arguments[:position])
    if options.version:
        print(f"{program} {_own_version()}")
        return 0
    if options.help or position == len(arguments):
        print(_help(program))
        return 0 if options.help else 2
    command, rest = arguments[position], arguments[position + 1 :]
    if command in COMMANDS:
        target = COMMANDS[command][0]
        with _argv([sys.argv[0], command, *rest]):
            function = _load(target)
            return function([command, *rest] if command in TRAINER_COMMANDS else rest)
    return _plugin_command(program, command, rest)


def _plugin_command(program: str, name: str, rest: list[str]) -> int:
    registry = get_registry()
    names = {plugin.name for plugin in registry.plugins}
    if name not in names | KNOWN_PLUGINS.keys():
        near = nearest(name, COMMANDS.keys() | names)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; see: {program} --help"
        raise UnknownNameError(f"{program} has no command {name!r}{hint}")
    commands = {record.name: record for record in registry.plugin(name).commands}
    if not rest or rest[0] in ("-h", "--help"):
        rows = [(f"{program} {name} {record.name}", record.summary) for record in commands.values()]
        print(render_table(("command", "does"), rows) if rows else f"Plugin {name!r} has no commands.")
        return 0
    if rest[0] not in commands:
        near = nearest(rest[0], commands) or sorted(commands)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; it has no commands at all"
        raise CommandError(f"plugin {name!r} has no command {rest[0]!r}{hint}")
    with _argv([sys.argv[0], name, *rest]):
        return int(_load(commands[rest[0]].target)(rest[1:]) or 0)


def _help(program: str) -> str:
    lines = [
        f"usage: {program} [--version] [--no-plugins] [--debug] COMMAND ...",
        "",
        "Aligns models of any modality with preferences.",
        "",
        render_table(("command", "does"), [(name, summary) for name, (_, summary) in COMMANDS.items()]),
    ]
    domain = [
        (f"{plugin.name} {record.name}", record.summary)
        for plugin in get_registry().usable
        for record in plugin.commands
    ]
    if domain:
        lines += ["", render_table(("commands of plugins", "do"), domain)]
    lines += [
        "",
        f"`{program} COMMAND --help` explains one command.",
        "--no-plugins leaves every plugin but the core out; --debug shows tracebacks of input errors.",
    ]
    return "\n".join(lines)


def _own_version() -> str:
    try:
        return version("prefalign")
    except PackageNotFoundError:
        return "(not installed)"


def _load(target: str) -> Callable[[list[str]], int]:
    module, _, attribute = target.partition(":")
    function: Callable[[list[str]], int] = getattr(importlib.import_module(module), attribute)
    return function


def _sdk_script() -> EntryPoint | None:
    try:
        entries = distribution("lightning-sdk").entry_points
    except PackageNotFoundError:
        return None
    return next((e for e in entries if e.group == "console_scripts" and e.name == "lightning"), None)


@contextlib.contextmanager
def _argv(arguments: list[str]) -> Iterator[None]:
    """Let `sys.argv` say what is run: Lightning starts the processes of further devices from it."""
    before = sys.argv
    sys.argv = arguments
    try:
        yield
    finally:
        sys.argv = before


if __name__ == "__main__":
    sys.exit(main())
