"""The reference of the hooks in docs/plugins.md says what the code says, and every hook has a test that names it."""

import inspect
import re
from pathlib import Path
from types import FunctionType

import pytest

from prefalign.hooks import API, hookspecs
from prefalign.hooks.loader import State
from prefalign.hooks.records import COMPONENT_KINDS, RESERVED_NAMES, Check, Command, Component, PluginInfo

PAGE = (Path(__file__).parents[3] / "docs" / "plugins.md").read_text(encoding="utf-8")
HOOKS = {name: value for name, value in vars(hookspecs).items() if name.startswith("prefalign_")}


def reference(name: str, function: FunctionType) -> str:
    """The section that the page must hold: heading, summary, and one item for each labelled paragraph."""
    lines = [f"### `{name}({', '.join(inspect.signature(function).parameters)})`", ""]
    for line in (inspect.getdoc(function) or "").splitlines():
        label = re.match(r"(When|Arguments|Returns|None): ", line)
        if label:
            lines.append(f"- **{label[1]}**: {line[label.end() :]}")
        elif line and len(lines) > 2 and lines[-1]:
            lines.append(f"  {line}" if lines[-1].startswith(("- ", "  ")) else line)
        else:
            lines.append(line)
    return "\n".join(lines)


def test_there_are_seven_hooks() -> None:
    assert len(HOOKS) == 7
    assert len(re.findall(r"^### `prefalign_\w+\(", PAGE, flags=re.M)) == 7


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_s_section_repeats_its_docstring(name: str) -> None:
    expected = reference(name, HOOKS[name])
    assert expected in PAGE, f"docs/plugins.md must hold this section:\n\n{expected}"


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_s_docstring_says_when_what_and_what_none_means(name: str) -> None:
    doc = inspect.getdoc(HOOKS[name]) or ""
    labels = re.findall(r"^(When|Arguments|Returns|None):", doc, flags=re.M)
    arguments = ["Arguments"] if inspect.signature(HOOKS[name]).parameters else []
    assert labels == ["When", *arguments, "Returns", "None"]
    for argument in inspect.signature(HOOKS[name]).parameters:
        assert f"`{argument}`" in doc


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_has_a_test_that_names_it(name: str) -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert re.search(rf"def test_\w*{name}\w*\(", sources), f"no test function has {name} in its name"


def test_the_page_knows_every_field_kind_state_and_reserved_name() -> None:
    for record in (PluginInfo, Component, Command, Check):
        signature = ", ".join(
            parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default!r}"
            for parameter in inspect.signature(record).parameters.values()
        ).replace("'", '"')
        assert f"{record.__name__}({signature})" in PAGE
    for word in (*COMPONENT_KINDS, *State, *RESERVED_NAMES):
        assert f"`{word}`" in PAGE, word
    assert f"**{API}**" in PAGE, "the contract's history has a paragraph for each number"
