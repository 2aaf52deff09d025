"""A long sequence as windows that fit in memory.

The window that begins at position kS covers the inputs [kS, kS + W). The first is scored whole; of every later one the
last S predictions are scored, the rest being their left context. Together the windows score every prediction once, and
sampling slides in the same steps, so that a token is scored under the context it is sampled under.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from prefalign.functional.replay import replay_generator
from prefalign.interfaces import PrefalignError


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a sequence of inputs.

    Attributes:
        start, stop: its inputs, half-open.
        scored: first input whose prediction is scored here.
    """

    start: int
    stop: int
    scored: int


@dataclass(frozen=True, slots=True)
class Windowing:
    """How sequences are cut.

    Attributes:
        window: most inputs W at once.
        stride: inputs S by which the next window begins later, at most W.

    Raises:
        PrefalignError: for a stride out of range.
    """

    window: int
    stride: int

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.window:
            raise PrefalignError(f"expected 1 <= stride <= window, got stride {self.stride} and window {self.window}")

    def check_unit(self, unit: int) -> None:
        """Refuse strides at which the groups of an hourglass would shift.

        Raises:
            PrefalignError: if the stride is no multiple of `unit`.
        """
        if self.stride % unit:
            raise PrefalignError(
                f"stride {self.stride}: the model shortens its sequence by {unit}, so windows must begin at multiples "
                f"of {unit}, such as {max(unit, self.stride // unit * unit)}"
            )

    def of(self, length: int) -> list[Window]:
        """The windows of a sequence of `length` inputs."""
        windows = [Window(0, min(self.window, length), 0)]
        while windows[-1].stop < length:
            last = windows[-1]
            start = last.start + self.stride
            windows.append(Window(start, min(start + self.window, length), last.stop))
        return windows


def window_at_random(starts: Tensor, length: int, windowing: Windowing, unit: int, place: float) -> Window:
    """One window that begins where a part of the mesh begins.

    Args:
        starts: (length,) bool, inputs at which a part begins whose tokens need nothing that stands before them.
        length: inputs of the sequence.
        unit: windows begin at multiples of it.
        place: where among the possible ones, in [0, 1); the same for both responses of a pair.
    """
    if length <= windowing.window:
        return Window(0, length, 0)
    possible = starts.nonzero().squeeze(-1)
    possible = possible[possible <= length - windowing.window]
    first = int(possible[int(place * len(possible))]) if len(possible) else 0
    start = first // unit * unit
    return Window(start, min(start + windowing.window, length), first)


def place_of(record_id: str, visit: int, seed: int) -> float:
    """Where in [0, 1) the random window of a record's visit lies: the same in every run, another at every visit."""
    return float(replay_generator(seed, record_id, visit).random())
