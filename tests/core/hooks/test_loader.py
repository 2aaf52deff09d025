"""Six ways in which a plugin goes wrong, each beside a good one that must not notice; and the switches of the loader.

Each broken plugin is real source in a temporary folder with the metadata of a distribution beside it.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefalign.hooks import PluginError, RegistrationError, UnknownNameError, loader
from prefalign.hooks.loader import Plugin, State, discover
from prefalign.hooks.registry import Registry

INFO = """
from prefalign.hooks import API, Component, PluginInfo, hookimpl

@hookimpl
def prefalign_plugin():
    return PluginInfo("bad", API, "Something is wrong with it", ("text",))
"""

BROKEN: dict[str, tuple[str, str]] = {
    "import_error": (
        "import a_module_that_is_nowhere\n",
        "ModuleNotFoundError: No module named 'a_module_that_is_nowhere'",
    ),
    "exit_on_import": ("raise SystemExit(3)\n", "SystemExit: 3"),
    "misspelt_hook": (
        INFO + "\n@hookimpl\ndef prefalign_component():\n    return []\n",
        "prefalign_component is not a hook of prefalign; did you mean prefalign_components?",
    ),
    "wrong_signature": (
        INFO + "\n@hookimpl\ndef prefalign_open_pairs(url):\n    return None\n",
        "PluginValidationError: Plugin 'bad' for hook 'prefalign_open_pairs'",
    ),
    "default_argument": (
        INFO + "\n@hookimpl\ndef prefalign_open_pairs(uri, split='train'):\n    return None\n",
        "prefalign_open_pairs: arguments with defaults (split) are never passed; remove the defaults",
    ),
    "forgotten_marker": (
        INFO + "\ndef prefalign_components():\n    return []\n",
        "prefalign_components looks like a hook but is not marked with @hookimpl",
    ),
    "wrapper": (
        INFO + "\n@hookimpl(wrapper=True)\ndef prefalign_open_pairs():\n    return (yield)\n",
        "prefalign_open_pairs: hook wrappers are not part of contract 1",
    ),
    "implemented_twice": (
        INFO + "\n@hookimpl(specname='prefalign_plugin')\ndef again():\n    return None\n",
        "prefalign_plugin is implemented 2 times by one plugin",
    ),
    "bad_record": (
        INFO + "\n@hookimpl\ndef prefalign_components():\n    return [Component('policy', 'x', 'pkg.X', 'An x')]\n",
        "Component 'x': target must read 'package.module:attribute', got 'pkg.X'",
    ),
    "not_a_record": (
        INFO + "\n@hookimpl\ndef prefalign_components():\n    return [{'kind': 'policy'}]\n",
        "prefalign_components() must return a list of Component, but it contains {'kind': 'policy'}",
    ),
    "not_a_list": (
        INFO + "\n@hookimpl\ndef prefalign_components():\n    return Component('policy', 'x', 'p:X', 'An x')\n",
        "prefalign_components() must return a list of Component, got Component(",
    ),
    "one_name_twice": (
        INFO + "\n@hookimpl\ndef prefalign_components():\n    yield Component('policy', 'x', 'p:X', 'An x')\n"
        "    yield Component('reward', 'x', 'p:Y', 'Another x')\n",
        "prefalign_components() returns two records named 'x'",
    ),
    "no_info": ("from prefalign.hooks import hookimpl\n", "the plugin does not implement prefalign_plugin()"),
    "info_is_none": (
        "from prefalign.hooks import hookimpl\n@hookimpl\ndef prefalign_plugin():\n    return None\n",
        "prefalign_plugin() must return a PluginInfo, got None",
    ),
    "another_name": (
        INFO.replace('"bad"', '"worse"'),
        "PluginInfo is named 'worse' but the entry point 'bad'; they must agree",
    ),
    "presets_without_folder": (
        INFO + "\n@hookimpl\ndef prefalign_presets():\n    return 'prefalign_bad_package:presets'\n",
        "prefalign_presets() names 'prefalign_bad_package:presets', but package 'prefalign_bad_package' has no folder",
    ),
    "presets_outside_package": (
        INFO + "\n@hookimpl\ndef prefalign_presets():\n    return 'prefalign_bad_package:../..'\n",
        "prefalign_presets() must return 'package:folder', got 'prefalign_bad_package:../..'",
    ),
}


def by_name(registry: Registry, name: str) -> Plugin:
    (plugin,) = [plugin for plugin in registry.plugins if plugin.name == name]
    return plugin


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_costs_its_own_names_only(plugin_site: Any, kind: str) -> None:
    source, reason = BROKEN[kind]
    plugin_site.add("bad", source)
    plugin_site.add_good()
    registry = plugin_site.registry()
    assert {plugin.name: plugin.state for plugin in registry.plugins} == {
        "core": State.OK,
        "bad": State.BROKEN,
        "good": State.OK,
    }
    assert by_name(registry, "bad").reason.startswith(reason)
    assert "Traceback" in by_name(registry, "bad").traceback
    assert "good/hinge" in registry.components()
    with pytest.raises(PluginError) as caught:
        registry.component("bad/x")
    assert reason in str(caught.value)
    assert "(prefalign-bad 1.0) is broken" in str(caught.value)
    assert "Traceback" in str(caught.value)
    # What was registered before the failure is gone: nobody calls a hook of a broken plugin later.
    with pytest.raises(UnknownNameError, match="no installed plugin opens 'x:y'"):
        registry.open_pairs("x:y", "train")


@pytest.mark.parametrize("backwards", [False, True])
def test_the_second_holder_of_a_name_is_shadowed(
    plugin_site: Any, monkeypatch: pytest.MonkeyPatch, backwards: bool
) -> None:
    """The first by distribution name wins, whatever the order in which the file system lists them."""
    real = loader.distributions
    monkeypatch.setattr(
        loader, "distributions", lambda path: sorted(real(path=path), key=lambda d: d.name, reverse=backwards)
    )
    plugin_site.add_good("good", distribution="zeta")
    plugin_site.add_good("good", distribution="alpha")
    registry = plugin_site.registry()
    first, second = (plugin for plugin in registry.plugins if plugin.name == "good")
    assert (first.distribution, first.state) == ("alpha", State.OK)
    assert (second.distribution, second.state) == ("zeta", State.SHADOWED)
    assert second.reason == "the name 'good' belongs to alpha"
    assert "zeta_package.plugin" not in sys.modules
    assert registry.component("good/hinge").target == "alpha_package.parts:Hinge"


def test_nobody_can_take_the_core_s_name(plugin_site: Any) -> None:
    plugin_site.add_good("core", distribution="aaa")
    core, taker = plugin_site.registry().plugins
    assert (core.distribution, core.state) == ("prefalign", State.OK)
    assert (taker.distribution, taker.state) == ("aaa", State.SHADOWED)


@pytest.mark.parametrize(
    ("requires", "reason"),
    [
        ("prefalign>=9", "prefalign-good 1.0 needs prefalign>=9, but 0.1.0 runs"),
        ("prefalign<0.1", "prefalign-good 1.0 needs prefalign<0.1, but 0.1.0 runs"),
        (None, "prefalign-good does not say which prefalign it was written for"),
        ("prefalign", "prefalign-good does not say which prefalign it was written for"),
        ('prefalign>=0.1,<0.2; extra == "x"', "prefalign-good does not say which prefalign it was written for"),
    ],
)
def test_a_plugin_for_another_core_is_incompatible(plugin_site: Any, requires: str | None, reason: str) -> None:
    package = plugin_site.add_good("good", requires=requires)
    plugin = by_name(plugin_site.registry(), "good")
    assert plugin.state is State.INCOMPATIBLE
    assert plugin.reason.startswith(reason)
    assert f"{package}.plugin" not in sys.modules, "an incompatible plugin is not even imported"


def test_a_plugin_for_a_later_contract_is_incompatible(plugin_site: Any) -> None:
    plugin_site.add("bad", INFO.replace("API, ", "7, ").replace("import 7, ", "import "))
    plugin = by_name(plugin_site.registry(), "bad")
    assert (plugin.state, plugin.reason) == (State.INCOMPATIBLE, "written for contract 7, this core supports 1")


def test_the_contract_before_the_present_one_is_supported(plugin_site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefalign.hooks.loader.API", 2)
    plugin_site.add("bad", INFO)
    assert by_name(plugin_site.registry(), "bad").state is State.OK
    monkeypatch.setattr("prefalign.hooks.loader.API", 3)
    plugin = by_name(plugin_site.registry(), "bad")
    assert (plugin.state, plugin.reason) == (State.INCOMPATIBLE, "written for contract 1, this core supports 3 and 2")


def test_the_allow_list_disables_without_importing(plugin_site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = plugin_site.add_good("first"), plugin_site.add_good("second")
    monkeypatch.setenv("PREFALIGN_PLUGINS", " second ,")
    states = {plugin.name: plugin.state for plugin in plugin_site.registry().plugins}
    assert states == {"core": State.OK, "first": State.DISABLED, "second": State.OK}
    assert f"{first}.plugin" not in sys.modules
    assert f"{second}.plugin" in sys.modules
    monkeypatch.setenv("PREFALIGN_PLUGINS", "")
    states = {plugin.name: plugin.state for plugin in plugin_site.registry().plugins}
    assert states == {"core": State.OK, "first": State.DISABLED, "second": State.DISABLED}


def test_a_name_in_the_allow_list_that_is_not_installed_is_shown(
    plugin_site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFALIGN_PLUGINS", "audio")
    plugin = by_name(plugin_site.registry(), "audio")
    assert plugin.state is State.BROKEN
    assert plugin.reason == "named in PREFALIGN_PLUGINS but not installed; get it with: pip install prefalign-audio"


def test_strict_mode_raises_the_plugin_s_own_error(plugin_site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin_site.add("bad", BROKEN["import_error"][0])
    monkeypatch.setenv("PREFALIGN_STRICT", "1")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_nowhere"):
        plugin_site.registry()
    monkeypatch.setenv("PREFALIGN_STRICT", "0")
    assert by_name(plugin_site.registry(), "bad").state is State.BROKEN


def test_a_distribution_that_is_on_the_path_twice_counts_once(plugin_site: Any, tmp_path: Path) -> None:
    """An editable checkout beside an old installed copy: the first on the path is the one that Python imports."""
    plugin_site.add_good("good")
    other = type(plugin_site)(tmp_path / "older")
    other.folder.mkdir()
    other.add_good("good", version="0.9")
    (entry,) = discover([str(plugin_site.folder), str(other.folder)])
    assert entry.dist is not None
    assert entry.dist.version == "1.0"


def test_what_a_plugin_prints_on_import_stays_out_of_the_output(
    plugin_site: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin_site.add("bad", "print('hello from a plugin')\n" + INFO)
    assert by_name(plugin_site.registry(), "bad").state is State.OK
    assert capsys.readouterr() == ("", "hello from a plugin\n")


def test_a_requirement_that_cannot_be_read_is_named(plugin_site: Any) -> None:
    plugin_site.add("bad", INFO, requires="prefalign >>> 3")
    assert "cannot be read: 'prefalign >>> 3'" in by_name(plugin_site.registry(), "bad").reason


def test_an_entry_point_name_must_fit_the_pattern(plugin_site: Any) -> None:
    plugin_site.add("Bad-Name", INFO)
    plugin = by_name(plugin_site.registry(), "Bad-Name")
    assert plugin.state is State.BROKEN
    assert "'Bad-Name' does not match" in plugin.reason


def test_errors_of_the_loader_are_value_errors() -> None:
    kinds: list[Callable[..., Exception]] = [PluginError, RegistrationError, UnknownNameError]
    assert all(isinstance(kind("x"), ValueError) for kind in kinds)
