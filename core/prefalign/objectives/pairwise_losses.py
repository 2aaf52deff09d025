"""The pairwise losses by TRL's names. To add one, write a class like these and register it."""

from __future__ import annotations

from torch import Tensor

from prefalign.functional import links, pairwise
from prefalign.functional.likelihood import token_mean_nll
from prefalign.interfaces import CapabilityError, PrefalignError
from prefalign.objectives.pairs import PairLoss, PairScores, register_pair_loss


class BetaLoss(PairLoss):
    """A loss whose only hyper-parameter is β > 0, which turns a score into a reward."""

    def __init__(self, beta: float = 0.1) -> None:
        super().__init__()
        if not beta > 0:
            raise PrefalignError(f"expected beta > 0, got {beta}")
        self.beta = beta


class SmoothedLoss(BetaLoss):
    """β and the probability ε that a label is wrong, 0 <= ε <= 1/2."""

    def __init__(self, beta: float = 0.1, label_smoothing: float = 0.0) -> None:
        super().__init__(beta)
        if not 0 <= label_smoothing <= 0.5:
            raise PrefalignError(f"expected 0 <= label_smoothing <= 1/2 for {self.name}, got {label_smoothing}")
        self.label_smoothing = label_smoothing


@register_pair_loss
class Sigmoid(SmoothedLoss):
    """DPO; with smoothing, conservative DPO."""

    name = "sigmoid"

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses in nats."""
        return links.logistic(pairs.logit(self.beta), self.label_smoothing)


@register_pair_loss
class SigmoidNorm(Sigmoid):
    """DPO on scores per token."""

    name = "sigmoid_norm"
    by_length = True


@register_pair_loss
class NegativeSigmoid(BetaLoss):
    """DeformPAM's reading of Diffusion-DPO, without the logarithm: bounded, and ties have no part in it."""

    name = "negative_sigmoid"

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses in (−1, 0)."""
        return links.negative_sigmoid(pairs.logit(self.beta))


@register_pair_loss
class Hinge(BetaLoss):
    """The hinge of SLiC on DPO's reward difference."""

    name = "hinge"

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses, zero from a reward difference of 1 on."""
        return links.hinge(pairs.logit(self.beta))


@register_pair_loss
class IPO(BetaLoss):
    """Regression of the score difference per token on 1/(2β); per response with `length_normalise: false`."""

    name = "ipo"
    by_length = True

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) squared nats."""
        return links.squared(pairs.logit(self.beta) / self.beta, 1 / (2 * self.beta))


@register_pair_loss
class Exo(BetaLoss):
    """EXO's reverse KL against smoothed labels; without smoothing it would be infinite, so that has no default."""

    name = "exo_pair"

    def __init__(self, label_smoothing: float, beta: float = 0.1) -> None:
        super().__init__(beta)
        if not 0 < label_smoothing < 0.5:
            raise PrefalignError(
                f"expected 0 < label_smoothing < 1/2 for exo_pair (1e-3 is usual), got {label_smoothing}"
            )
        self.label_smoothing = label_smoothing

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses in nats."""
        return links.exo(pairs.logit(self.beta), self.label_smoothing)


@register_pair_loss
class Robust(SmoothedLoss):
    """DPO made unbiased for labels that are flipped with probability ε."""

    name = "robust"

    def __init__(self, beta: float = 0.1, label_smoothing: float = 0.0) -> None:
        super().__init__(beta, label_smoothing)
        if label_smoothing == 0.5:
            raise PrefalignError("robust needs label_smoothing below 1/2: labels flipped half of the time say nothing")

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses in nats, negative for some pairs."""
        return links.robust(pairs.logit(self.beta), self.label_smoothing)


@register_pair_loss
class DiscoPOP(BetaLoss):
    """The discovered loss of DiscoPOP; τ sets where the logistic gives way to the exponential."""

    name = "discopop"

    def __init__(self, beta: float = 0.1, discopop_tau: float = 0.05) -> None:
        super().__init__(beta)
        if not 0 < discopop_tau <= 1:
            raise PrefalignError(f"expected 0 < discopop_tau <= 1, got {discopop_tau}")
        self.tau = discopop_tau

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses."""
        return links.discopop(pairs.logit(self.beta), self.tau)


class AbsoluteLoss(BetaLoss):
    """A loss of both rewards rather than of their difference: margins and f-divergences have no place in it."""

    honours = frozenset({"score", "pair"})


@register_pair_loss
class NCA(AbsoluteLoss):
    """Noise contrastive alignment."""

    name = "nca_pair"

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses in nats."""
        return pairwise.nca(self.beta * pairs.chosen.ratio, self.beta * pairs.rejected.ratio)


