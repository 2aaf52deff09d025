"""The error for sounds that cannot be used."""

from __future__ import annotations

from prefalign.interfaces.errors import PrefalignError


class SoundError(PrefalignError):
    """A sound or a sound file that cannot be used; the message names the file, what was found and what was expected."""
