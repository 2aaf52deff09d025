"""The whole contract between prefalign and a plugin: seven hooks, in the order of a plugin's life.

A plugin is a module that implements some of these functions, marked with `prefalign.hooks.hookimpl`, and is announced
by an entry point of the group `prefalign.plugins`. An implementation may leave out arguments it does not need.
Registration hooks return records of strings, so that the module that holds them imports neither torch nor the plugin's
own code.

None of these hooks is called inside a training step: there, methods of the classes that a config names do the work.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from prefalign.hooks.records import Check, Command, Component, PluginInfo

hookspec = pluggy.HookspecMarker("prefalign")


# ---------------------------------------------------------------------------------------------------------------------
# Loading: called once for each plugin when a process first asks what is installed
# ---------------------------------------------------------------------------------------------------------------------


@hookspec
def prefalign_plugin() -> "PluginInfo":  # type: ignore[empty-body]
    """Say who the plugin is and which contract it was written for.

    When: first, directly after the plugin's module was imported.
    Returns: a `PluginInfo` whose name equals the entry point's name.
    None: not allowed. Every plugin implements this hook, exactly once.
    """


@hookspec
def prefalign_components() -> "Iterable[Component] | None":
    """List the classes and builders that configs may name as `<plugin>/<name>`.

    When: at load, after `prefalign_plugin`.
    Returns: `Component` records; their targets are imported only when a config or a command asks for them.
    None: the plugin has no components.
    """


@hookspec
def prefalign_presets() -> str | None:
    """Name the folder of package data that holds the plugin's ready-made configs.

    When: at load; the files themselves are read when a preset is listed or used.
    Returns: `"package:folder"`, such as `"prefalign_audio:presets"`. Files of its sub-folders count.
    None: the plugin has no presets.
    """


@hookspec
def prefalign_commands() -> "Iterable[Command] | None":
    """List console commands of the domain, mounted as `prefalign <plugin> <name>`.

    When: at load; a target is imported only when its command is run.
    Returns: `Command` records.
    None: the plugin has no commands.
    """


# ---------------------------------------------------------------------------------------------------------------------
# Diagnosis: called by `prefalign doctor`
# ---------------------------------------------------------------------------------------------------------------------


@hookspec
def prefalign_checks() -> "Iterable[Check] | None":
    """List what is worth checking on a machine before the plugin is blamed: system libraries, data, credentials.

    When: at load, so that a wrong record shows at once; the checks themselves run in the doctor's own process.
    Returns: `Check` records.
    None: the plugin has no checks.
    """


# ---------------------------------------------------------------------------------------------------------------------
# Data: called by a data module
# ---------------------------------------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def prefalign_open_pairs(uri: str, split: str) -> Any | None:
    """Open a source of preference records by its address.

    When: a data module meets `scheme:rest` where a file could stand. Schemes of file formats, such as `jsonl:`, are the
    core's and get nowhere else. Plugins are asked in the order of their names; the first answer other than None is
    taken and nobody else is asked.
    Arguments: `uri`, the whole address with its scheme; `split`, the part wanted, such as `train` or `validation`.
    Returns: a `prefalign.interfaces.RecordSource`. Heavy imports belong inside the function, after the scheme was
    compared.
    None: the scheme is not this plugin's.
    """


# ---------------------------------------------------------------------------------------------------------------------
# Running: called once for each run
# ---------------------------------------------------------------------------------------------------------------------


@hookspec
def prefalign_describe_run(config: Mapping[str, Any], components: tuple[str, ...]) -> Mapping[str, Any] | None:
    """Add facts to the card that is written beside a run's config.

    When: once, after the command line was parsed and before anything is built.
    Arguments: `config`, a copy of the resolved config as plain data, so that changing it changes nothing; `components`,
    the short names of every component that the config uses.
    Returns: facts that JSON can hold; they are filed under the plugin's name.
    None: nothing to add, which is the right answer when none of the plugin's components is in use.
    """
