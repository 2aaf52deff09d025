"""`prefalign plugins`, `components`, `presets` and `papers`: what is installed, answered without importing torch."""

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefalign.cli.errors import CommandError
from prefalign.cli.table import render_table
from prefalign.hooks import hookspecs
from prefalign.hooks.errors import UnknownNameError, nearest
from prefalign.hooks.loader import KNOWN_PLUGINS, Plugin, State
from prefalign.hooks.presets import Preset, find_preset, list_presets
from prefalign.hooks.records import COMPONENT_KINDS
from prefalign.hooks.registry import get_registry

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("prefalign_"))


def plugins_main(arguments: list[str]) -> int:
    """List plugins with their states, or show one."""
    parser = argparse.ArgumentParser(prog="prefalign plugins", description="List installed plugins and their states.")
    parser.add_argument("action", nargs="?", choices=("list", "show"), default="list")
    parser.add_argument("name", nargs="?", help="the plugin to show")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--hook", help="only plugins that implement this hook", metavar="HOOK")
    options = parser.parse_args(arguments)
    registry = get_registry()
    if (options.action == "show") != (options.name is not None):
        parser.error("'show' takes the name of one plugin" if options.action == "show" else "'list' takes no name")
    if options.hook and options.hook not in HOOKS:
        near = nearest(options.hook, HOOKS)
        raise UnknownNameError(f"there is no hook {options.hook!r}; did you mean {' or '.join(near or HOOKS)}?")
    chosen = [p for p in registry.plugins if not options.hook or options.hook in p.hooks]
    if options.action == "show":
        chosen = [p for p in chosen if p.name == options.name]
        if not chosen:
            registry.plugin(options.name)  # raises with the nearest names
    presets = list_presets(registry)
    if options.json:
        described = [_plugin_as_data(p, presets) for p in chosen]
        _print_json(described[0] if options.action == "show" and len(described) == 1 else described)
    elif options.action == "show":
        print("\n\n".join(_plugin_in_full(p, presets) for p in chosen))
    else:
        print(_plugins_table(chosen, presets))
        absent = sorted(KNOWN_PLUGINS.keys() - {p.name for p in registry.plugins})
        if absent and not options.hook:
            print("\nNot installed:", *(f"  {name}: {KNOWN_PLUGINS[name]}" for name in absent), sep="\n")
    return 0


def components_main(arguments: list[str]) -> int:
    """List components by short name."""
    parser = argparse.ArgumentParser(prog="prefalign components", description="List what configs may name.")
    parser.add_argument("--kind", choices=COMPONENT_KINDS)
    parser.add_argument("--plugin", help="only components of this plugin")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    registry = get_registry()
    if options.plugin:
        registry.plugin(options.plugin)
    chosen = {
        alias: record
        for alias, record in sorted(registry.components().items())
        if (not options.kind or record.kind == options.kind)
        and (not options.plugin or alias.startswith(f"{options.plugin}/"))
    }
    if options.json:
        _print_json([{"alias": alias, **asdict(record)} for alias, record in chosen.items()])
    elif chosen:
        rows = [(alias, r.kind, r.summary, ", ".join(r.papers)) for alias, r in chosen.items()]
        print(render_table(("component", "kind", "summary", "papers"), rows))
    else:
        print("No component matches.")
    return 0


def presets_main(arguments: list[str]) -> int:
    """List presets, print one, or copy one for editing."""
    parser = argparse.ArgumentParser(prog="prefalign presets", description="List, print or copy ready-made configs.")
    parser.add_argument("action", nargs="?", choices=("list", "show", "copy"), default="list")
    parser.add_argument("name", nargs="?", help="the preset to show or to copy")
    parser.add_argument("destination", nargs="?", help="where to copy to; by default the preset's own file name, here")
    parser.add_argument("--plugin", help="only presets of this plugin")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    registry = get_registry()
    if (options.action == "list") != (options.name is None):
        parser.error(
            "'list' takes no name" if options.action == "list" else f"'{options.action}' takes a preset's name"
        )
    if options.destination is not None and options.action != "copy":
        parser.error(f"'{options.action}' takes no destination")
    if options.action == "show":
        preset = find_preset(options.name, registry)
        text = preset.path.read_text(encoding="utf-8")
        if options.json:
            _print_json({**_preset_as_data(preset), "text": text})
        else:
            print(text, end="")
    elif options.action == "copy":
        print(copy_preset(find_preset(options.name, registry), options.destination))
    else:
        if options.plugin:
            registry.plugin(options.plugin)
        chosen = [p for p in list_presets(registry) if not options.plugin or p.plugin == options.plugin]
        if options.json:
            _print_json([_preset_as_data(preset) for preset in chosen])
        elif chosen:
            rows = [(p.name, p.header.get("Hardware", "-"), p.problem or p.header["Paper"]) for p in chosen]
            print(render_table(("preset", "hardware", "paper"), rows))
        else:
            print("No preset is installed.")
    return 0


