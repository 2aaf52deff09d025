"""prefalign_plugin, prefalign_components, prefalign_commands, prefalign_checks: in the core and in a good plugin."""

import importlib
import subprocess
import sys
from typing import Any

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


def test_a_good_plugin_s_records_arrive(plugin_site: Any) -> None:
    package = plugin_site.add_good()
    plugin = plugin_site.registry().plugin("good")
    assert [record.name for record in plugin.components] == ["hinge", "table"]
    assert [record.target for record in plugin.commands] == [f"{package}.parts:greet"]
    assert [record.name for record in plugin.checks] == ["weather"]
    assert plugin.presets == plugin_site.folder / package / "presets"
    assert f"{package}.parts" not in sys.modules, "targets are not imported by loading"


def test_loading_every_installed_plugin_imports_no_numerics() -> None:
    """Run in a fresh interpreter, where nothing else can have imported them."""
    code = (
        "import sys; from prefalign.hooks.registry import get_registry; get_registry().components();"
        "heavy = ('torch', 'lightning', 'numpy', 'transformers', 'peft', 'pyarrow', 'yaml');"
        "print([module for module in heavy if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
