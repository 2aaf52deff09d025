"""What becomes of rewards by transport before an agent learns from them.

They are small, at most 2/T a step, and nearly equal; squashing spreads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

SquashingName = Literal["none", "otr", "otr_antmaze", "rapl"]


@dataclass(frozen=True)
class Squashing:
    """A published use of the rewards.

    Attributes:
        apply: rewards r (…, T), the number T of steps that exist (…, 1), and the width F of what is compared, to
            rewards (…, T).
        first: whether rewards are squashed before the demonstration of the largest total is chosen, or after.
    """

    apply: Callable[[Tensor, Tensor, int], Tensor]
    first: bool


SQUASHINGS: Mapping[str, Squashing] = {
    "none": Squashing(lambda r, T, F: r, False),
    # OTR (arXiv 2303.13971), `otr/train_offline.py` and `otr/configs` at commit ad68bfd: alpha exp(beta T r / F), alpha
    # 5, beta 5. F is the width of an observation (`normalize_by_atom`), T the longest episode (1000), by which weights
    # of steps are divided there too. Here T is the episode's own, so that T r is minus the mean cost of the step.
    "otr": Squashing(lambda r, T, F: 5 * (5 * T / F * r).exp(), True),
    # The same for antmaze: beta 1, and F does not count.
    "otr_antmaze": Squashing(lambda r, T, F: 5 * (T * r).exp(), True),
    # RAPL's agent, `mvp/ppo/ppo.py` in thomasrantian/mvp at commit 3274577.
    "rapl": Squashing(lambda r, T, F: -10_000 * r**2, False),
}
