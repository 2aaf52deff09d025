"""Typed access to decoded rows. Every refusal names the dotted field, what was expected and what stood there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from prefalign.interfaces.errors import RecordError


def shown(value: Any, limit: int = 60) -> str:
    """A value as an error message shows it: shortened, and mappings and lists by their kind."""
    if isinstance(value, Mapping):
        keys = ", ".join(map(repr, list(value)[:6]))
        return f"an object with {keys}" if keys else "an empty object"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = "null" if value is None else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def expected(what: str, value: Any, path: str) -> RecordError:
    """The error for a value of the wrong kind at the dotted field `path`."""
    return RecordError(f"expected {what}, got {shown(value)}", field=path)


def as_text(value: Any, path: str) -> str:
    """`value` as text that UTF-8 can hold; JSON's escapes can spell text that it cannot."""
    if not isinstance(value, str):
        raise expected("text", value, path)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            problem = f"expected valid Unicode, got half a surrogate pair at character {error.start}"
            raise RecordError(problem, field=path) from None
    return value


def as_number(value: Any, path: str) -> float:
    """`value` as a float. Whether it must be finite is the record's affair."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise expected("a number", value, path)
    try:
        return float(value)
    except OverflowError:
        raise expected("a number within double precision", value, path) from None


def as_int(value: Any, path: str) -> int:
    """`value` as a whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise expected("a whole number", value, path)
    if not -(2**63) <= value < 2**63:
        raise expected("a whole number of at most 64 bits", value, path)
    return value


def as_flag(value: Any, path: str) -> bool:
    """`value` as true or false; 0 and 1 are refused, since they may as well be ratings."""
    if not isinstance(value, bool):
        raise expected("true or false", value, path)
    return value


def as_list(value: Any, path: str) -> Sequence[Any]:
    """`value` as a list."""
    if not isinstance(value, list | tuple):
        raise expected("a list", value, path)
    return value


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """Known names that `name` is probably a slip of; a slip seldom hits the first letter."""
    initial = name[:1].lower()
    candidates = sorted(k for k in known if k[:1] == initial)
    return difflib.get_close_matches(name.lower(), candidates, n=2, cutoff=0.82)


class Fields:
    """One object of a row. Missing and null count as the same, since Parquet cannot tell them apart.

    Args:
        value: the decoded object.
        path: its own dotted name, empty for the row itself.

    Raises:
        RecordError: unless `value` is an object.
    """

    def __init__(self, value: Any, path: str = "") -> None:
        if not isinstance(value, Mapping):
            raise expected("an object", value, path or "row")
        self.value: Mapping[str, Any] = {name: v for name, v in value.items() if v is not None}
        self.path = path

    def at(self, name: str) -> str:
        """The dotted name of the field `name`."""
        return f"{self.path}.{name}" if self.path else name

    def __contains__(self, name: object) -> bool:
        return name in self.value

    def __iter__(self) -> Iterator[str]:
        return iter(self.value)

    def get(self, name: str) -> Any:
        """The raw value; None where missing."""
        return self.value.get(name)

    def need(self, name: str, what: str) -> Any:
        """The raw value, which must be there; `what` says what it should have been."""
        value = self.value.get(name)
        if value is None:
            near = [n for n in near_names(name, self.value) if n != name]
            hint = f"; is {near[0]!r} meant?" if near else ""
            raise RecordError(f"expected {what}, got nothing{hint}", field=self.at(name))
        return value

    def text(self, name: str) -> str:
        """Text that must be there."""
        return as_text(self.need(name, "text"), self.at(name))

    def maybe_text(self, name: str) -> str | None:
        """Text, or None where missing."""
        return as_text(self.value[name], self.at(name)) if name in self else None

    def number(self, name: str) -> float:
        """A number that must be there."""
        return as_number(self.need(name, "a number"), self.at(name))

    def maybe_number(self, name: str) -> float | None:
        """A number, or None where missing."""
        return as_number(self.value[name], self.at(name)) if name in self else None

    def whole(self, name: str, default: int) -> int:
        """A whole number."""
        return as_int(self.value[name], self.at(name)) if name in self else default

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        return as_flag(self.value[name], self.at(name)) if name in self else default

    def items(self, name: str) -> list[tuple[str, Any]]:
        """The elements of a list with their dotted names; none where missing."""
        if name not in self:
            return []
        return [(f"{self.at(name)}[{i}]", v) for i, v in enumerate(as_list(self.value[name], self.at(name)))]

    def child(self, name: str) -> Fields:
        """A nested object that must be there."""
        return Fields(self.need(name, "an object"), self.at(name))

    def members(self, name: str) -> list[tuple[str, str, Any]]:
        """The members of a nested object as (name, dotted name, value); none where missing.

        Arrow hands maps out as lists of tuples, which JSON cannot produce; those are taken too.
        """
        if name not in self:
            return []
        value = self.value[name]
        if isinstance(value, list) and all(isinstance(pair, tuple) for pair in value):
            if len(dict(value)) != len(value):
                raise RecordError("a name stands twice", field=self.at(name))
            value = dict(value)
        inner = Fields(value, self.at(name))
        return [(as_text(key, inner.path), inner.at(key), inner.value[key]) for key in inner.value]

    def only(self, known: Iterable[str], remedy: str = "remove it") -> None:
        """Refuse fields that are not in `known`, naming near ones."""
        known = frozenset(known)
        for name in self.value:
            if name not in known:
                raise self.unknown(name, known, remedy)

    def unknown(self, name: str, known: Iterable[str], remedy: str) -> RecordError:
        """The error for the unknown field `name`."""
        near = near_names(name, known)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else remedy
        return RecordError(f"unknown field; {hint}", field=self.at(name))


@contextmanager
def inside(path: str) -> Iterator[None]:
    """Prefix the field of any RecordError from within, for constructors that know only their own fields."""
    try:
        yield
    except RecordError as error:
        field = f"{path}.{error.field}" if path else error.field
        raise RecordError(error.problem, field=field, record_id=error.record_id, where=error.where) from error
