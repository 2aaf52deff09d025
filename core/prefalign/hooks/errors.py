"""Errors of the plugin system. All derive from ValueError: what caused them is an input, and the message says which."""

from collections.abc import Iterable
from difflib import SequenceMatcher


class RegistrationError(ValueError):
    """A plugin handed over a record that breaks the contract; the message names the record, the field and the rule."""


class PluginError(ValueError):
    """Something asked for a plugin that is not usable; the message carries the plugin's own error and traceback."""


class UnknownNameError(ValueError):
    """No installed plugin offers the name; the message lists the nearest ones and, where known, what to install."""


def nearest(name: str, candidates: Iterable[str], count: int = 3) -> list[str]:
    """Return up to `count` candidates that resemble `name`, best first.

    The part behind the last slash is compared as well as the whole: the right name under the wrong plugin is found too.
    """

    def likeness(candidate: str) -> float:
        whole = SequenceMatcher(None, name, candidate).ratio()
        tail = SequenceMatcher(None, name.rpartition("/")[2], candidate.rpartition("/")[2]).ratio()
        return max(whole, tail)

    scored = sorted(((likeness(c), c) for c in candidates), key=lambda pair: (-pair[0], pair[1]))
    return [candidate for score, candidate in scored[:count] if score > 0.4]
