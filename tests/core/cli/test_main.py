"""The outer commands: dispatch, exit codes, how errors are printed, plugins' commands, `lightning`, the doctor."""

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prefalign.cli import diagnosis, doctor
from prefalign.cli import main as main_module
from prefalign.cli.errors import is_input_error, mark_started
from prefalign.cli.main import lightning_main, main

Capture = pytest.CaptureFixture[str]


def test_help_version_and_nothing(plugin_site: Any, capsys: Capture) -> None:
    plugin_site.add_good()
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in main_module.COMMANDS)
    assert "good greet" in out
    assert main([]) == 2
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "prefalign 0.1.0"


def test_unknown_commands_and_flags(plugin_site: Any, capsys: Capture) -> None:
    assert main(["plugin"]) == 2
    assert capsys.readouterr().err == "error: prefalign has no command 'plugin'; did you mean plugins?\n"
    assert main(["--frobnicate", "plugins"]) == 2
    assert main(["--config", "x", "fit"]) == 2
    assert main(["audio", "x"]) == 2
    assert capsys.readouterr().err.endswith("get it with: pip install prefalign-audio\n")


def test_a_plugin_s_command_gets_its_arguments_and_gives_the_exit_code(plugin_site: Any, capsys: Capture) -> None:
    plugin_site.add_good()
    before = sys.argv
    assert main(["good", "greet", "you", "--loud"]) == 7
    assert capsys.readouterr().out == "hello you --loud\n"
    assert sys.argv is before
    assert main(["good"]) == 0
    assert "prefalign good greet  Say hello" in capsys.readouterr().out
    assert main(["good", "gret"]) == 2
    assert capsys.readouterr().err == "error: plugin 'good' has no command 'gret'; did you mean greet?\n"