def papers_main(arguments: list[str]) -> int:
    """List papers with the components that implement them and the presets that reproduce them."""
    parser = argparse.ArgumentParser(prog="prefalign papers", description="List papers and what implements them.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    registry = get_registry()
    papers: dict[str, dict[str, list[str]]] = {}

    def file(paper: str, column: str, name: str) -> None:
        papers.setdefault(paper, {"plugins": [], "components": [], "presets": []})[column].append(name)

    for plugin in registry.usable:
        for paper in plugin.info.papers if plugin.info else ():
            file(paper, "plugins", plugin.name)
    for alias, record in registry.components().items():
        for paper in record.papers:
            file(paper, "components", alias)
    for preset in list_presets(registry):
        for paper in preset.papers:
            file(paper, "presets", preset.name)
    if options.json:
        _print_json([{"paper": paper, **users} for paper, users in sorted(papers.items())])
    elif papers:
        rows = [
            (paper, ", ".join(users["components"]) or "-", ", ".join(users["presets"]) or "-")
            for paper, users in sorted(papers.items())
        ]
        print(render_table(("paper", "components", "presets"), rows))
    else:
        print("No installed component names a paper.")
    return 0


def copy_preset(preset: Preset, destination: str | None) -> Path:
    """Copy a preset for editing and return where to.

    Pieces that it includes by a relative path are named by their full path in the copy, so that it works from anywhere.

    Raises:
        CommandError: There is a file of that name; it is not touched.
    """
    target = Path(destination or preset.path.name)
    if target.is_dir():
        target = target / preset.path.name

    def absolute(match: re.Match[str]) -> str:
        piece = preset.path.parent / match[2]
        return f"{match[1]}{piece.resolve()}" if piece.is_file() else match[0]

    text = re.sub(
        r"^([^#\n]*?[:\s-]\s+)([^\s#'\"]+\.yaml)", absolute, preset.path.read_text(encoding="utf-8"), flags=re.M
    )
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise CommandError(f"there is a file {target} already; choose another destination") from error
    return target


def _plugins_table(plugins: list[Plugin], presets: list[Preset]) -> str:
    rows = [
        (
            plugin.name,
            str(plugin.state),
            plugin.distribution or "-",
            plugin.version or "-",
            str(len(plugin.components)),
            str(sum(preset.plugin == plugin.name for preset in presets)) if plugin.state is State.OK else "0",
            plugin.reason or (plugin.info.summary if plugin.info else ""),
        )
        for plugin in plugins
    ]
    text = render_table(("plugin", "state", "distribution", "version", "components", "presets", "about"), rows)
    if any(plugin.traceback for plugin in plugins):
        text += "\n\nprefalign plugins show NAME prints the whole error of a plugin."
    return text


def _plugin_in_full(plugin: Plugin, presets: list[Preset]) -> str:
    data = _plugin_as_data(plugin, presets)
    trace = data.pop("traceback")
    lines = []
    for key, value in data.items():
        shown = ", ".join(value) if isinstance(value, list) else str(value)
        if shown:
            lines.append(f"{key + ':':14}{shown}")
    return "\n".join(lines) + (f"\n\n{trace.rstrip()}" if trace else "")


def _plugin_as_data(plugin: Plugin, presets: list[Preset]) -> dict[str, Any]:
    info = plugin.info
    return {
        "name": plugin.name,
        "state": str(plugin.state),
        "reason": plugin.reason,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "summary": info.summary if info else "",
        "modalities": list(info.modalities) if info else [],
        "homepage": info.homepage if info else "",
        "papers": list(info.papers) if info else [],
        "hooks": list(plugin.hooks),
        "components": [f"{plugin.name}/{record.name}" for record in plugin.components],
        "presets": [p.name for p in presets if p.plugin == plugin.name and plugin.state is State.OK],
        "commands": [record.name for record in plugin.commands],
        "checks": [record.name for record in plugin.checks],
        "traceback": plugin.traceback,
    }


def _preset_as_data(preset: Preset) -> dict[str, Any]:
    header = {key.lower(): value for key, value in preset.header.items()}
    return {
        "name": preset.name,
        "path": str(preset.path),
        **header,
        "papers": list(preset.papers),
        "problem": preset.problem,
    }


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False))
