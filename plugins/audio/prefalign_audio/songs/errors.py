"""What goes wrong with songs."""

from prefalign.interfaces import PrefalignError


class SongError(PrefalignError):
    """A score that cannot be read, or a song that is none; the message says where and what was expected."""
