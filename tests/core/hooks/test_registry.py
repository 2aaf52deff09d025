"""Looking names up, and the hooks that are called after loading: prefalign_open_pairs and prefalign_describe_run."""

from typing import Any

import pytest

from prefalign.hooks import PluginError, UnknownNameError
from prefalign.hooks.errors import nearest

PLUGIN = """
from prefalign.hooks import API, PluginInfo, hookimpl

@hookimpl
def prefalign_plugin():
    return PluginInfo({name!r}, API, "A plugin for a test", ("text",))
"""


def test_nearest_finds_the_right_name_under_the_wrong_plugin() -> None:
    names = ["core/dpo", "core/ipo", "core/kto", "audio/clap", "robotics/cpl"]
    assert nearest("core/dop", names)[0] == "core/dpo"
    assert nearest("audio/kto", names)[0] == "core/kto"
    assert len(nearest("core/xpo", names)) == 3
    assert nearest("zzzz", names) == []


def test_an_unknown_component_is_answered_with_near_ones(plugin_site: Any) -> None:
    plugin_site.add_good()
    with pytest.raises(UnknownNameError, match="there is no component 'good/hing'; did you mean good/hinge"):
        plugin_site.registry().component("good/hing")


def test_an_absent_plugin_that_is_known_comes_with_its_pip_line(plugin_site: Any) -> None:
    with pytest.raises(UnknownNameError, match="'audio' is not installed; get it with: pip install prefalign-audio"):
        plugin_site.registry().component("audio/clap")


def test_an_unknown_plugin_is_answered_with_near_ones(plugin_site: Any) -> None:
    plugin_site.add_good()
    with pytest.raises(UnknownNameError, match="there is no plugin 'gud'; did you mean good"):
        plugin_site.registry().plugin("gud")


def test_prefalign_open_pairs_takes_the_first_answer(plugin_site: Any) -> None:
    """Plugins are asked by name; `tryfirst` comes before them and `trylast` after them."""
    body = """
@hookimpl{options}
def prefalign_open_pairs(uri, split):
    if uri.startswith("{scheme}:"):
        return ({name!r}, uri, split)
"""
    for name, scheme, options in (("a", "x", ""), ("b", "x", ""), ("c", "x", "(tryfirst=True)"), ("d", "y", "")):
        plugin_site.add(name, PLUGIN.format(name=name) + body.format(name=name, scheme=scheme, options=options))
    registry = plugin_site.registry()
    assert registry.open_pairs("x:1", "train") == ("c", "x:1", "train")
    assert registry.open_pairs("y:1", "validation") == ("d", "y:1", "validation")


def test_prefalign_open_pairs_asks_by_name(plugin_site: Any) -> None:
    body = "\n@hookimpl\ndef prefalign_open_pairs():\n    return {name!r}\n"
    for name in ("b", "a"):
        plugin_site.add(name, PLUGIN.format(name=name) + body.format(name=name))
    assert plugin_site.registry().open_pairs("x:1", "train") == "a"


def test_prefalign_open_pairs_names_the_plugin_that_fails(plugin_site: Any) -> None:
    body = "\n@hookimpl\ndef prefalign_open_pairs(uri):\n    raise OSError('disk on fire')\n"
    plugin_site.add("bad", PLUGIN.format(name="bad") + body)
    with pytest.raises(PluginError, match="plugin 'bad' failed to open 'x:1': disk on fire"):
        plugin_site.registry().open_pairs("x:1", "train")


def test_prefalign_open_pairs_with_nobody_to_answer_says_who_could_not_be_asked(plugin_site: Any) -> None:
    plugin_site.add("bad", "import a_module_that_is_nowhere\n")
    with pytest.raises(UnknownNameError, match=r"opens 'x:1'; not usable at present: bad \(broken: ModuleNotFound"):
        plugin_site.registry().open_pairs("x:1", "train")


def test_prefalign_describe_run_files_facts_by_plugin_and_cannot_change_the_config(plugin_site: Any) -> None:
    body = """
@hookimpl
def prefalign_describe_run(config, components):
    config["trainer"]["max_steps"] = 99
    return {"steps": config["trainer"]["max_steps"], "used": list(components)}
"""
    plugin_site.add("a", PLUGIN.format(name="a") + body)
    plugin_site.add("b", PLUGIN.format(name="b") + "\n@hookimpl\ndef prefalign_describe_run():\n    return None\n")
    config = {"trainer": {"max_steps": 2}}
    facts = plugin_site.registry().describe_run(config, ("core/dpo",))
    assert facts == {"a": {"steps": 99, "used": ["core/dpo"]}}
    assert config == {"trainer": {"max_steps": 2}}


def test_prefalign_describe_run_survives_a_plugin_that_fails(plugin_site: Any) -> None:
    for name, body in (("a", "raise KeyError('gone')"), ("b", "return [1]"), ("c", "return {'fine': True}")):
        plugin_site.add(
            name, PLUGIN.format(name=name) + f"\n@hookimpl\ndef prefalign_describe_run(config):\n    {body}\n"
        )
    with pytest.warns(UserWarning, match="could not describe the run") as caught:
        facts = plugin_site.registry().describe_run({}, ())
    assert len(caught) == 2
    assert facts["a"] == {"error": "KeyError: 'gone'"}
    assert facts["b"]["error"].startswith("TypeError")
    assert facts["c"] == {"fine": True}
