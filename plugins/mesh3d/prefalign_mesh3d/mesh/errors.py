"""What is raised for meshes that cannot be used."""

from enum import StrEnum

from prefalign.interfaces import PrefalignError


class MeshError(PrefalignError):
    """A mesh that breaks a rule; the message says which, where, and what was expected."""


class Refusal(StrEnum):
    """Why a file gives no mesh: what rejected files are counted by."""

    NO_FILE = "not a file"
    OUTSIDE = "outside the folder"
    FORMAT = "unknown format"
    LARGE = "too large"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    NO_FACES = "no faces"
    MANY_FACES = "too many faces"
    NOT_FINITE = "not finite"
    FAR = "coordinates too large"


class MeshFileError(MeshError):
    """A file that gives no mesh.

    Attributes:
        name: the file, as it was called.
        problem: what is wrong with it, what was expected, and the nearest mend.
        reason: the same in two or three words.
    """

    def __init__(self, name: str, problem: str, reason: Refusal) -> None:
        # All three are arguments of the base, so that the error crosses processes.
        super().__init__(name, problem, reason)
        self.name, self.problem, self.reason = name, problem, reason

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}"
