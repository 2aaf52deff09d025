"""What is raised when nothing can be simulated."""

from prefalign.interfaces import PrefalignError


class SimulatorError(PrefalignError):
    """A simulator that is not installed, or was asked for what it cannot do; the message says what to do instead."""
