"""Turns short names into what Lightning's parser wants: `audio/clap` into a class path, `audio/crpo` into a file.

Only assembly knows short names. Saved configs hold full paths, so that a run can be repeated without this module.
"""

import re
from pathlib import Path
from typing import Any

from prefalign.hooks.errors import PluginError, UnknownNameError
from prefalign.hooks.loader import KNOWN_PLUGINS
from prefalign.hooks.presets import find_preset
from prefalign.hooks.registry import Registry

_ALIAS = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*")
_CONFIG_FLAGS = ("--config", "-c")
_CONFIG_SUFFIXES = (".yaml", ".yml", ".json")


class NameResolver:
    """Rewrites short names in configs and arguments, and explains those it had to leave alone.

    A value under `class_path` (or `--model.help` and the like) must be a class, so an unknown short name is an error
    there. Anywhere else a string of that form may just as well be a folder or the name of a model on a hub: it is
    rewritten where it names an installed component and left alone otherwise. Write `./audio/clap` for a folder that is
    called like one.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._paths = {alias: record.import_path for alias, record in registry.components().items()}
        self._namespaces = {plugin.name for plugin in registry.plugins} | KNOWN_PLUGINS.keys()
        self._left_alone: set[str] = set()

    def class_path(self, value: str) -> str:
        """Return the dotted path for a value that must name a class.

        Raises:
            PluginError: The short name belongs to a plugin that is installed but not usable.
            UnknownNameError: No installed plugin has the short name.
        """
        return self._registry.component(value).import_path if "/" in value else value

    def value(self, text: str) -> str:
        """Return the dotted path if `text` names an installed component, else `text`."""
        if text in self._paths:
            return self._paths[text]
        if _ALIAS.fullmatch(text) and text.partition("/")[0] in self._namespaces:
            self._left_alone.add(text)
        return text

    def tree(self, node: Any) -> Any:
        """Return a loaded YAML document with every short name replaced."""
        if isinstance(node, dict):
            return {
                key: self.class_path(item) if key == "class_path" and isinstance(item, str) else self.tree(item)
                for key, item in node.items()
            }
        if isinstance(node, list):
            return [self.tree(item) for item in node]
        return self.value(node) if isinstance(node, str) else node

    def config(self, value: str) -> str:
        """Return the file that a `--config` value means: an existing file or `*.yaml` is a path, all else a preset.

        Raises:
            PluginError: The preset's plugin is installed but not usable.
            UnknownNameError: There is no such preset.
        """
        if value.endswith(_CONFIG_SUFFIXES) or Path(value).is_file():
            return value
        return str(find_preset(value, self._registry).path)

    def arguments(self, arguments: list[str]) -> list[str]:
        """Return command-line arguments with short names and presets replaced.

        Raises:
            PluginError: A name that must resolve belongs to a plugin that is installed but not usable.
            UnknownNameError: A name that must resolve is unknown.
        """
        resolved: list[str] = []
        flag = ""
        for argument in arguments:
            if argument.startswith("-"):
                flag, equals, value = argument.partition("=")
                resolved.append(f"{flag}={self._argument(flag, value)}" if equals else argument)
                flag = "" if equals else flag
            else:
                resolved.append(self._argument(flag, argument))
                flag = ""
        return resolved

    def _argument(self, flag: str, value: str) -> str:
        if flag in _CONFIG_FLAGS:
            return self.config(value)
        if flag.endswith((".class_path", ".help")):
            return self.class_path(value)
        return self.value(value)

    def reason_for(self, message: str) -> ValueError | None:
        """Return why a short name quoted in a parser's error message could not be resolved, if that is the matter."""
        for alias in sorted(self._left_alone):
            if alias in message:
                try:
                    self._registry.component(alias)
                except (PluginError, UnknownNameError) as reason:
                    return reason
        return None

    def aliases_in(self, node: Any) -> tuple[str, ...]:
        """Return the short names of every component whose class path occurs in a resolved config, sorted."""
        by_path = {path: alias for alias, path in self._paths.items()}
        found: set[str] = set()

        def visit(item: Any) -> None:
            if isinstance(item, dict):
                for child in item.values():
                    visit(child)
            elif isinstance(item, list | tuple):
                for child in item:
                    visit(child)
            elif isinstance(item, str) and item in by_path:
                found.add(by_path[item])

        visit(node)
        return tuple(sorted(found))


def configs_first(arguments: list[str]) -> tuple[list[str], bool]:
    """Return the arguments with every `--config` moved before everything else, and whether that changed their order.

    Lightning reads arguments from left to right, and a config read late overwrites flags typed before it.
    """
    configs: list[str] = []
    others: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in _CONFIG_FLAGS:
            configs += [argument, *([value] if (value := next(rest, None)) is not None else [])]
        elif argument.startswith(tuple(f"{flag}=" for flag in _CONFIG_FLAGS)):
            configs.append(argument)
        else:
            others.append(argument)
    ordered = configs + others
    return ordered, ordered != arguments


def config_values(arguments: list[str]) -> list[str]:
    """Return the values of every `--config` in order."""
    values = []
    for position, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag in _CONFIG_FLAGS:
            if equals:
                values.append(value)
            elif position + 1 < len(arguments):
                values.append(arguments[position + 1])
    return values
