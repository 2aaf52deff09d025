"""prefalign_presets: headers, pieces, sub-folders and unknown names."""

from typing import Any

import pytest

from prefalign.hooks import PluginError, UnknownNameError
from prefalign.hooks.presets import find_preset, list_presets, read_header

HEADER = "# Paper: P\n# Data: D\n# Run: R\n# Hardware: H\n# Expected: E\n"
SOURCE = """
from prefalign.hooks import API, PluginInfo, hookimpl

@hookimpl
def prefalign_plugin():
    return PluginInfo("p", API, "A plugin for a test", ("text",))

@hookimpl
def prefalign_presets():
    return "prefalign_p_package:configs"
"""


def test_the_header_is_the_comment_block_that_opens_the_file() -> None:
    text = "# Paper: arXiv 2305.18290,\n#   DPO: a title\n# Data: none\n\n# Run: too late\ntrainer: {}\n"
    assert read_header(text) == {"Paper": "arXiv 2305.18290, DPO: a title", "Data": "none"}
    assert read_header("trainer: {}\n# Paper: too late\n") == {}


def test_presets_of_sub_folders_count_and_pieces_do_not(plugin_site: Any) -> None:
    files = {
        "configs/one.yaml": HEADER.replace("P\n", "arXiv 2305.18290 and 2312.00849v2\n"),
        "configs/deep/down/two.yaml": HEADER,
        "configs/deep/half.yaml": "# Paper: P\ntrainer: {}\n",
        "configs/bare.yaml": "trainer: {}\n",
        "configs/trainer/gpu.yaml": "devices: 1\n",
    }
    plugin_site.add("p", SOURCE, files=files)
    presets = {preset.name: preset for preset in list_presets(plugin_site.registry()) if preset.plugin == "p"}
    assert list(presets) == ["p/bare", "p/deep/down/two", "p/deep/half", "p/one"]
    assert {name: preset.problem for name, preset in presets.items()} == {
        "p/bare": "the header lacks Paper, Data, Run, Hardware, Expected",
        "p/deep/down/two": "",
        "p/deep/half": "the header lacks Data, Run, Hardware, Expected",
        "p/one": "",
    }
    assert presets["p/one"].papers == ("2305.18290", "2312.00849")


def test_an_unknown_preset_is_answered_with_near_ones(plugin_site: Any) -> None:
    plugin_site.add_good()
    registry = plugin_site.registry()
    assert find_preset("good/small", registry).path.name == "small.yaml"
    with pytest.raises(UnknownNameError, match="no preset and no file 'good/smal'; did you mean good/small"):
        find_preset("good/smal", registry)
    with pytest.raises(UnknownNameError, match="no preset and no file 'nothing'"):
        find_preset("nothing", registry)
    with pytest.raises(UnknownNameError, match="pip install prefalign-audio"):
        find_preset("audio/small", registry)


def test_a_preset_of_a_broken_plugin_fails_with_that_plugin_s_error(plugin_site: Any) -> None:
    plugin_site.add("bad", "1 / 0\n")
    with pytest.raises(PluginError, match="ZeroDivisionError: division by zero"):
        find_preset("bad/small", plugin_site.registry())