def test_a_broken_plugin_s_command_fails_with_its_error(plugin_site: Any, capsys: Capture) -> None:
    plugin_site.add("bad", "1 / 0\n")
    assert main(["bad", "anything"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: plugin 'bad' (prefalign-bad 1.0) is broken: ZeroDivisionError: division by zero\n")
    assert "bad_package/plugin.py" in err


PLUGIN = """
from prefalign.hooks import API, Command, PluginInfo, hookimpl

@hookimpl
def prefalign_plugin():
    return PluginInfo("boom", API, "Raises", ("text",))

@hookimpl
def prefalign_commands():
    names = ("own", "plain", "foreign", "late")
    return [Command(name, f"prefalign_boom_package.bombs:{name}", "Raise") for name in names]
"""
BOMBS = """
import json
from prefalign.cli.errors import mark_started

class OwnError(ValueError): ...
def own(arguments): raise OwnError("field 'x': wrong")
def plain(arguments): raise ValueError("also an input error")
def foreign(arguments): json.loads("{")
def late(arguments):
    mark_started()
    raise OwnError("after the start")
"""


def test_input_errors_print_one_line_and_others_a_traceback(
    plugin_site: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin_site.add("boom", PLUGIN, files={"bombs.py": BOMBS})
    assert main(["boom", "own"]) == 2
    assert capsys.readouterr() == ("", "error: field 'x': wrong\n")
    assert main(["boom", "plain"]) == 2
    assert capsys.readouterr() == ("", "error: also an input error\n")
    with pytest.raises(json.JSONDecodeError):
        main(["boom", "foreign"])
    with pytest.raises(ValueError, match="after the start"):
        main(["boom", "late"])
    monkeypatch.setenv("PREFALIGN_DEBUG", "1")
    with pytest.raises(ValueError, match="field 'x': wrong"):
        main(["boom", "own"])
    monkeypatch.setenv("PREFALIGN_DEBUG", "0")
    with pytest.raises(ValueError, match="field 'x': wrong"):
        main(["boom", "own", "--debug"])


def test_strict_mode_raises_what_the_plugin_raised(plugin_site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin_site.add("bad", "1 / 0\n")
    monkeypatch.setenv("PREFALIGN_STRICT", "1")
    with pytest.raises(ZeroDivisionError):
        main(["plugins"])


def test_lightning_s_own_verdict_on_a_config_counts_as_an_input_error() -> None:
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    mark_started(False)
    assert is_input_error(MisconfigurationException("no such strategy"))
    assert not is_input_error(RuntimeError("x"))
    assert not is_input_error(ValueError("raised nowhere"))


def test_telemetry_is_off_unless_the_user_decided(plugin_site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    main(["--version"])
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "0")
    main(["--version"])
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "0"


def test_lightning_without_sdk_says_what_it_knows(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "_sdk_script", lambda: None)
    assert lightning_main(["run", "app"]) == 2
    out = capsys.readouterr().out
    assert all(command in out for command in ("fit", "validate", "test", "predict", "pip install lightning-sdk"))
    assert lightning_main(["--help"]) == 0
    assert lightning_main([]) == 0


def test_lightning_passes_other_commands_to_the_sdk(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def script() -> int:
        seen.append(sys.argv[1:])
        return 5

    monkeypatch.setattr(main_module, "_sdk_script", lambda: SimpleNamespace(load=lambda: script))
    assert lightning_main(["studio", "list", "--all"]) == 5
    assert seen == [["studio", "list", "--all"]]


def test_lightning_keeps_the_training_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "_sdk_script", lambda: pytest.fail("the sdk was asked"))
    calls: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(main_module, "_run", lambda program, arguments: calls.append((program, arguments)) or 0)
    for command in ("fit", "validate", "test", "predict"):
        assert lightning_main([command, "--config", "x"]) == 0
    assert calls == [("lightning", [command, "--config", "x"]) for command in ("fit", "validate", "test", "predict")]


def test_the_sdk_s_script_is_found_by_its_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry point decides, not the file on the path: that one is ours."""
    entries = [
        EntryPoint("lightning", "lightning_sdk.cli:main", "console_scripts"),
        EntryPoint("lightning", "elsewhere:x", "other"),
    ]
    monkeypatch.setattr(main_module, "distribution", lambda name: SimpleNamespace(entry_points=reversed(entries)))
    found = main_module._sdk_script()
    assert found is not None
    assert found.value == "lightning_sdk.cli:main"


def test_the_doctor_says_who_owns_the_lightning_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "lightning"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert diagnosis.lightning_script()["state"] == "warning"
    script.write_text("#!python\nfrom prefalign.cli.main import lightning_main\n")
    script.chmod(0o755)
    assert diagnosis.lightning_script()["state"] == "ok"
    script.write_text("#!python\nfrom lightning_sdk.cli import main\n")
    found = diagnosis.lightning_script()
    assert (found["state"], "use `prefalign fit`" in found["text"]) == ("warning", True)


@pytest.mark.parametrize("module", ["torchvision", "torchaudio"])
def test_the_doctor_names_the_known_breakages(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that fails on import, as the published wheels do beside another build of torch."""
    check = getattr(diagnosis, f"_{module}")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, module, raising=False)
    (tmp_path / module).mkdir()
    if module == "torchaudio":
        with monkeypatch.context() as alone:  # a whole package further down the path would win over the folder
            alone.setattr(sys, "path", [str(tmp_path)])
            assert "leftover folder" in check()["text"]
    (tmp_path / module / "__init__.py").write_text("raise OSError('libc10_cuda.so: cannot open shared object file')\n")
    found = check()
    assert (found["state"], found["text"].startswith("OSError: ")) == ("error", True)


def test_a_plugin_s_failing_check_is_a_warning(plugin_site: Any) -> None:
    plugin_site.add_good()
    plugin_site.add("bad", "1 / 0\n")
    registry = plugin_site.registry()
    findings = [item for plugin in registry.plugins for item in diagnosis._plugin_findings(plugin)]
    assert diagnosis.finding("good weather", "ok", "sunny") in findings
    assert [item["state"] for item in findings if item["name"] == "plugin bad"] == ["warning"]
    (plugin_site.folder / "prefalign_good_package" / "parts.py").write_text("def weather(): raise OSError('storm')\n")
    sys.modules.pop("prefalign_good_package.parts", None)
    findings = list(diagnosis._plugin_findings(registry.plugin("good")))
    assert findings[-1] == diagnosis.finding("good weather", "warning", "OSError: storm")


def test_the_doctor_reports_and_survives_a_child_that_dies(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.run
    code = 'import os; print(\'{"name": "python", "state": "ok", "text": "3"}\', flush=True); os._exit(139)'
    monkeypatch.setattr(
        doctor.subprocess, "run", lambda command, **options: real([sys.executable, "-c", code], **options)
    )
    assert doctor.main(["--json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert [item["name"] for item in findings] == ["python", "doctor"]
    assert "died after 'python' with code 139" in findings[1]["text"]


def test_the_doctor_works_here(capsys: Capture) -> None:
    """The whole thing, in its child process: whatever this machine lacks, the report names what it found."""
    doctor.main(["--json"])
    findings = {item["name"]: item for item in json.loads(capsys.readouterr().out)}
    assert findings["torch"]["state"] == "ok"
    assert findings["devices"]["text"].startswith("cpu (")
    assert findings["import lightning.pytorch"] == {"name": "import lightning.pytorch", "state": "ok", "text": "ok"}
    assert "plugin core" in findings
