"""M-DPO, preference optimisation on masked tokens (Mesh-RFT, arXiv 2505.16761), and its form as sums of logarithms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from prefalign.interfaces import ObjectiveOutput, PrefalignError, Relations, ResponseScores, unknown_name
from prefalign.objectives.dpo import DPO
from prefalign.objectives.metrics import mean_metrics
from prefalign.objectives.scoring import SequenceScore, in_full_precision, plain_likelihood, token_form

MaskForm = Literal["prob_l1", "logp_sum"]

#: The β of each form where none is given; see `MaskedDPO`.
DEFAULT_BETA: dict[str, float] = {"prob_l1": 10.0, "logp_sum": 0.1}


def log_mass(logps: Tensor, weights: Tensor) -> Tensor:
    """(B,) logarithms of masked sums of probabilities, log Σ_t w_t exp(logp_t), without leaving the logarithm.

    Its gradient with respect to the token log-probabilities is a softmax over the masked tokens: it sums to 1 whatever
    their number.

    Args:
        logps: (B, T) token log-probabilities in nats.
        weights: (B, T) of at least 0; tokens of weight 0 do not count.

    Returns:
        0, with a gradient of 0, for rows in which no token counts.
    """
    counts = weights > 0
    weighted = logps + torch.where(counts, weights, torch.ones_like(weights)).log()
    terms = torch.where(counts, weighted, torch.full_like(weighted, -torch.inf))
    # A row of nothing but -inf would have no gradient: one more term keeps it at log 1, where no token counts.
    spare = torch.zeros_like(terms[:, :1]).masked_fill(counts.any(-1, keepdim=True), -torch.inf)
    return torch.logsumexp(torch.cat([terms, spare], -1), -1)


@dataclass(frozen=True)
class MaskedMass(SequenceScore):
    """The logarithm of the summed probabilities of a response's tokens, each times its weight."""

    @property
    def by_token(self) -> bool:
        """Token log-probabilities are needed."""
        return True

    def __call__(self, scores: ResponseScores, rows: Tensor, others: Tensor) -> Tensor:
        """(B,) scores of `rows`.

        Raises:
            CapabilityError: without token log-probabilities.
            PrefalignError: for negative weights, of which a sum of probabilities has no logarithm.
        """
        logps, _, weights = token_form(scores)
        if bool((weights[rows] < 0).any()):
            raise PrefalignError("mask_form prob_l1 takes token weights of at least 0; use logp_sum")
        return log_mass(logps[rows], weights[rows])


class MaskedDPO(DPO):
    """DPO in which each response's tokens count by their weights, the masks of `prefalign_mesh3d.pairs.masks`.

    −log σ(β L⁺ − β L⁻), with L the log ratio of the chosen response under its mask φ, and of the rejected one under
    1 − φ:

    - `prob_l1`, the paper's: L = log(‖π · φ‖₁ / ‖π_ref · φ‖₁) over the vectors of token probabilities. L is a mean of
      token log ratios, in which likely tokens weigh most, and does not grow with the number of tokens. A token that is
      all but impossible is hardly moved, neither up nor down.
    - `logp_sum`: L = Σ φ_t (log π_t − log π_ref,t). With weights of 1 it is `core/dpo`.

    A response without a token that counts has L = 0 and no gradient; `masks/empty_chosen` and `masks/empty_rejected`
    log their shares. The rewards logged are those of the loss, β L. `logps/chosen` and `logps/chosen_shift` (policy
    minus reference; and the same of the rejected) are those of the whole responses, in nats: a shift below 0 while
    margins grow says that the model unlearns what it should prefer.

    Where a pair's probability is below 1, the other order costs the same scores the other way round; the masks stay
    with their responses.

    Args:
        beta: strength of the tie to the reference, > 0. The paper gives none. Default 0.1 for `logp_sum`, DPO's usual
            value for summed log ratios. Default 10 for `prob_l1`: a mean over tokens is smaller than a sum by their
            number, and 10 is the upper end of what SimPO (arXiv 2405.14734) uses on log-probabilities per token.
        mask_form: `prob_l1` or `logp_sum`.
        label_smoothing: probability that a label is wrong, up to 1/2.
        nll_weight: factor of the token-mean negative log-likelihood of the chosen responses, masks apart.
        record_margins: honour the records' margins.

    Raises:
        PrefalignError: for an unknown `mask_form` (with near ones), and values out of range.
    """

    def __init__(
        self,
        beta: float | None = None,
        mask_form: MaskForm = "prob_l1",
        label_smoothing: float | None = None,
        nll_weight: float = 0.0,
        record_margins: bool = True,
    ) -> None:
        if mask_form not in DEFAULT_BETA:
            raise unknown_name("mask_form", mask_form, DEFAULT_BETA)
        super().__init__(
            DEFAULT_BETA[mask_form] if beta is None else beta,
            label_smoothing=label_smoothing,
            nll_weight=nll_weight,
            record_margins=record_margins,
        )
        self.mask_form = mask_form
        self.score = self.reference_score = MaskedMass() if mask_form == "prob_l1" else SequenceScore()
        self.needs |= {"token_logps"}

    def forward(
        self, policy: ResponseScores, reference: ResponseScores | None, relations: Relations
    ) -> ObjectiveOutput:
        """The loss of a batch; see the class.

        Raises:
            CapabilityError: without reference or token log-probabilities.
            PrefalignError: for negative weights with `prob_l1`.
        """
        output = super().forward(policy, reference, relations)
        assert reference is not None  # `pair_scores` has refused to go on without
        counts = (token_form(policy)[2] != 0).any(-1)
        for name, rows in {"chosen": relations.chosen, "rejected": relations.rejected}.items():
            whole, held = (plain_likelihood(in_full_precision(scores), rows)[0] for scores in (policy, reference))
            output.metrics |= mean_metrics(**{f"logps__{name}": whole, f"logps__{name}_shift": whole - held})
            output.metrics |= mean_metrics(**{f"masks__empty_{name}": (~counts[rows]).to(whole.dtype)})
        return output


__all__ = ["DEFAULT_BETA", "MaskForm", "MaskedDPO", "MaskedMass", "log_mass"]
