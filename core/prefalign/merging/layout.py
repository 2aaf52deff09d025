"""What has to agree before weights can be merged: names, shapes and dtypes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError

_LISTED = 3  # of many names that differ, so many are shown


class Entry(NamedTuple):
    """What is known of a tensor before it is read."""

    dtype: torch.dtype
    shape: tuple[int, ...]


Layout = Mapping[str, Entry]
"""The tensors of one model, by name."""


def layout_of(state: Mapping[str, object], title: str) -> dict[str, Entry]:
    """The layout of a state dict.

    Raises:
        PrefalignError: for a value that is no tensor, such as a module's extra state.
    """
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise PrefalignError(f"{title}: {name!r} is a {type(value).__name__}; only tensors can be merged")
    return {name: Entry(value.dtype, tuple(value.shape)) for name, value in state.items() if isinstance(value, Tensor)}


def check_layouts(layouts: Sequence[Layout], titles: Sequence[str]) -> None:
    """Compare every layout with the first.

    Args:
        layouts: of the models; the base among them, where there is one.
        titles: how messages call each.

    Raises:
        PrefalignError: for names, shapes or dtypes that differ; the message shows the first few.
    """
    first, title = layouts[0], titles[0]
    for layout, other in zip(layouts[1:], titles[1:], strict=True):
        parts = [
            f"{holder} has {some(names)}, which {lacker} has not"
            for holder, lacker, names in (
                (title, other, [name for name in first if name not in layout]),
                (other, title, [name for name in layout if name not in first]),
            )
            if names
        ]
        if parts:
            raise PrefalignError(f"{title} and {other} are of different architectures: {'; '.join(parts)}")
        for what in ("shape", "dtype"):
            differing = [name for name in first if getattr(first[name], what) != getattr(layout[name], what)]
            if differing:
                shown = "; ".join(
                    f"{name!r} is {_spoken(first[name], what)} in {title} and {_spoken(layout[name], what)} in {other}"
                    for name in differing[:_LISTED]
                )
                more = f" (and {len(differing) - _LISTED} more)" if len(differing) > _LISTED else ""
                mend = "" if what == "shape" else "; save the models in one dtype first"
                raise PrefalignError(f"{title} and {other} differ in {what}s: {shown}{more}{mend}")


def some(names: Iterable[str]) -> str:
    """The first few names, and how many there are beside them."""
    listed = list(names)
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return ", ".join(map(repr, listed[:_LISTED])) + more


def _spoken(entry: Entry, what: str) -> str:
    return str(entry.shape) if what == "shape" else str(entry.dtype).removeprefix("torch.")
