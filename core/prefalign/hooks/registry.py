"""What is installed: plugins with their states, components by short name, and the hooks called after loading."""

import copy
import functools
import traceback
import warnings
from collections.abc import Mapping
from typing import Any

import pluggy

from prefalign.hooks.errors import PluginError, UnknownNameError, nearest
from prefalign.hooks.loader import KNOWN_PLUGINS, Plugin, State, discover, load_plugins, new_manager
from prefalign.hooks.records import Component


class Registry:
    """The plugins of one process. Building one never fails because of a plugin, unless `PREFALIGN_STRICT=1`."""

    def __init__(self, plugins: list[Plugin], manager: pluggy.PluginManager) -> None:
        self.plugins = tuple(plugins)
        self._manager = manager

    @property
    def usable(self) -> tuple[Plugin, ...]:
        """Plugins in state ok."""
        return tuple(plugin for plugin in self.plugins if plugin.state is State.OK)

    def components(self) -> dict[str, Component]:
        """Every usable component by its short name `plugin/name`."""
        return {f"{plugin.name}/{record.name}": record for plugin in self.usable for record in plugin.components}

    def plugin(self, name: str) -> Plugin:
        """Return a usable plugin.

        Raises:
            PluginError: The plugin is installed but not usable; the message ends with its own traceback.
            UnknownNameError: No such plugin is installed.
        """
        holders = [plugin for plugin in self.plugins if plugin.name == name]
        if not holders:
            if name in KNOWN_PLUGINS:
                raise UnknownNameError(f"plugin {name!r} is not installed; get it with: {KNOWN_PLUGINS[name]}")
            near = nearest(name, {p.name for p in self.plugins} | KNOWN_PLUGINS.keys())
            raise UnknownNameError(f"there is no plugin {name!r}{_suggestion(near)}")
        holder = holders[0]
        if holder.state is not State.OK:
            source = f" ({holder.distribution} {holder.version})" if holder.distribution else ""
            trace = f"\n\n{holder.traceback}" if holder.traceback else ""
            raise PluginError(f"plugin {name!r}{source} is {holder.state}: {holder.reason}{trace}")
        return holder

    def component(self, alias: str) -> Component:
        """Return the component that `plugin/name` stands for.

        Raises:
            PluginError: The plugin is installed but not usable.
            UnknownNameError: The plugin is absent or has no such component; the three nearest names are given.
        """
        namespace, _, name = alias.partition("/")
        for record in self.plugin(namespace).components:
            if record.name == name:
                return record
        raise UnknownNameError(f"there is no component {alias!r}{_suggestion(nearest(alias, self.components()))}")

    def open_pairs(self, uri: str, split: str) -> Any:
        """Open a source of records through the first plugin that knows the address's scheme.

        Raises:
            PluginError: The plugin that was asked failed; the message names it.
            UnknownNameError: No installed plugin opens the address.
        """
        arguments = {"uri": uri, "split": split}
        for implementation in _in_order(self._manager.hook.prefalign_open_pairs):
            try:
                opened = implementation.function(**{name: arguments[name] for name in implementation.argnames})
            except Exception as error:
                raise PluginError(f"plugin {implementation.plugin_name!r} failed to open {uri!r}: {error}") from error
            if opened is not None:
                return opened
        unusable = [f"{p.name} ({p.state}: {p.reason})" for p in self.plugins if p.state is not State.OK]
        hint = f"; not usable at present: {', '.join(unusable)}" if unusable else ""
        raise UnknownNameError(f"no installed plugin opens {uri!r}{hint}")

    def describe_run(self, config: Mapping[str, Any], components: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        """Collect what plugins add to a run's card, by plugin name.

        A plugin that fails here is warned about and its error is filed in place of its facts: it must not stop a run
        that may not even use it.
        """
        facts: dict[str, dict[str, Any]] = {}
        for implementation in _in_order(self._manager.hook.prefalign_describe_run):
            arguments = {"config": copy.deepcopy(dict(config)), "components": components}
            try:
                added: Any = implementation.function(**{name: arguments[name] for name in implementation.argnames})
                if added is not None:
                    facts[implementation.plugin_name] = dict(added)
            except Exception as error:
                text = traceback.format_exception_only(error)[-1].strip()
                warnings.warn(f"plugin {implementation.plugin_name!r} could not describe the run: {text}")
                facts[implementation.plugin_name] = {"error": text}
        return facts


@functools.cache
def get_registry() -> Registry:
    """Return the registry of this process, loading the installed plugins at the first call."""
    manager = new_manager()
    plugins = load_plugins(manager, discover())
    return Registry(plugins, manager)


def _in_order(caller: pluggy.HookCaller) -> list[pluggy.HookImpl]:
    """Return a hook's implementations by plugin name, except for those that ask to be first or last."""
    return sorted(caller.get_hookimpls(), key=lambda impl: (impl.trylast, not impl.tryfirst, impl.plugin_name))


def _suggestion(near: list[str]) -> str:
    return f"; did you mean {' or '.join(near)}?" if near else ""
