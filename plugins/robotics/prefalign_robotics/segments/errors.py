"""What is raised for behaviour that cannot be used."""

from prefalign.interfaces import PrefalignError


class SegmentError(PrefalignError):
    """Segments or labels that break a rule; the message says which, where, and what was expected."""
