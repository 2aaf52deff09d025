"""Decides which exceptions are the user's to mend and prints those as one `error:` line."""

import os
import sys
from types import TracebackType

from prefalign.hooks.registry import get_registry

DEBUG_VARIABLE = "PREFALIGN_DEBUG"


_started = False


class CommandError(ValueError):
    """A command was called in a way that cannot work; the message says what to do instead."""


def mark_started(started: bool = True) -> None:
    """Note that training has begun (or, with False, a new command): from there on tracebacks are wanted."""
    global _started
    _started = started


def debugging() -> bool:
    """Tell whether tracebacks are wanted."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def is_input_error(error: BaseException) -> bool:
    """Tell whether `error` reports bad input: a ValueError that this project or a plugin defines or raises itself,
    before the first training step.

    A ValueError from inside torch or another library is more likely a defect, whose traceback is worth seeing.
    Lightning's MisconfigurationException is by its meaning an input error and counts as one.
    """
    if _started:
        return False
    if type(error).__name__ == "MisconfigurationException" and type(error).__module__.startswith("lightning."):
        return True
    if not isinstance(error, ValueError):
        return False
    ours = _our_packages()
    return _package(type(error).__module__) in ours or _package(_raised_in(error.__traceback__)) in ours


def own_cause(error: BaseException) -> BaseException:
    """Return the input error that `error` was raised from, if there is one in its chain, else `error`.

    jsonargparse wraps what the constructor of a configured class raises in an error about types.
    """
    cause: BaseException | None = error
    while cause is not None:
        if is_input_error(cause):
            return cause
        cause = cause.__cause__ or cause.__context__
    return error


def print_error(error: BaseException) -> None:
    """Print the message to standard error without a traceback."""
    print(f"error: {str(error).strip()}", file=sys.stderr)


def _our_packages() -> set[str]:
    try:
        plugins = get_registry().plugins
    except Exception:  # strict mode: what is being printed is a plugin's own failure to load
        plugins = ()
    return {"prefalign"} | {_package(plugin.module) for plugin in plugins if plugin.module}


def _package(module: str) -> str:
    return module.partition(":")[0].partition(".")[0]


def _raised_in(trace: TracebackType | None) -> str:
    """Return the name of the module whose frame raised."""
    name = ""
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", ""))
        trace = trace.tb_next
    return name
