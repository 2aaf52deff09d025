"""Does a judge look at the length? What it prefers between responses of unequal length, beside what people prefer."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from prefalign.evaluation.accuracy import correct, pair_accuracy
from prefalign.interfaces import PrefalignError


@dataclass(frozen=True)
class LengthBias:
    """Shares in [0, 1] of the pairs whose responses differ in length; NaN over no pair.

    A judge free of length bias prefers the longer response as often as people do, and is as often right where the
    shorter one is better as where the longer one is.

    Attributes:
        pairs: their number.
        people_prefer_longer: pairs whose chosen response is the longer one.
        judge_prefers_longer: pairs whose longer response has the higher score; equal scores count half.
        accuracy_longer: accuracy where the chosen response is the longer one.
        accuracy_shorter: accuracy where it is the shorter one.
    """

    pairs: int
    people_prefer_longer: float
    judge_prefers_longer: float
    accuracy_longer: float
    accuracy_shorter: float


def length_bias(margins: Tensor, length_differences: Tensor) -> LengthBias:
    """Measure the bias of a judge.

    Args:
        margins: (B,) score of the chosen response less that of the rejected one.
        length_differences: (B,) length of the chosen response less that of the rejected one, in any unit.

    Raises:
        PrefalignError: for another number of differences, or a margin of NaN.
    """
    if margins.shape != length_differences.shape:
        raise PrefalignError(f"margins {tuple(margins.shape)} and differences {tuple(length_differences.shape)} differ")
    if bool(margins.isnan().any()):
        raise PrefalignError("a margin is NaN: leave out pairs that could not be judged")
    unequal = length_differences != 0
    margins, longer = margins[unequal], length_differences[unequal] > 0
    right = correct(margins)
    return LengthBias(
        pairs=len(margins),
        people_prefer_longer=longer.float().mean().item(),
        judge_prefers_longer=right.where(longer, 1 - right).mean().item(),
        accuracy_longer=pair_accuracy(margins[longer]).item(),
        accuracy_shorter=pair_accuracy(margins[~longer]).item(),
    )
