"""Finds plugins and loads each behind its own guard, so that a bad one costs its own names and nothing else.

pluggy's own entry-point loader stops at the first plugin that raises and skips a second holder of a name without a
word; here every entry point ends as one `Plugin` with a state and, unless it is usable, the reason.
"""

import contextlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from prefalign.hooks import API, hookspecs
from prefalign.hooks.errors import PluginError, RegistrationError, nearest
from prefalign.hooks.records import NAME, Check, Command, Component, PluginInfo

GROUP = "prefalign.plugins"
CORE = "core"
ALLOWED_VARIABLE = "PREFALIGN_PLUGINS"
STRICT_VARIABLE = "PREFALIGN_STRICT"

KNOWN_PLUGINS = {
    "audio": "pip install prefalign-audio",
    "mesh3d": "pip install prefalign-mesh3d",
    "robotics": "pip install prefalign-robotics",
    "vision_llm": "pip install prefalign-vision-llm",
}
"""Plugins of this project and how to get them, so that a config that needs an absent one is told what to install."""

_T = TypeVar("_T")


class State(StrEnum):
    """What became of an installed plugin."""

    OK = "ok"
    BROKEN = "broken"
    INCOMPATIBLE = "incompatible"
    SHADOWED = "shadowed"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point, what it registered if it is usable, and why not if it is not."""

    name: str
    distribution: str
    version: str
    module: str
    state: State
    reason: str = ""
    traceback: str = ""
    info: PluginInfo | None = None
    components: tuple[Component, ...] = ()
    presets: Path | None = None
    commands: tuple[Command, ...] = ()
    checks: tuple[Check, ...] = ()
    hooks: tuple[str, ...] = ()


class _IncompatibleError(Exception):
    """The plugin was written for another core."""


def new_manager() -> pluggy.PluginManager:
    """Return a pluggy manager that knows the hooks and has no plugin yet."""
    manager = pluggy.PluginManager("prefalign")
    manager.add_hookspecs(hookspecs)
    return manager


def discover(path: Sequence[str] | None = None) -> list[EntryPoint]:
    """Return the entry points of `GROUP` by plugin and distribution name, so that no outcome depends on a file system.

    A distribution that is on the path twice counts once, in the place that Python imports from.
    """
    found: dict[tuple[str, str, str], EntryPoint] = {}
    folder_of: dict[str, int] = {}
    for position, distribution in enumerate(distributions(path=list(sys.path if path is None else path))):
        entries = [entry for entry in distribution.entry_points if entry.group == GROUP]
        if entries and folder_of.setdefault(_distribution_name(distribution), position) == position:
            found.update({(e.name, _distribution_name(distribution), e.value): e for e in entries})
    return [found[key] for key in sorted(found)]


def load_plugins(manager: pluggy.PluginManager, entries: Iterable[EntryPoint]) -> list[Plugin]:
    """Load the core's own plugin and every entry point that the environment allows.

    `PREFALIGN_PLUGINS` holds the names that may load, separated by commas; empty means none but the core.
    With `PREFALIGN_STRICT=1` the first failure is raised instead of recorded.
    """
    allowed_text = os.environ.get(ALLOWED_VARIABLE)
    allowed = None if allowed_text is None else {part.strip() for part in allowed_text.split(",") if part.strip()}
    core = Plugin(CORE, "prefalign", _core_version() or "", "prefalign.plugin", State.OK)
    core_entry = EntryPoint(CORE, core.module, GROUP)
    plugins = [_guarded(manager, core, core_entry, None)]
    holders = {CORE: core.distribution}
    for entry in entries:
        distribution = entry.dist
        assert distribution is not None, "entry points come from discover()"
        owner = _distribution_name(distribution)
        plugin = Plugin(entry.name, owner, distribution.version, entry.value, State.OK)
        if entry.name == CORE and owner == core.distribution and entry.value == core.module:
            continue
        if entry.name in holders:
            plugin = _failed(plugin, State.SHADOWED, f"the name {entry.name!r} belongs to {holders[entry.name]}")
        elif allowed is not None and entry.name not in allowed:
            plugin = _failed(plugin, State.DISABLED, f"not among the plugins that {ALLOWED_VARIABLE} allows")
        else:
            plugin = _guarded(manager, plugin, entry, distribution)
        holders.setdefault(entry.name, owner)
        plugins.append(plugin)
    for name in sorted((allowed or set()) - holders.keys()):
        hint = f"; get it with: {KNOWN_PLUGINS[name]}" if name in KNOWN_PLUGINS else ""
        plugins.append(Plugin(name, "", "", "", State.BROKEN, f"named in {ALLOWED_VARIABLE} but not installed{hint}"))
    return plugins


def _guarded(
    manager: pluggy.PluginManager, plugin: Plugin, entry: EntryPoint, distribution: Distribution | None
) -> Plugin:
    strict = os.environ.get(STRICT_VARIABLE, "") not in ("", "0")
    try:
        if distribution is not None:
            _check_core_requirement(distribution)
        if not NAME.fullmatch(entry.name):
            raise RegistrationError(f"the entry point's name {entry.name!r} does not match {NAME.pattern}")
        # What a module prints while it loads must not end up in the output of a listing.
        with contextlib.redirect_stdout(sys.stderr):
            return _load(manager, plugin, entry.load())
    # SystemExit, because a module that ends the program when it is imported must not end every listing.
    except (Exception, SystemExit) as error:
        if manager.has_plugin(plugin.name):
            manager.unregister(name=plugin.name)
        if strict:
            raise
        state = State.INCOMPATIBLE if isinstance(error, _IncompatibleError) else State.BROKEN
        text = str(error).strip().partition("\n")[0]
        if not isinstance(error, _IncompatibleError | PluginError | RegistrationError):
            text = f"{type(error).__name__}: {text}"
        return _failed(plugin, state, text, "".join(traceback.format_exception(error)))


def _load(manager: pluggy.PluginManager, plugin: Plugin, module: Any) -> Plugin:
    """Register one imported plugin and return it with its validated records."""
    if isinstance(module, ModuleType):
        _refuse_unmarked_hooks(module)
    manager.register(module, plugin.name)
    hooks = _verified_hooks(manager, module)

    def call(hook: str) -> Any:
        function = hooks.get(hook)
        return None if function is None else function()

    if "prefalign_plugin" not in hooks:
        raise PluginError("the plugin does not implement prefalign_plugin(), which says who it is")
    info = call("prefalign_plugin")
    if not isinstance(info, PluginInfo):
        raise RegistrationError(f"prefalign_plugin() must return a PluginInfo, got {info!r}")
    if info.name != plugin.name:
        raise RegistrationError(
            f"PluginInfo is named {info.name!r} but the entry point {plugin.name!r}; they must agree"
        )
    if info.api not in (API, API - 1):
        older = f" and {API - 1}" if API > 1 else ""
        raise _IncompatibleError(f"written for contract {info.api}, this core supports {API}{older}")
    return replace(
        plugin,
        info=info,
        components=_records("prefalign_components", call("prefalign_components"), Component),
        presets=_presets_folder(call("prefalign_presets")),
        commands=_records("prefalign_commands", call("prefalign_commands"), Command),
        checks=_records("prefalign_checks", call("prefalign_checks"), Check),
        hooks=tuple(sorted(hooks)),
    )


def _verified_hooks(manager: pluggy.PluginManager, module: Any) -> dict[str, Any]:
    """Return the plugin's implementations by hook, or raise for what pluggy would accept without a word."""
    known = [name for name in vars(hookspecs) if name.startswith("prefalign_")]
    hooks: dict[str, Any] = {}
    for caller in manager.get_hookcallers(module) or ():
        implementations = [i for i in caller.get_hookimpls() if i.plugin is module]
        for implementation in implementations:
            if not caller.has_spec() and not implementation.optionalhook:
                near = nearest(caller.name, known, count=1)
                hint = f"did you mean {near[0]}?" if near else f"the hooks are {', '.join(known)}"
                raise PluginError(f"{caller.name} is not a hook of prefalign; {hint}")
            if implementation.hookwrapper or implementation.wrapper:
                raise PluginError(f"{caller.name}: hook wrappers are not part of contract {API}")
            if implementation.kwargnames:
                raise PluginError(
                    f"{caller.name}: arguments with defaults ({', '.join(implementation.kwargnames)}) are never passed;"
                    " remove the defaults"
                )
        if caller.has_spec():
            if len(implementations) > 1:
                raise PluginError(f"{caller.name} is implemented {len(implementations)} times by one plugin")
            hooks[caller.name] = implementations[0].function
    return hooks


