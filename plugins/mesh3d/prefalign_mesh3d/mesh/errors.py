"""What is raised for meshes that cannot be used."""

from prefalign.interfaces import PrefalignError


class MeshError(PrefalignError):
    """A mesh that breaks a rule; the message says which, where, and what was expected."""
