"""Robust reward learning: Bradley–Terry on draws from Gaussian rewards that may not become certain (PEARL)."""

from __future__ import annotations

import torch
from torch import Tensor

from prefalign.functional import robust_reward as losses
from prefalign.functional.reward_modelling import gaussian
from prefalign.interfaces import CapabilityError, ObjectiveOutput, PrefalignError, Relations, RewardOutput
from prefalign.objectives.metrics import mean_metrics
from prefalign.objectives.reward_modelling import PairReward, RewardPairs


class RobustReward(PairReward):
    """Cross-entropy on K reparameterised draws of Gaussian rewards, plus λ · mean max(0, η − entropy).

    PEARL (arXiv 2306.03615) fits rewards to transferred labels, some of which are wrong, in this way. Such labels come
    with a probability, and the records carry it (`Pair.probability`).

    In training the draws come from torch's global generator, whose state checkpoints keep, so that a resumed run draws
    what the uninterrupted one would. In evaluation, and with `samples: 0`, the mean over all draws is computed by
    quadrature and nothing is drawn.

    Args:
        samples: K, the draws for each pair; 0 for their mean by quadrature. The paper's K is not known to us.
        entropy_weight: λ, at least 0.
        entropy_floor: η in nats, of one step's reward as it enters the total. For the default a deviation of 0.66.
        margin, record_margins, label_smoothing, center_rewards_coefficient, criterion: as for `PairReward`.
    """

    def __init__(
        self,
        samples: int = 5,
        entropy_weight: float = 0.1,
        entropy_floor: float = 1.0,
        margin: float = 0.0,
        record_margins: bool = True,
        label_smoothing: float = 0.0,
        center_rewards_coefficient: float = 0.0,
        criterion: int = 0,
    ) -> None:
        super().__init__(margin, record_margins, label_smoothing, center_rewards_coefficient, criterion)
        if samples < 0 or entropy_weight < 0:
            raise PrefalignError(
                f"expected samples and entropy_weight of at least 0, got {samples} and {entropy_weight}"
            )
        self.samples, self.entropy_weight, self.entropy_floor = samples, entropy_weight, entropy_floor

    def pair_losses(self, pairs: RewardPairs) -> Tensor:
        """(B,) means over all draws of the losses of the pairs as judged, in nats."""
        return gaussian(pairs.difference - pairs.margin, _known(pairs.variance), log_inside=True)

    def judged_losses(self, pairs: RewardPairs, probability: Tensor) -> Tensor:
        """(B,) losses of judgements that are right with this probability, (B,); in training on K draws."""
        if not (self.training and self.samples):
            return super().judged_losses(pairs, probability)
        mean, variance = pairs.difference, _known(pairs.variance)
        noise = torch.randn(self.samples, len(mean), dtype=mean.dtype, device=mean.device)
        return losses.sampled_cross_entropy(mean, variance, probability, noise, pairs.margin)

    def forward(self, output: RewardOutput, relations: Relations) -> ObjectiveOutput:
        """The loss of a batch; `per_sample` and `margins` cover the pairs with valid rewards.

        The entropy term is a mean over the steps of all valid rows (over the rows, where rewards have no steps).

        Raises:
            CapabilityError: for a reward without variance.
            PrefalignError: if the reward has no such criterion.
        """
        of_steps = _known(output.variance)
        found = super().forward(output, relations)
        counted = output.valid if output.mask is None else output.mask & output.valid.unsqueeze(-1)
        variance = of_steps[..., self.criterion][counted]
        if variance.dtype in (torch.float16, torch.bfloat16):
            variance = variance.float()
        if len(variance):
            found.loss = (
                found.loss + self.entropy_weight * losses.entropy_shortfall(variance, self.entropy_floor).mean()
            )
        found.metrics |= mean_metrics(entropy=losses.gaussian_entropy(variance.detach()))
        return found


def _known(variance: Tensor | None) -> Tensor:
    if variance is None:
        raise CapabilityError("robust reward learning needs a reward with a variance, and this one has none")
    return variance