def _refuse_unmarked_hooks(module: ModuleType) -> None:
    for name, value in vars(module).items():
        if name.startswith("prefalign_") and inspect.isfunction(value) and not hasattr(value, "prefalign_impl"):
            raise PluginError(f"{name} looks like a hook but is not marked with @hookimpl, so it would never be called")


def _records(hook: str, returned: object, kind: type[_T]) -> tuple[_T, ...]:
    if returned is None:
        return ()
    if isinstance(returned, kind) or not isinstance(returned, Iterable):
        raise RegistrationError(f"{hook}() must return a list of {kind.__name__}, got {returned!r}")
    seen: dict[str, _T] = {}
    for record in returned:
        if not isinstance(record, kind):
            raise RegistrationError(f"{hook}() must return a list of {kind.__name__}, but it contains {record!r}")
        name = str(getattr(record, "name", ""))
        if name in seen:
            raise RegistrationError(f"{hook}() returns two records named {name!r}: {seen[name]} and {record}")
        seen[name] = record
    return tuple(seen.values())


def _presets_folder(returned: object) -> Path | None:
    if returned is None:
        return None
    package, colon, folder = returned.partition(":") if isinstance(returned, str) else ("", "", "")
    if not colon or not package or not folder or ".." in Path(folder).parts or Path(folder).is_absolute():
        raise RegistrationError(f"prefalign_presets() must return 'package:folder', got {returned!r}")
    spec = importlib.util.find_spec(package)
    for root in (spec.submodule_search_locations if spec else None) or ():
        if (Path(root) / folder).is_dir():
            return Path(root) / folder
    raise RegistrationError(f"prefalign_presets() names {returned!r}, but package {package!r} has no folder {folder!r}")


