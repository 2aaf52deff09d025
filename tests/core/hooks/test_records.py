"""Records refuse what breaks the contract, at the line that builds them."""

import dataclasses
from typing import Any

import pytest

from prefalign.cli.main import COMMANDS
from prefalign.hooks import Check, Command, Component, PluginInfo, RegistrationError
from prefalign.hooks.records import RESERVED_NAMES

INFO: dict[str, Any] = {"name": "audio", "api": 1, "summary": "Sound", "modalities": ("audio",)}
COMPONENT: dict[str, Any] = {"kind": "reward", "name": "clap", "target": "pkg.clap:Clap", "summary": "CLAP score"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Audio"}, "must match"),
        ({"name": "2audio"}, "must match"),
        ({"name": "audio-x"}, "must match"),
        ({"name": "fit"}, "is a command of prefalign"),
        ({"api": "1"}, "positive integer, got '1'"),
        ({"api": True}, "positive integer, got True"),
        ({"api": 0}, "positive integer, got 0"),
        ({"summary": " "}, "summary must be one line"),
        ({"summary": "a\nb"}, "summary must be one line"),
        ({"modalities": "audio"}, "modalities must be a tuple"),
        ({"papers": ("DPO",)}, "paper 'DPO' is no arXiv number"),
        ({"homepage": None}, "homepage must be one line"),
    ],
)
def test_plugin_info_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        PluginInfo(**{**INFO, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "rewards"}, "kind 'rewards' is not one of .* did you mean 'reward'"),
        ({"target": "pkg.clap.Clap"}, "target must read 'package.module:attribute', got 'pkg.clap.Clap'"),
        ({"target": "pkg/clap:Clap"}, "target must read"),
        ({"target": "pkg.clap:Clap.build"}, "target must read"),
        ({"tiny": "pkg.clap"}, "tiny must read"),
        ({"papers": "2305.18290"}, "papers must be a tuple of non-empty strings, got '2305.18290'"),
        ({"tags": ["x"]}, "tags must be a tuple"),
        ({"extras": ("",)}, "extras must be a tuple of non-empty"),
    ],
)
def test_component_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        Component(**{**COMPONENT, **changes})


@pytest.mark.parametrize("record", [Command, Check])
def test_command_and_check_refuse_a_path_without_colon(record: type[Command] | type[Check]) -> None:
    with pytest.raises(RegistrationError, match="target must read"):
        record("chair", "pkg.chair.main", "Compute CHAIR")


def test_papers_may_be_arxiv_numbers_dois_or_addresses() -> None:
    papers = ("2305.18290", "10.1145/1234567.1234568", "https://openreview.net/forum?id=abc")
    assert Component(**COMPONENT, papers=papers).papers == papers


def test_a_component_gives_the_dotted_path_and_is_frozen() -> None:
    component = Component(**COMPONENT)
    assert component.import_path == "pkg.clap.Clap"
    with pytest.raises(dataclasses.FrozenInstanceError):
        component.name = "other"  # type: ignore[misc]


def test_every_command_of_the_core_is_reserved() -> None:
    """A plugin of that name could register commands that nobody can reach."""
    assert COMMANDS.keys() <= RESERVED_NAMES
