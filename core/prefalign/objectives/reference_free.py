"""Pairwise objectives without a reference: CPO, SimPO, AlphaPO, ORPO. All pull towards the chosen response instead."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import logsigmoid

from prefalign.functional import links
from prefalign.functional.reference_free import alpha_reward, log_odds
from prefalign.interfaces import CapabilityError, PrefalignError, Relations, ResponseScores
from prefalign.objectives.dpo import DPO
from prefalign.objectives.metrics import mean_metrics
from prefalign.objectives.pairs import PairScores
from prefalign.objectives.pairwise_losses import BetaLoss, SmoothedLoss


class CPO(DPO):
    """Contrastive preference optimisation (arXiv 2401.08417) eq. 3: DPO without reference, held by the likelihood.

    Args:
        beta: scale of the log-probabilities, > 0.
        loss_type: `sigmoid`, `hinge`, or `ipo` (on log-probabilities per token).
        label_smoothing: probability that a label is wrong; `sigmoid` only.
        nll_weight: factor of the chosen responses' token-mean negative log-likelihood (TRL's `cpo_alpha`).
        record_margins: honour the records' margins.
    """

    def __init__(
        self,
        beta: float | None = None,
        loss_type: Literal["sigmoid", "hinge", "ipo"] = "sigmoid",
        label_smoothing: float | None = None,
        nll_weight: float = 1.0,
        record_margins: bool = True,
    ) -> None:
        super().__init__(
            beta, loss_type, label_smoothing=label_smoothing, nll_weight=nll_weight, record_margins=record_margins
        )
        self.needs -= {"reference"}


class TargetMargin(SmoothedLoss):
    """SimPO's loss (eq. 6 of arXiv 2405.14734) on AlphaPO's reward; −log σ(β(r_c − r_r) − γ)."""

    name = "simpo"
    needs = frozenset()
    honours = frozenset({"margin", "score", "pair"})
    by_length = True

    def __init__(self, beta: float, gamma: float, alpha: float, label_smoothing: float) -> None:
        super().__init__(beta, label_smoothing)
        self.gamma, self.alpha = gamma, alpha

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses in nats."""
        chosen, rejected = (alpha_reward(side.logps, self.alpha) for side in (pairs.chosen, pairs.rejected))
        return links.logistic(self.beta * (chosen - rejected) - self.gamma - pairs.margin, self.label_smoothing)


class SimPO(DPO):
    """Simple preference optimisation (arXiv 2405.14734): log-probability per token as reward, with a target margin.

    Args:
        beta: scale of the log-probability per token, > 0; the paper uses 2 to 10.
        gamma: required difference of rewards, at least 0 (not divided by β; TRL's `simpo_gamma`).
        alpha: shape of the reward (1 − p^{−α})/α; 0 is the log-probability, other values are AlphaPO.
        label_smoothing: probability that a label is wrong.
        nll_weight: factor of the chosen responses' token-mean negative log-likelihood.
        record_margins: honour the records' margins, on top of `gamma`.
    """

    def __init__(
        self,
        beta: float = 2.0,
        gamma: float = 1.0,
        alpha: float = 0.0,
        label_smoothing: float = 0.0,
        nll_weight: float = 0.0,
        record_margins: bool = True,
    ) -> None:
        if gamma < 0:
            raise PrefalignError(f"expected gamma of at least 0, got {gamma}")
        super().__init__(
            loss_type=TargetMargin(beta, gamma, alpha, label_smoothing),
            nll_weight=nll_weight,
            record_margins=record_margins,
        )
        self.alpha = alpha

    def rewards(self, pairs: PairScores) -> tuple[Tensor, Tensor]:
        """(B,) rewards per token of the chosen and the rejected responses."""
        beta = 1.0 if self.beta is None else self.beta
        chosen, rejected = (side.per_length().logps for side in (pairs.chosen, pairs.rejected))
        return beta * alpha_reward(chosen, self.alpha), beta * alpha_reward(rejected, self.alpha)


class AlphaPO(SimPO):
    """AlphaPO (arXiv 2501.03884): SimPO whose reward is bent by α.

    Args:
        beta, gamma, nll_weight, record_margins: as for `SimPO`.
        alpha: not 0; above 0 unlikely responses are told apart more sharply, below 0 likely ones.
    """

    def __init__(
        self,
        beta: float = 2.0,
        gamma: float = 1.0,
        alpha: float = 0.25,
        nll_weight: float = 0.0,
        record_margins: bool = True,
    ) -> None:
        if alpha == 0:
            raise PrefalignError("AlphaPO with alpha 0 is SimPO; use core/simpo")
        super().__init__(beta, gamma, alpha, nll_weight=nll_weight, record_margins=record_margins)


class OddsRatio(BetaLoss):
    """ORPO's penalty −λ log σ(log odds ratio), eq. 7 of arXiv 2403.07691."""

    name = "odds_ratio"
    needs = frozenset()
    honours = frozenset({"score", "pair"})
    by_length = True

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses in nats."""
        return -self.beta * logsigmoid(log_odds(pairs.chosen.logps) - log_odds(pairs.rejected.logps))


class ORPO(DPO):
    """Odds ratio preference optimisation (arXiv 2403.07691) eq. 6: likelihood of the chosen plus the odds penalty.

    Args:
        beta: weight λ of the odds penalty, > 0.
        nll: what the likelihood covers: the `response`, as in the paper's formula, or the whole `sequence` with its
            prompt, as in the authors' code and TRL.
        nll_weight: factor of the token-mean negative log-likelihood.
    """

    def __init__(
        self, beta: float = 0.1, nll: Literal["response", "sequence"] = "response", nll_weight: float = 1.0
    ) -> None:
        super().__init__(loss_type=OddsRatio(beta), nll_weight=nll_weight)
        if nll == "sequence" and nll_weight == 0:
            raise PrefalignError("nll='sequence' would have no effect with nll_weight 0; leave it out")
        self.with_prompt = nll == "sequence"
        if self.with_prompt:
            self.needs |= {"prompt_logps"}

    def likelihood(self, policy: ResponseScores, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) log-probabilities in nats and token counts, of the responses or of prompts and responses."""
        logps, lengths = super().likelihood(policy, rows)
        if not self.with_prompt:
            return logps, lengths
        if policy.prompt_logps is None or policy.prompt_lengths is None:
            raise CapabilityError("nll='sequence' needs the prompts' log-probabilities, which the policy did not give")
        return logps + policy.prompt_logps[rows], lengths + policy.prompt_lengths[rows]

    def pair_losses(self, pairs: PairScores, relations: Relations, metrics: dict[str, Tensor]) -> Tensor:
        """(B,) losses before the pairs' weights; adds TRL's odds metrics."""
        each = pairs.per_length()
        odds = log_odds(each.chosen.logps) - log_odds(each.rejected.logps)
        metrics |= mean_metrics(log_odds_chosen=odds, log_odds_ratio=logsigmoid(odds))
        return super().pair_losses(pairs, relations, metrics)

    def rewards(self, pairs: PairScores) -> tuple[Tensor, Tensor]:
        """(B,) log-probabilities per token, times λ as TRL logs them."""
        beta = 1.0 if self.beta is None else self.beta
        return beta * pairs.chosen.per_length().logps, beta * pairs.rejected.per_length().logps
