"""prefalign_plugin, prefalign_components, prefalign_commands, prefalign_checks: in the core and in a good plugin."""

import importlib
import subprocess
import sys
from typing import Any

from prefalign.hooks import API, Check, Command, PluginInfo
from prefalign.hooks.loader import State
from prefalign.hooks.registry import get_registry


def test_the_core_registers_itself_through_the_hooks(plugin_site: Any) -> None:
    (core,) = plugin_site.registry().plugins
    assert (core.name, core.state, core.distribution) == ("core", State.OK, "prefalign")
    assert {"prefalign_plugin", "prefalign_components"} <= set(core.hooks)


def test_every_target_of_an_installed_plugin_of_this_project_exists() -> None:
    """A record names the defining module: that is the path which ends up in saved configs."""
    for plugin in get_registry().usable:
        if not plugin.distribution.startswith("prefalign"):
            continue
        for record in (*plugin.components, *plugin.commands, *plugin.checks):
            for target in filter(None, (record.target, getattr(record, "tiny", ""))):
                module, _, attribute = target.partition(":")
                found = getattr(importlib.import_module(module), attribute)
                assert found.__module__ == module, f"{plugin.name}/{record.name}: defined in {found.__module__}"


def test_prefalign_plugin_says_who_it_is(plugin_site: Any) -> None:
    plugin_site.add_good()
    info = plugin_site.registry().plugin("good").info
    assert info == PluginInfo("good", API, "A plugin for a test", ("text",), papers=("2305.18290",))


def test_prefalign_components_are_named_and_not_imported(plugin_site: Any) -> None:
    package = plugin_site.add_good()
    registry = plugin_site.registry()
    assert [record.name for record in registry.plugin("good").components] == ["hinge", "table"]
    assert registry.component("good/hinge").import_path == f"{package}.parts.Hinge"
    assert f"{package}.parts" not in sys.modules


def test_prefalign_presets_names_a_folder_of_the_package(plugin_site: Any) -> None:
    package = plugin_site.add_good()
    assert plugin_site.registry().plugin("good").presets == plugin_site.folder / package / "presets"


def test_prefalign_commands_and_prefalign_checks_are_kept_for_later(plugin_site: Any) -> None:
    package = plugin_site.add_good()
    plugin = plugin_site.registry().plugin("good")
    assert plugin.commands == (Command("greet", f"{package}.parts:greet", "Say hello"),)
    assert plugin.checks == (Check("weather", f"{package}.parts:weather", "Look outside"),)
    assert f"{package}.parts" not in sys.modules


def test_a_plugin_may_leave_out_everything_but_its_name(plugin_site: Any) -> None:
    source = """
        from prefalign.hooks import API, PluginInfo, hookimpl

        @hookimpl
        def prefalign_plugin():
            return PluginInfo("bare", API, "Nothing yet", ())
    """
    plugin_site.add("bare", source)
    plugin = plugin_site.registry().plugin("bare")
    assert (plugin.components, plugin.presets, plugin.commands, plugin.checks) == ((), None, (), ())
    assert plugin.hooks == ("prefalign_plugin",)


def test_loading_every_installed_plugin_imports_no_numerics() -> None:
    """Run in a fresh interpreter, where nothing else can have imported them."""
    code = (
        "import sys; from prefalign.hooks.registry import get_registry; get_registry().components();"
        "heavy = ('torch', 'lightning', 'numpy', 'transformers', 'peft', 'pyarrow', 'yaml');"
        "print([module for module in heavy if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
