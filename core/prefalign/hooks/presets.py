"""Presets: YAML files of a plugin that hold one experiment each and open with a fixed header.

    # Paper: arXiv 2312.00849, RLHF-V
    # Data: prefalign data convert ...
    # Run: prefalign fit --config vision_llm/rlhfv
    # Hardware: one 24 GB GPU, 40 minutes
    # Expected: CHAIR_s 12.2, table 2

A key's text may go on over further comment lines. In sub-folders, files without a header are pieces for presets.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from prefalign.hooks.errors import UnknownNameError, nearest
from prefalign.hooks.loader import KNOWN_PLUGINS
from prefalign.hooks.registry import Registry

HEADER_KEYS = ("Paper", "Data", "Run", "Hardware", "Expected")

_ARXIV = re.compile(r"(?<!\d)\d{4}\.\d{4,5}(?!\d)")
_KEY_LINE = re.compile(r"#\s?([A-Z][a-z]+):\s*(.*)")


@dataclass(frozen=True, slots=True)
class Preset:
    """One preset file. `problem` is empty unless its header is incomplete."""

    name: str
    plugin: str
    path: Path
    header: dict[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def papers(self) -> tuple[str, ...]:
        """arXiv numbers that the header mentions."""
        return tuple(dict.fromkeys(_ARXIV.findall(self.header.get("Paper", ""))))


def read_header(text: str) -> dict[str, str]:
    """Return the values of the header's keys from the comment block that opens a preset."""
    header: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        match = _KEY_LINE.fullmatch(line.rstrip())
        if match and match[1] in HEADER_KEYS and match[1] not in header:
            current = match[1]
            header[current] = match[2].strip()
        elif current:
            header[current] = f"{header[current]} {line.lstrip('#').strip()}".strip()
    return header


def list_presets(registry: Registry) -> list[Preset]:
    """Return the presets of every usable plugin, sorted by name."""
    presets = []
    for plugin in registry.usable:
        if plugin.presets is None:
            continue
        for path in sorted(plugin.presets.rglob("*.yaml")):
            relative = path.relative_to(plugin.presets)
            header = read_header(path.read_text(encoding="utf-8"))
            if not header and len(relative.parts) > 1:
                continue
            missing = [key for key in HEADER_KEYS if not header.get(key)]
            problem = f"the header lacks {', '.join(missing)}" if missing else ""
            presets.append(
                Preset(f"{plugin.name}/{relative.with_suffix('').as_posix()}", plugin.name, path, header, problem)
            )
    return sorted(presets, key=lambda preset: preset.name)


def find_preset(name: str, registry: Registry) -> Preset:
    """Return the preset called `plugin/name`.

    Raises:
        PluginError: The plugin is installed but not usable.
        UnknownNameError: The plugin is absent or has no such preset; the three nearest names are given.
    """
    presets = {preset.name: preset for preset in list_presets(registry)}
    if name in presets:
        return presets[name]
    namespace, slash, _ = name.partition("/")
    if slash and (namespace in KNOWN_PLUGINS or any(plugin.name == namespace for plugin in registry.plugins)):
        registry.plugin(namespace)
    near = nearest(name, presets)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; see: prefalign presets"
    raise UnknownNameError(f"there is no preset and no file {name!r}{hint}")
