"""What a plugin registers: frozen records of strings, checked as they are built.

A record names code and never holds it, so that listing what is installed imports no torch. A wrong field raises
`RegistrationError` at the line of the plugin that built the record, which is where its author looks.
"""

import re
from dataclasses import dataclass

from prefalign.hooks.errors import RegistrationError, nearest

COMPONENT_KINDS = (
    "policy",
    "denoiser",
    "stream_model",
    "conditioner",
    "tokenizer",
    "reference",
    "reward",
    "encoder",
    "data",
    "objective",
    "transfer",
    "training",
    "callback",
    "evaluator",
)

# `prefalign <plugin> <command>` shares its first word with the core's own commands.
RESERVED_NAMES = frozenset(
    {"check", "components", "data", "doctor", "fit", "help", "new", "papers", "plugins", "predict", "presets", "test"}
    | {"merge", "validate", "version"}
)

NAME = re.compile(r"[a-z][a-z0-9_]*")
_COMMAND_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_PAPER = re.compile(r"\d{4}\.\d{4,5}|10\.\d{4,9}/\S+|https://\S+")


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """Who a plugin is.

    Attributes:
        name: The entry point's name, which is also the namespace of everything the plugin registers.
        api: Number of the contract the plugin was written for, `prefalign.hooks.API` of that day.
        summary: One line for listings.
        modalities: What the plugin's responses are, such as `("image", "text")`.
        homepage: Where its documentation is.
        papers: Identifiers of the papers it is founded on: arXiv number, DOI or https address.

    Raises:
        RegistrationError: A field breaks the rule stated above.
    """

    name: str
    api: int
    summary: str
    modalities: tuple[str, ...]
    homepage: str = ""
    papers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self, NAME)
        if self.name in RESERVED_NAMES:
            raise RegistrationError(
                f"PluginInfo name {self.name!r} is a command of prefalign itself; choose another name"
            )
        if not isinstance(self.api, int) or isinstance(self.api, bool) or self.api < 1:
            raise RegistrationError(f"PluginInfo {self.name!r}: api must be a positive integer, got {self.api!r}")
        _check_text(self, "summary")
        _check_text(self, "homepage", required=False)
        _check_tuple(self, "modalities")
        _check_papers(self)


@dataclass(frozen=True, slots=True)
class Component:
    """One class or typed builder that a config may name as `<plugin>/<name>`.

    Attributes:
        kind: One of `COMPONENT_KINDS`.
        name: Short name, unique inside the plugin; lower-case letters, digits and underscores.
        target: `module:attribute` of the defining module, not of a re-export: this path ends up in saved configs.
        summary: One line for listings.
        tiny: `module:function` that takes no argument and returns an instance running on a CPU within a second.
        papers: Papers the component implements: arXiv number, DOI or https address.
        extras: Extras of the plugin's distribution that the component needs.
        tags: Properties that the conformance checks may rely on, such as `variable_length` or `needs_gpu`.

    Raises:
        RegistrationError: A field breaks the rule stated above.
    """

    kind: str
    name: str
    target: str
    summary: str
    tiny: str = ""
    papers: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self, NAME)
        if self.kind not in COMPONENT_KINDS:
            near = nearest(str(self.kind), COMPONENT_KINDS, count=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise RegistrationError(
                f"Component {self.name!r}: kind {self.kind!r} is not one of {', '.join(COMPONENT_KINDS)}{hint}"
            )
        _check_target(self, "target")
        _check_target(self, "tiny", required=False)
        _check_text(self, "summary")
        _check_tuple(self, "extras")
        _check_tuple(self, "tags")
        _check_papers(self)

    @property
    def import_path(self) -> str:
        """The target as the dotted path that a config's `class_path` wants."""
        return self.target.replace(":", ".")


@dataclass(frozen=True, slots=True)
class Command:
    """A console command, mounted as `prefalign <plugin> <name>`.

    `target` is `module:function`; the function takes the remaining arguments as a list and returns the exit code.

    Raises:
        RegistrationError: A field breaks the rule stated above.
    """

    name: str
    target: str
    summary: str

    def __post_init__(self) -> None:
        _check_name(self, _COMMAND_NAME)
        _check_target(self, "target")
        _check_text(self, "summary")


@dataclass(frozen=True, slots=True)
class Check:
    """One diagnosis run by `prefalign doctor`.

    `target` is `module:function`; the function takes no argument, returns a line saying what it found, and raises with
    the remedy in the message where something is wrong.

    Raises:
        RegistrationError: A field breaks the rule stated above.
    """

    name: str
    target: str
    summary: str

    def __post_init__(self) -> None:
        _check_name(self, _COMMAND_NAME)
        _check_target(self, "target")
        _check_text(self, "summary")


Record = PluginInfo | Component | Command | Check


def _where(record: Record) -> str:
    return f"{type(record).__name__} {record.name!r}"


def _check_name(record: Record, pattern: re.Pattern[str]) -> None:
    if not isinstance(record.name, str) or not pattern.fullmatch(record.name):
        raise RegistrationError(f"{_where(record)}: the name must match {pattern.pattern}, got {record.name!r}")


def _check_text(record: Record, field: str, required: bool = True) -> None:
    value = getattr(record, field)
    if not isinstance(value, str) or (required and not value.strip()) or "\n" in value:
        raise RegistrationError(f"{_where(record)}: {field} must be one line of text, got {value!r}")


def _check_target(record: Record, field: str, required: bool = True) -> None:
    value = getattr(record, field)
    if value == "" and not required:
        return
    if not isinstance(value, str) or not _TARGET.fullmatch(value):
        raise RegistrationError(f"{_where(record)}: {field} must read 'package.module:attribute', got {value!r}")


def _check_tuple(record: Record, field: str) -> None:
    value = getattr(record, field)
    if not isinstance(value, tuple) or not all(isinstance(item, str) and item for item in value):
        # ("x") instead of ("x",) is the mistake this is for.
        raise RegistrationError(f"{_where(record)}: {field} must be a tuple of non-empty strings, got {value!r}")


def _check_papers(record: PluginInfo | Component) -> None:
    _check_tuple(record, "papers")
    for paper in record.papers:
        if not _PAPER.fullmatch(paper):
            raise RegistrationError(
                f"{_where(record)}: paper {paper!r} is no arXiv number (2305.18290), DOI (10.1000/xyz) or https address"
            )
