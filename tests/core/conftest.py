"""Fixtures shared by the core's tests: plugins that exist for one test only, and none of the machine's own."""

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from prefalign.hooks import loader, registry
from prefalign.hooks.registry import Registry, get_registry


class PluginSite:
    """A folder that stands for the site-packages of one test.

    Plugins are written as source with a metadata folder beside them, which is all that discovery looks at; nothing is
    installed. The core's own plugin is loaded as always.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        name: str,
        source: str,
        *,
        distribution: str | None = None,
        version: str = "1.0",
        requires: str | None = "prefalign>=0.1,<0.2",
        files: dict[str, str] | None = None,
    ) -> str:
        """Write a plugin whose entry module holds `source`; return the name of its package."""
        owner = distribution or f"prefalign-{name.replace('_', '-')}"
        package = f"{owner.replace('-', '_')}_package"
        for path, text in {"__init__.py": "", "plugin.py": source, **(files or {})}.items():
            target = self.folder / package / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(textwrap.dedent(text), encoding="utf-8")
        metadata = self.folder / f"{owner.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir()
        requirement = f"Requires-Dist: {requires}\n" if requires else ""
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {owner}\nVersion: {version}\n{requirement}", encoding="utf-8"
        )
        (metadata / "entry_points.txt").write_text(
            f"[prefalign.plugins]\n{name} = {package}.plugin\n", encoding="utf-8"
        )
        return package

    def add_good(self, name: str = "good", **options: str) -> str:
        """Write a plugin that implements every registration hook and is right in every way."""
        package = f"{(options.get('distribution') or f'prefalign-{name}').replace('-', '_')}_package"
        source = f"""
            from prefalign.hooks import API, Check, Command, Component, PluginInfo, hookimpl

            @hookimpl
            def prefalign_plugin():
                return PluginInfo({name!r}, API, "A plugin for a test", ("text",), papers=("2305.18290",))

            @hookimpl
            def prefalign_components():
                return [
                    Component("objective", "hinge", "{package}.parts:Hinge", "A hinge", papers=("2305.18290",)),
                    Component("policy", "table", "{package}.parts:Table", "A table"),
                ]

            @hookimpl
            def prefalign_presets():
                return "{package}:presets"

            @hookimpl
            def prefalign_commands():
                return [Command("greet", "{package}.parts:greet", "Say hello")]

            @hookimpl
            def prefalign_checks():
                return [Check("weather", "{package}.parts:weather", "Look outside")]
        """
        parts = """
            class Hinge: ...
            class Table: ...
            def greet(arguments):
                print("hello", *arguments)
                return 7
            def weather():
                return "sunny"
        """
        preset = f"""\
            # Paper: arXiv 2305.18290,
            #   direct preference optimisation
            # Data: none
            # Run: prefalign fit --config {name}/small
            # Hardware: any CPU, one second
            # Expected: loss 0.69
            trainer: trainer/cpu.yaml
            """
        piece = "accelerator: cpu\n"
        return self.add(
            name,
            source,
            files={"parts.py": parts, "presets/small.yaml": preset, "presets/trainer/cpu.yaml": piece},
            **options,  # type: ignore[arg-type]
        )

    def entries(self) -> list[EntryPoint]:
        """What discovery finds in this folder."""
        return loader.discover([str(self.folder)])

    def registry(self) -> Registry:
        """Load what was written so far, forgetting what was loaded before."""
        importlib.invalidate_caches()
        get_registry.cache_clear()
        return get_registry()


@pytest.fixture
def plugin_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginSite]:
    """Plugins of this test only: real discovery is refused, and every trace is gone afterwards."""
    site = PluginSite(tmp_path / "site")
    site.folder.mkdir()
    real: Callable[..., list[EntryPoint]] = loader.discover
    monkeypatch.setattr(registry, "discover", lambda: real([str(site.folder)]))
    monkeypatch.syspath_prepend(str(site.folder))
    for variable in (loader.ALLOWED_VARIABLE, loader.STRICT_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    modules = set(sys.modules)
    get_registry.cache_clear()
    yield site
    get_registry.cache_clear()
    for name in set(sys.modules) - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(site.folder)):
            del sys.modules[name]
