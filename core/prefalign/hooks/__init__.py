"""What a plugin's entry module needs: the marker for hooks, the records and the contract's number.

    from prefalign.hooks import API, Component, PluginInfo, hookimpl

This package needs the standard library, pluggy and packaging only. What is installed is asked of
`prefalign.hooks.registry.get_registry()`.
"""

from typing import Final

import pluggy

from prefalign.hooks.errors import PluginError, RegistrationError, UnknownNameError
from prefalign.hooks.records import Check, Command, Component, PluginInfo

API: Final = 1
"""Number of the present contract. The core loads plugins written for this number and for the one before it."""

hookimpl = pluggy.HookimplMarker("prefalign")

__all__ = [
    "API",
    "Check",
    "Command",
    "Component",
    "PluginError",
    "PluginInfo",
    "RegistrationError",
    "UnknownNameError",
    "hookimpl",
]
