"""The documentation's code runs.

In README.md, docs/*.md and the packages' READMEs every fence marked `python` is run, those of one page one after the
other in one namespace and an empty folder, and every fence marked `yaml` must be YAML whose class paths and short names
exist. A fragment that is not meant to run carries another mark (`text`, `py`).
"""

import importlib
import re
from pathlib import Path

import pytest
import yaml

from prefalign.cli.main import main
from prefalign.cli.names import NameResolver
from prefalign.hooks.errors import UnknownNameError
from prefalign.hooks.registry import get_registry

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("*/*/README.md")])
FENCE = re.compile(r"^(?P<mark>```+)(?P<kind>python|yaml)\n(?P<code>.*?)^(?P=mark)", re.M | re.S)


def fences(kind):
    """Pages with fences of a kind, as parameters: path and list of (line, code)."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8") if page.exists() else ""
        blocks = [
            (text.count("\n", 0, m.start("code")) + 1, m["code"]) for m in FENCE.finditer(text) if m["kind"] == kind
        ]
        if blocks:
            found.append(pytest.param(page, blocks, id=page.relative_to(ROOT).as_posix()))
    return found


@pytest.mark.parametrize(("page", "blocks"), fences("python"))
def test_python_runs(page, blocks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "documentation"}
    for line, code in blocks:
        # Blank lines before the code make a traceback point at the page's own lines.
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)


def strings(node):
    """Every string value of a parsed YAML document."""
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from strings(item)
    elif isinstance(node, str):
        yield node


def unknown_names(document):
    """Class paths that lead nowhere; short names of components that do not exist raise by themselves."""
    resolved = list(strings(NameResolver(get_registry()).tree(document)))
    for name in resolved:
        module, _, attribute = name.rpartition(".")
        if name.startswith("prefalign") and name.count(".") > 1:
            try:
                found = hasattr(importlib.import_module(module), attribute)
            except ModuleNotFoundError:
                found = False
            if not found:
                yield name


@pytest.mark.parametrize(("page", "blocks"), fences("yaml"))
def test_yaml_parses_and_names_what_exists(page, blocks, tmp_path, capsys):
    for line, code in blocks:
        document = yaml.safe_load(code)
        where = f"{page.name}, fence at line {line}"
        assert list(unknown_names(document)) == [], where
        if isinstance(document, dict) and {"model", "data"} <= document.keys():
            # A whole config: the command's own parser must take every option in it.
            config = tmp_path / "config.yaml"
            config.write_text(code, encoding="utf-8")
            assert main(["fit", "--config", str(config), "--print_config"]) == 0, f"{where}: {capsys.readouterr().err}"


def test_the_checks_see_what_they_should(tmp_path):
    assert [m["code"] for m in FENCE.finditer("a\n```python\n1\n```\n```text\n2\n```\n")] == ["1\n"]
    assert list(unknown_names({"a": [{"class_path": "prefalign.policies.token.NoSuch"}]})) != []
    with pytest.raises(UnknownNameError):
        list(unknown_names({"class_path": "core/no_such"}))
