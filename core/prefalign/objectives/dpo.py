"""DPO and everything that differs from it in one part: score → margin → link → weight → regulariser."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from prefalign.functional.divergences import DIVERGENCES
from prefalign.functional.likelihood import token_mean_nll
from prefalign.functional.wpo import confidence
from prefalign.interfaces import (
    CapabilityError,
    Objective,
    ObjectiveOutput,
    PrefalignError,
    Relations,
    ResponseScores,
    unknown_name,
)
from prefalign.objectives.metrics import mean_metrics, pair_metrics
from prefalign.objectives.pairs import PairLoss, PairScores, Side, build_pair_losses, refuse_unread
from prefalign.objectives.pairwise_losses import SFT
from prefalign.objectives.scoring import (
    SequenceScore,
    default_beta,
    error_metrics,
    in_full_precision,
    plain_likelihood,
)


class DPO(Objective):
    """Direct preference optimisation (arXiv 2305.18290) and its relatives.

    The loss of a batch is the mean over its pairs of pair weight × Σ loss weight × loss, plus the likelihood terms. A
    pair whose judgement is right with probability p costs p·L(as judged) + (1 − p)·L(the other way round); ties have
    p = 1/2. A batch without pairs costs 0 with a connected gradient.

    Args:
        beta: strength of the tie to the reference, > 0. Default 0.1 for scores in nats, 2000 for half a denoising error
            and 1000 for a whole one.
        loss_type: name of a loss, `package.module:Class` of one, a `PairLoss`, or a list of these.
        loss_weights: one factor for each loss; default 1.
        label_smoothing: probability ε that a label is wrong. `sigmoid` honours it (conservative DPO).
        discopop_tau: temperature of DiscoPOP's blend; default 0.05.
        contrastive_bias: share λ in (0, 1] of the rejected response's score in `cpl` and `cpl_kl` (arXiv 2310.13639);
            default 0.5.
        f_divergence_type: `reverse_kl`, `forward_kl`, `js_divergence` or `alpha_divergence` (f-DPO, arXiv 2309.16240).
        f_alpha_divergence_coef: the α of u^{α−1}; default 0.5, 1 is reverse KL, 0 is forward KL.
        ld_alpha: weight in [0, 1] of tokens beyond the shorter response's length (LD-DPO, arXiv 2409.06411).
        ld_reference: the reference's tokens are weighted by `ld_alpha` too.
        length_normalise: divide scores by the number of tokens; default: as the loss's authors do (`ipo`,
            `sigmoid_norm`: yes, the others: no).
        length_alpha: reward per token that the chosen response is longer (R-DPO, arXiv 2403.19159; LC-DPO).
        average: the score is Σ weight·logp / Σ weight over tokens instead of Σ weight·logp (RLHF-V, arXiv 2312.00849
            eq. 5).
        use_weighting: multiply the loss by both responses' confidence (WPO, arXiv 2406.11827).
        record_margins: honour the records' margins.
        nll_weight: factor of the token-mean negative log-likelihood of the chosen responses, or of their denoising
            error (TangoFlux's CRPO, arXiv 2412.21037); the loss `sft`.
        verified_weight: factor of the token-mean negative log-likelihood of desirable responses that stand in no pair.

    Raises:
        PrefalignError: for unknown names (with near ones), values out of range, and settings without effect.
    """

    def __init__(
        self,
        beta: float | None = None,
        loss_type: str | PairLoss | list[str | PairLoss] = "sigmoid",
        loss_weights: list[float] | None = None,
        label_smoothing: float | None = None,
        discopop_tau: float | None = None,
        contrastive_bias: float | None = None,
        f_divergence_type: str = "reverse_kl",
        f_alpha_divergence_coef: float | None = None,
        ld_alpha: float | None = None,
        ld_reference: bool = True,
        length_normalise: bool | None = None,
        length_alpha: float = 0.0,
        average: bool = False,
        use_weighting: bool = False,
        record_margins: bool = True,
        nll_weight: float = 0.0,
        verified_weight: float = 0.0,
    ) -> None:
        super().__init__()
        chosen = loss_type if isinstance(loss_type, list) else [loss_type]
        hyper = {
            "beta": beta,
            "label_smoothing": label_smoothing,
            "discopop_tau": discopop_tau,
            "contrastive_bias": contrastive_bias,
        }
        losses = build_pair_losses(chosen, hyper)
        self.factors = _factors(losses, loss_weights)
        self.divergence = _divergence(f_divergence_type, f_alpha_divergence_coef)
        self.score = SequenceScore(ld_alpha=ld_alpha, average=average)
        self.reference_score = self.score if ld_reference else SequenceScore(average=average)
        self.length_normalise, self.length_alpha = length_normalise, length_alpha
        self.use_weighting, self.record_margins = use_weighting, record_margins
        self.verified_weight = verified_weight
        _refuse_ignored(
            losses,
            {
                "divergence": {"f_divergence_type": f_divergence_type if f_divergence_type != "reverse_kl" else None},
                "score": {
                    "ld_alpha": ld_alpha,
                    "ld_reference": None if ld_reference else ld_reference,
                    "average": average or None,
                    "length_normalise": length_normalise,
                },
                "margin": {"length_alpha": length_alpha or None},
            },
        )
        if not ld_reference and ld_alpha is None:
            raise PrefalignError("ld_reference=False says how to apply ld_alpha, which is not given")
        if average and any(self._per_length(loss) for loss in losses):
            raise PrefalignError("average already divides by the token weights; set length_normalise: false with it")
        if use_weighting and not all("pair" in loss.honours for loss in losses):
            refuse_unread({"use_weighting": True}, [loss for loss in losses if "pair" not in loss.honours])
        for name, value in {"nll_weight": nll_weight, "verified_weight": verified_weight}.items():
            if not (math.isfinite(value) and value >= 0):
                raise PrefalignError(f"expected {name} of at least 0, got {value}")
        if nll_weight:
            losses.append(SFT())
            self.factors.append(nll_weight)
        # A module list, so that what a loss keeps in buffers is saved; the cast tells the type checker what is in it.
        self.losses = cast(list[PairLoss], nn.ModuleList(losses))
        #: β of the logged rewards; None if no loss has one.
        self.beta: float | None = next((b for loss in losses if (b := getattr(loss, "beta", None)) is not None), None)
        #: Losses that were called by name and given no β: they take the usual one of the scores' unit.
        self._without_beta = [
            loss
            for loss, item in zip(losses, chosen, strict=False)
            if beta is None and isinstance(item, str) and hasattr(loss, "beta")
        ]
        self.batch_dependent = bool(verified_weight) or any(loss.batch_dependent for loss in losses)
        self.needs = frozenset[str]().union(*(loss.needs for loss in losses))
        self._likelihood = "likelihood" in self.needs
        if self.score.by_token or use_weighting:
            self.needs |= {"token_logps"}
        if verified_weight:
            self.needs |= {"likelihood"}
        if use_weighting:
            self.needs |= {"collision"}

    def forward(
        self, policy: ResponseScores, reference: ResponseScores | None, relations: Relations
    ) -> ObjectiveOutput:
        """The loss of a batch; see the class.

        Raises:
            CapabilityError: if the scores lack what `needs` names.
            PrefalignError: for records whose margins, soft labels or weights the losses cannot honour.
        """
        self._check(relations)
        for unset in self._without_beta:
            self.beta = default_beta(policy)
            unset.beta = self.beta  # type: ignore[assignment]  # a plain float on an nn.Module
        policy = in_full_precision(policy)
        pairs = self.pair_scores(policy, reference, relations)
        metrics: dict[str, Tensor] = {}
        per_pair = self.pair_losses(pairs, relations, metrics) * relations.pair_weight
        if self.use_weighting:
            per_pair = per_pair * _pair_confidence(policy, relations)
        loss = per_pair.sum() / max(len(per_pair), 1)
        if self.verified_weight:
            nll = _verified_nll(policy, relations)
            loss = loss + self.verified_weight * nll
            metrics["verified_nll_loss"] = nll.detach()
        metrics |= mean_metrics(logps__chosen=pairs.chosen.logps, logps__rejected=pairs.rejected.logps)
        metrics |= error_metrics(policy, reference, chosen=relations.chosen, rejected=relations.rejected)
        margins = None
        if self.beta is not None:
            rewards = self.rewards(pairs)
            margins = (rewards[0] - rewards[1]).detach()
            metrics |= pair_metrics(*rewards)
        return ObjectiveOutput(loss, per_pair.detach(), metrics, margins)

    def pair_scores(self, policy: ResponseScores, reference: ResponseScores | None, relations: Relations) -> PairScores:
        """Scores of both ends of the batch's pairs, and the margins required between them."""
        if reference is None and "reference" in self.needs:
            raise CapabilityError(f"{type(self).__name__} needs a reference, and none was given")
        reference = in_full_precision(reference) if reference is not None and "reference" in self.needs else None

        def side(rows: Tensor, others: Tensor) -> Side:
            logps = self.score(policy, rows, others)
            held = torch.zeros_like(logps) if reference is None else self.reference_score(reference, rows, others)
            lengths = policy.lengths[rows]
            # R-DPO: length enters beside β, as a reward of its own.
            bonus = self.length_alpha * lengths
            likelihood = self.likelihood(policy, rows) if self._likelihood else (None, None)
            return Side(logps, held, self.divergence(logps - held), lengths, bonus, *likelihood)

        chosen, rejected = side(relations.chosen, relations.rejected), side(relations.rejected, relations.chosen)
        margin = relations.margin.to(chosen.logps) * ~relations.tie * self.record_margins
        return PairScores(chosen, rejected, margin)

    def pair_losses(self, pairs: PairScores, relations: Relations, metrics: dict[str, Tensor]) -> Tensor:
        """(B,) losses before the pairs' weights; adds each loss's mean to `metrics` where there are several."""
        total = torch.zeros_like(pairs.margin)
        swapped = pairs.swapped().blanked(relations.probability == 1)
        for loss, factor in zip(self.losses, self.factors, strict=True):
            value = self._expected(loss, pairs, swapped, relations.probability)
            total = total + factor * value
            if len(self.losses) > 1:
                metrics |= mean_metrics(**{"nll_loss" if isinstance(loss, SFT) else f"loss__{loss.name}": value})
        return total

    def likelihood(self, policy: ResponseScores, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) unweighted log-probabilities of the rows in nats, and (B,) the numbers of tokens behind them."""
        return plain_likelihood(policy, rows)

    def rewards(self, pairs: PairScores) -> tuple[Tensor, Tensor]:
        """(B,) implicit rewards of the chosen and the rejected responses, for the metrics."""
        beta = 1.0 if self.beta is None else self.beta
        return beta * pairs.chosen.ratio, beta * pairs.rejected.ratio

    def _per_length(self, loss: PairLoss) -> bool:
        return loss.by_length if self.length_normalise is None else self.length_normalise

    def _expected(self, loss: PairLoss, pairs: PairScores, swapped: PairScores, probability: Tensor) -> Tensor:
        """(B,) expectation of the loss over which of both is better."""
        if "score" in loss.honours and self._per_length(loss):
            pairs, swapped = pairs.per_length(), swapped.per_length()
        judged = loss(pairs)
        if "pair" not in loss.honours:
            return judged
        # Where the judgement is certain, `swapped` is blank: no overflow there can turn into 0 · ∞.
        return probability.to(judged) * judged + (1 - probability).to(judged) * loss(swapped)

    def _check(self, relations: Relations) -> None:
        names = ", ".join(loss.name for loss in self.losses)
        heedless = self.record_margins and not any("margin" in loss.honours for loss in self.losses)
        if heedless and bool(relations.margin.any()):
            raise PrefalignError(f"the records have margins, which {names} cannot honour; set record_margins: false")
        if not all("pair" in loss.honours for loss in self.losses):
            certain = (relations.probability == 1) & (relations.pair_weight == 1)
            if not bool(certain.all()):
                raise PrefalignError(f"the records have ties, soft labels or weights, which {names} cannot honour")


def _factors(losses: Sequence[PairLoss], weights: Sequence[float] | None) -> list[float]:
    if not losses:
        raise PrefalignError("loss_type names no loss")
    if weights is None:
        return [1.0] * len(losses)
    if len(weights) != len(losses):
        raise PrefalignError(f"expected one of loss_weights for each of {len(losses)} losses, got {len(weights)}")
    if not all(math.isfinite(weight) for weight in weights):
        raise PrefalignError(f"expected finite loss_weights, got {list(weights)}")
    return list(weights)


def _divergence(name: str, alpha: float | None) -> Callable[[Tensor], Tensor]:
    if name not in DIVERGENCES:
        raise unknown_name("f_divergence_type", name, DIVERGENCES)
    if alpha is None:
        return DIVERGENCES[name]
    if name != "alpha_divergence":
        raise PrefalignError(f"f_alpha_divergence_coef={alpha} would have no effect on {name}; leave it out")
    return partial(DIVERGENCES[name], alpha=alpha)


def _refuse_ignored(losses: list[PairLoss], settings: dict[str, dict[str, object]]) -> None:
    for feature, given in settings.items():
        if not any(feature in loss.honours for loss in losses):
            refuse_unread({key: value for key, value in given.items() if value is not None}, losses)


def _pair_confidence(policy: ResponseScores, relations: Relations) -> Tensor:
    if policy.token_logps is None or policy.mask is None or policy.collision is None:
        raise CapabilityError(
            "use_weighting needs token log-probabilities and collision, which the policy did not give"
        )
    weight = confidence(policy.token_logps, policy.collision, policy.mask)
    return weight[relations.chosen] * weight[relations.rejected]


def _verified_nll(policy: ResponseScores, relations: Relations) -> Tensor:
    """Scalar mean over the tokens of desirable rows without a partner, 0 if there are none."""
    rows = (relations.unpaired & (relations.label == 1)).nonzero().squeeze(-1)
    if not len(rows):
        return policy.logps[:0].sum()
    per_row = token_mean_nll(*plain_likelihood(policy, rows))
    return (per_row * relations.row_weight[rows]).mean()