@register_pair_loss
class BCOPair(AbsoluteLoss):
    """Binary classifier of both ends, without running mean (`prefalign.objectives.bco` has it)."""

    name = "bco_pair"

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses in nats."""
        return pairwise.bco(self.beta * pairs.chosen.ratio, self.beta * pairs.rejected.ratio)


@register_pair_loss
class SPPOHard(AbsoluteLoss):
    """Self-play preference optimisation with hard win probabilities."""

    name = "sppo_hard"

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) squared nats."""
        return pairwise.sppo_hard(pairs.chosen.ratio, pairs.rejected.ratio, 1 / (2 * self.beta))


@register_pair_loss
class APOZero(AbsoluteLoss):
    """Anchored preference optimisation, for chosen responses better than the model's own."""

    name = "apo_zero"

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses in (0, 2)."""
        return pairwise.apo_zero(self.beta * pairs.chosen.ratio, self.beta * pairs.rejected.ratio)


@register_pair_loss
class APODown(AbsoluteLoss):
    """Anchored preference optimisation, for chosen responses worse than the model's own."""

    name = "apo_down"

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses in (0, 2)."""
        return pairwise.apo_down(self.beta * pairs.chosen.ratio, self.beta * pairs.rejected.ratio)


@register_pair_loss
class CPL(AbsoluteLoss):
    """Contrastive preference learning (arXiv 2310.13639): the discounted advantage of a stretch is β Σ log π.

    The rejected response's score counts by the share λ only, the paper's conservative bias: of policies that tell the
    pairs apart equally well, those that keep all of the data likely cost less. With λ = 1 it is DPO without reference.
    """

    name = "cpl"
    needs = frozenset()

    def __init__(self, beta: float = 0.1, contrastive_bias: float = 0.5) -> None:
        super().__init__(beta)
        if not 0 < contrastive_bias <= 1:
            raise PrefalignError(f"expected 0 < contrastive_bias <= 1, got {contrastive_bias}")
        self.contrastive_bias = contrastive_bias

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses in nats."""
        return links.logistic(self.beta * (pairs.chosen.ratio - self.contrastive_bias * pairs.rejected.ratio))


@register_pair_loss
class CPLKL(CPL):
    """The paper's CPL-KL: log ratios to a reference, which is the cloned policy, in place of log-probabilities."""

    name = "cpl_kl"
    needs = frozenset({"reference"})


class _SortedLoss(SmoothedLoss):
    """AOT: first-order stochastic dominance over the batch. Sorting loses the pairs, and with them their weights."""

    honours = frozenset({"score"})
    batch_dependent = True


@register_pair_loss
class AOT(_SortedLoss):
    """Log ratios chosen/rejected of the policy against those of the reference, both sorted."""

    name = "aot"

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses in nats, in sorted order."""
        policy = pairs.chosen.logps - pairs.rejected.logps
        reference = pairs.chosen.reference - pairs.rejected.reference
        return links.logistic(self.beta * pairwise.sorted_difference(policy, reference), self.label_smoothing)


@register_pair_loss
class AOTUnpaired(_SortedLoss):
    """Scores of the chosen against those of the rejected, both sorted."""

    name = "aot_unpaired"

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses in nats, in sorted order."""
        difference = pairwise.sorted_difference(pairs.chosen.ratio, pairs.rejected.ratio)
        return links.logistic(self.beta * difference, self.label_smoothing)


@register_pair_loss
class SFT(PairLoss):
    """Negative log-likelihood of the chosen response, a mean over the tokens of the batch; or its denoising error."""

    name = "sft"
    needs = frozenset({"likelihood"})
    honours = frozenset({"pair"})
    batch_dependent = True

    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses whose mean is in nats per token, or in units of the squared error."""
        if pairs.chosen.likelihood is None or pairs.chosen.likelihood_lengths is None:
            raise CapabilityError("the loss 'sft' needs the responses' plain likelihood")
        return token_mean_nll(pairs.chosen.likelihood, pairs.chosen.likelihood_lengths)
