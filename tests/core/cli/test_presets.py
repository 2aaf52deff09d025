"""Every preset of every installed plugin has its header and parses through the real command."""

from pathlib import Path

import pytest

from prefalign.cli.main import main
from prefalign.hooks.presets import HEADER_KEYS, Preset, list_presets
from prefalign.hooks.registry import get_registry

PRESETS = list_presets(get_registry())


def test_the_listing_misses_no_file() -> None:
    """Counted independently of the listing: every YAML file that is not included by a relative path somewhere."""
    counted = 0
    for plugin in get_registry().usable:
        files = list(plugin.presets.rglob("*.yaml")) if plugin.presets else []
        text = "\n".join(file.read_text(encoding="utf-8") for file in files)
        counted += sum(
            not (file.parent != plugin.presets and f"{file.parent.name}/{file.name}" in text) for file in files
        )
    assert len(PRESETS) == counted


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_has_its_header_and_parses(
    preset: Preset, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert preset.problem == ""
    assert list(preset.header) == list(HEADER_KEYS), "the keys stand in their order"
    assert f"--config {preset.name}" in preset.header["Run"]
    monkeypatch.chdir(tmp_path)
    code = main(["fit", "--config", preset.name, "--print_config"])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "class_path" in out
