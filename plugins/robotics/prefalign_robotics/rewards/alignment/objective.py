"""The loss of RAPL's released code, which is not the paper's likelihood."""

from __future__ import annotations

import torch
from torch import Tensor

from prefalign.objectives.reward_modelling import PairReward, RewardPairs


class ChosenProbability(PairReward):
    """1 − P for a pair whose chosen response is better, and (1/2 − P)² for one without preference.

    P = σ(R_chosen − R_rejected), so this is the share of judgements that the reward would get wrong by chance, where
    `core/bradley_terry` takes −log P; its slope vanishes for pairs that are far on the wrong side. Averaged over
    undecided pairs it would be 1/2 whatever the rewards, hence the square. Released with arXiv 2310.07932
    (`resnet_representation_alignment_*.py` in thomasrantian/mvp), summed over the batch; here it is the mean.

    Args:
        margin, record_margins, label_smoothing, center_rewards_coefficient, criterion: as for `PairReward`.
    """

    def pair_losses(self, pairs: RewardPairs) -> Tensor:
        """(B,) 1 − P."""
        return torch.sigmoid(pairs.margin - pairs.difference)

    def judged_losses(self, pairs: RewardPairs, probability: Tensor) -> Tensor:
        """(B,) expected losses; the squares where probability, (B,), is 1/2."""
        undecided = (0.5 - torch.sigmoid(pairs.difference)) ** 2
        return torch.where(probability == 0.5, undecided, super().judged_losses(pairs, probability))
