"""The listings: what they show, their JSON, that they never fail because of a plugin, and that they are quick."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from prefalign.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def site(plugin_site: Any) -> Any:
    """One good plugin, one broken, one for another core, one shadowed."""
    plugin_site.add_good()
    plugin_site.add("bad", "1 / 0\n")
    plugin_site.add_good("late", requires="prefalign>=9")
    plugin_site.add_good("good", distribution="zeta")
    return plugin_site


def run(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def test_plugins_explains_every_state(site: Any, capsys: Capture) -> None:
    code, out, _ = run(capsys, "plugins")
    rows = {tuple(line.split()[:3]): line for line in out.splitlines() if line}
    assert code == 0
    assert ("core", "ok", "prefalign") in rows
    assert "A plugin for a test" in rows["good", "ok", "prefalign-good"]
    assert "ZeroDivisionError: division by zero" in rows["bad", "broken", "prefalign-bad"]
    assert "needs prefalign>=9" in rows["late", "incompatible", "prefalign-late"]
    assert "belongs to prefalign-good" in rows["good", "shadowed", "zeta"]
    assert "audio: pip install prefalign-audio" in out


def test_plugins_as_json_and_by_hook(site: Any, capsys: Capture) -> None:
    _, out, _ = run(capsys, "plugins", "--json")
    by_state = {(plugin["name"], plugin["state"]): plugin for plugin in json.loads(out)}
    good = by_state["good", "ok"]
    assert good["components"] == ["good/hinge", "good/table"]
    assert good["presets"] == ["good/small"]
    assert (good["commands"], good["checks"]) == (["greet"], ["weather"])
    assert "Traceback" in by_state["bad", "broken"]["traceback"]
    _, out, _ = run(capsys, "plugins", "--json", "--hook", "prefalign_commands")
    assert [plugin["name"] for plugin in json.loads(out)] == ["good"]
    assert "pip install" not in run(capsys, "plugins", "--hook", "prefalign_commands")[1]
    code, _, err = run(capsys, "plugins", "--hook", "prefalign_command")
    assert (code, err.startswith("error: there is no hook 'prefalign_command'; did you mean prefalign_commands")) == (
        2,
        True,
    )


def test_plugins_show(site: Any, capsys: Capture) -> None:
    code, out, _ = run(capsys, "plugins", "show", "bad")
    assert code == 0
    assert "ZeroDivisionError" in out.splitlines()[2]
    assert "Traceback (most recent call last)" in out
    code, out, _ = run(capsys, "plugins", "show", "good")
    assert (code, "shadowed" in out, "good/hinge" in out) == (0, True, True)
    code, _, err = run(capsys, "plugins", "show", "goodd")
    assert (code, "did you mean good" in err) == (2, True)
    assert run(capsys, "plugins", "show")[0] == 2
    assert run(capsys, "plugins", "list", "good")[0] == 2


def test_components(site: Any, capsys: Capture) -> None:
    _, out, _ = run(capsys, "components", "--json", "--plugin", "good")
    assert [record["alias"] for record in json.loads(out)] == ["good/hinge", "good/table"]
    _, out, _ = run(capsys, "components", "--kind", "policy", "--plugin", "good")
    assert out.splitlines()[1].split() == ["good/table", "policy", "A", "table"]
    assert len(out.splitlines()) == 2
    code, _, err = run(capsys, "components", "--plugin", "bad")
    assert (code, "ZeroDivisionError" in err) == (2, True)
    assert run(capsys, "components", "--kind", "polcy")[0] == 2


def test_presets(site: Any, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, out, _ = run(capsys, "presets", "--json", "--plugin", "good")
    (preset,) = json.loads(out)
    assert preset["name"] == "good/small"
    assert preset["paper"] == "arXiv 2305.18290, direct preference optimisation"
    assert preset["papers"] == ["2305.18290"]
    _, out, _ = run(capsys, "presets", "show", "good/small")
    assert out == Path(preset["path"]).read_text()
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "presets", "copy", "good/small")
    assert (code, out.strip()) == (0, "small.yaml")
    # The piece that it includes is found from the copy's place as well.
    included = (tmp_path / "small.yaml").read_text().splitlines()[-1].removeprefix("trainer: ")
    assert Path(included).read_text() == "accelerator: cpu\n"
    before = (tmp_path / "small.yaml").read_text()
    code, _, err = run(capsys, "presets", "copy", "good/small")
    assert (code, err) == (2, "error: there is a file small.yaml already; choose another destination\n")
    assert (tmp_path / "small.yaml").read_text() == before
    (tmp_path / "folder").mkdir()
    assert run(capsys, "presets", "copy", "good/small", "folder")[1].strip() == "folder/small.yaml"
    assert run(capsys, "presets", "show", "good/small", "folder")[0] == 2
    code, _, err = run(capsys, "presets", "show", "good/smal")
    assert (code, "did you mean good/small" in err) == (2, True)


def test_papers(site: Any, capsys: Capture) -> None:
    _, out, _ = run(capsys, "papers", "--json")
    (paper,) = [entry for entry in json.loads(out) if entry["paper"] == "2305.18290"]
    assert "good" in paper["plugins"]
    assert "good/hinge" in paper["components"]
    assert "good/small" in paper["presets"]
    _, out, _ = run(capsys, "papers")
    assert any(line.startswith("2305.18290") and "good/hinge" in line for line in out.splitlines())


def test_no_plugins_leaves_the_core(site: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFALIGN_PLUGINS", "good")
    _, out, _ = run(capsys, "plugins", "--json", "--no-plugins")
    assert {plugin["name"] for plugin in json.loads(out) if plugin["state"] == "ok"} == {"core"}


@pytest.mark.parametrize("command", ["plugins", "components", "presets", "papers", "--help", "--version"])
def test_listings_import_no_numerics_and_are_quick(command: str) -> None:
    """The target is half a second on an idle core; the bound here leaves room for a machine that is not."""
    code = (
        "import sys; from prefalign.cli.main import main; main(sys.argv[1:]);"
        "heavy = ('torch', 'lightning', 'numpy', 'transformers', 'jsonargparse', 'yaml', 'rich');"
        "print([module for module in heavy if module in sys.modules])"
    )
    start = time.process_time(), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, command], capture_output=True, text=True, check=True)
    assert time.perf_counter() - start[1] < 5
    assert done.stdout.splitlines()[-1] == "[]"