def _check_core_requirement(distribution: Distribution) -> None:
    """Compare what the plugin asks for with the core that runs; pip checks this at installation only."""
    running = _core_version()
    owner = _distribution_name(distribution)
    specifiers = []
    for line in distribution.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise PluginError(f"{owner} declares a requirement that cannot be read: {line!r}") from error
        if canonicalize_name(requirement.name) == "prefalign" and (
            requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ):
            specifiers.append(requirement.specifier)
    if not any(str(specifier) for specifier in specifiers):
        raise _IncompatibleError(
            f"{owner} does not say which prefalign it was written for; its dependencies need a range such as"
            " 'prefalign>=0.1,<0.2'"
        )
    for specifier in specifiers:
        if running is not None and not specifier.contains(running, prereleases=True):
            raise _IncompatibleError(f"{owner} {distribution.version} needs prefalign{specifier}, but {running} runs")


def _core_version() -> str | None:
    try:
        return version("prefalign")
    except PackageNotFoundError:
        return None  # a source tree that was put on the path without being installed


def _distribution_name(distribution: Distribution) -> str:
    return canonicalize_name(distribution.name or "unnamed")


def _failed(plugin: Plugin, state: State, reason: str, trace: str = "") -> Plugin:
    return replace(plugin, state=state, reason=reason, traceback=trace)
