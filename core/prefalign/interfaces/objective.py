"""The objective: arithmetic over scores. It knows no modality, no Lightning, no device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from torch import Tensor, nn

from prefalign.interfaces.reward import RewardOutput
from prefalign.interfaces.scores import Relations, ResponseScores


@dataclass
class ObjectiveOutput:
    """What an objective returns.

    Attributes:
        loss: scalar to minimise.
        per_sample: (B,) unreduced losses of the pairs (or of the rows, for unary objectives), detached.
        metrics: scalars under TRL's names (`rewards/chosen`, `rewards/margins`, `logps/rejected`, …), detached.
        margins: (B,) implicit reward margins, detached, for histograms; None where the objective has none.
    """

    loss: Tensor
    per_sample: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)
    margins: Tensor | None = None


class Objective(nn.Module, ABC):
    """Scores to loss. State that must survive a restart (running means, reliabilities) is kept in buffers.

    Attributes:
        needs: names from `prefalign.interfaces.policy.NEEDS`; checked before any weight is loaded.
        batch_dependent: the loss of a pair depends on the other pairs of its batch, so that accumulating gradients
            over small batches is not the same as one large batch.
        anchored: it reads `Relations.anchors`; others refuse to run with an anchoring set.
    """

    needs: frozenset[str] = frozenset()
    batch_dependent: bool = False
    anchored: bool = False

    @abstractmethod
    def forward(
        self, policy: ResponseScores, reference: ResponseScores | None, relations: Relations
    ) -> ObjectiveOutput:
        """The loss of a batch.

        Args:
            policy: scores of the N rows under the trained policy.
            reference: the same under the reference, detached; None if `needs` does not name it.
            relations: who is compared with whom.
        """


class RewardObjective(nn.Module, ABC):
    """Rewards to loss: what trains a reward, as an objective trains a policy."""

    @abstractmethod
    def forward(self, output: RewardOutput, relations: Relations) -> ObjectiveOutput:
        """The loss of a batch.

        Args:
            output: rewards of the N rows. Rows that are not valid take no part.
            relations: who is compared with whom.
        """
