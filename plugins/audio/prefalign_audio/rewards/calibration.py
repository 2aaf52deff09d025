"""Calibration on held-out clips: scores that are probabilities, and gaps that mean something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from prefalign.interfaces import PrefalignError


@dataclass(frozen=True)
class Calibration:
    """Logits to probabilities: sigmoid(slope · logit + intercept).

    Attributes:
        slope: above 0, so that the order of the scores stays; 1 over the temperature.
        intercept: shift in nats.

    Raises:
        PrefalignError: for other numbers.
    """

    slope: float = 1.0
    intercept: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.slope < float("inf") and abs(self.intercept) < float("inf")):
            raise PrefalignError(f"expected a finite slope above 0 and a finite intercept, got {self}")

    def __call__(self, logits: Tensor) -> Tensor:
        """Probabilities of logits, of the same shape."""
        return torch.sigmoid(self.slope * logits + self.intercept)

    def nll(self, logits: Tensor, labels: Tensor) -> float:
        """Mean negative log-likelihood of (N,) labels in [0, 1], in nats."""
        moved = self.slope * logits.double() + self.intercept
        return binary_cross_entropy_with_logits(moved, labels.double()).item()


def calibrate(logits: Tensor, labels: Tensor, kind: Literal["platt", "temperature"] = "platt") -> Calibration:
    """The calibration of the smallest negative log-likelihood on held-out clips.

    Args:
        logits: (N,) of clips that training did not see.
        labels: (N,) in [0, 1]; shares of listeners are as good as single labels.
        kind: `platt` fits slope and intercept, `temperature` the slope alone.

    Raises:
        PrefalignError: for labels outside [0, 1] or of one kind only, numbers that are not finite, and scores that
            cannot be calibrated: all equal, in the wrong order, or so good that the best slope is infinite.
    """
    x, y = _checked(logits, labels)
    if _separable(x, y, free=kind == "platt"):
        raise PrefalignError(
            f"the scores separate the labels of these {len(x)} clips without an error, so that no slope is steep "
            "enough; calibrate on more held-out clips, or leave the scores as they are"
        )
    # Centred and scaled, so that the two parameters are of one size; by medians, which one score far off does not move.
    centre = x.median() if kind == "platt" else x.new_zeros(())
    distance = (x - centre).abs()
    size = distance[distance > 0].median()
    scaled = (x - centre) / size
    design = torch.stack([scaled, torch.ones_like(x)], 1) if kind == "platt" else scaled.unsqueeze(1)
    weights = torch.zeros(design.shape[1], dtype=torch.float64)
    for _ in range(100):
        probability = torch.sigmoid(design @ weights)
        gradient = design.T @ (probability - y)
        curvature = (design.T * (probability * (1 - probability))) @ design
        step = torch.linalg.lstsq(curvature, gradient).solution
        weights = weights - step
        if step.abs().max() < 1e-12 * (1 + weights.abs().max()):
            break
    residual = design.T @ (torch.sigmoid(design @ weights) - y)
    if not residual.abs().max() < 1e-6 * len(x):
        raise PrefalignError(
            f"no best calibration was found: the scores lie between {x.min():.4g} and {x.max():.4g}; is one off?"
        )
    slope = (weights[0] / size).item()
    intercept = weights[1].item() - slope * centre.item() if kind == "platt" else 0.0
    if slope <= 0:
        raise PrefalignError(
            f"the best slope is {slope:.4g}: on these clips higher scores go with lower labels; is the reward's sign "
            "right, and are these the labels of these clips?"
        )
    return Calibration(slope, intercept)


def _separable(x: Tensor, y: Tensor, free: bool) -> bool:
    """Whether a threshold (any if `free`, else 0) has all clips of label 0 below it and all of label 1 above it.

    A label between the two is a bit of both, so that its clip would have to lie on the threshold.
    """
    bad, good = x[y < 1], x[y > 0]
    return bool(bad.max() <= good.min()) if free else bool(bad.max() <= 0 <= good.min())


def _checked(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    if logits.ndim != 1 or logits.shape != labels.shape or not len(logits):
        shapes = f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        raise PrefalignError(f"expected N scores and N labels, at least one, got shapes {shapes}")
    x, y = logits.detach().double().cpu(), labels.detach().double().cpu()
    if not bool(x.isfinite().all()):
        raise PrefalignError("expected finite scores, and some are not")
    if not bool(((y >= 0) & (y <= 1)).all()):
        worst = y[~((y >= 0) & (y <= 1))][0].item()
        raise PrefalignError(f"expected labels in [0, 1], got {worst:g}")
    if y.min() == y.max() and y[0] in (0, 1):
        raise PrefalignError(f"all {len(y)} labels are {y[0].item():g}: calibration needs clips of both kinds")
    if x.min() == x.max():
        raise PrefalignError("all scores are equal, so that no calibration can tell the clips apart")
    return x, y


@dataclass(frozen=True)
class GapChoice:
    """Which pairs of clips are kept for training.

    Attributes:
        gap: smallest difference of scores that is kept.
        precision: share of the kept held-out pairs that listeners ordered the same way.
        kept: their number.
    """

    gap: float
    precision: float
    kept: int


def choose_gap(differences: Tensor, precision: float = 0.8, min_pairs: int = 20) -> GapChoice:
    """The smallest score gap at which enough of the held-out pairs are ordered as listeners ordered them.

    LeVo's third strategy (arXiv 2506.07520) turns a reward into pairs this way.

    Args:
        differences: (N,) score of the clip that listeners preferred less that of the other, on held-out pairs.
        precision: wanted share of right orders among the pairs at least that far apart, in (0.5, 1].
        min_pairs: fewest held-out pairs that such a share is trusted on. A gap that only a handful of pairs exceed
            reaches any precision by luck.

    Raises:
        PrefalignError: if no gap reaches it, with the best that is reached.
    """
    if not 0.5 < precision <= 1:
        raise PrefalignError(f"expected a precision above 0.5 and at most 1, got {precision}")
    if differences.ndim != 1 or not bool(differences.isfinite().all()):
        raise PrefalignError("expected (N,) finite differences of scores")
    if min_pairs < 1:
        raise PrefalignError(f"expected min_pairs of at least 1, got {min_pairs}")
    values = differences.detach().double().cpu()
    values = values[values != 0]  # equal scores order nothing, so that no gap keeps them
    order = values.abs().argsort(descending=True)
    gaps, right = values[order].abs(), (values[order] > 0).double().cumsum(0)
    counts = torch.arange(1, len(gaps) + 1, dtype=torch.float64)
    # A gap keeps all pairs of that very difference, so only the last of equal ones counts.
    last = torch.cat([gaps[1:] < gaps[:-1], torch.ones(min(len(gaps), 1), dtype=torch.bool)])
    share = torch.where(last & (counts >= min_pairs), right / counts, 0.0)
    if not bool((share >= precision).any()):
        best = int(share.argmax()) if len(share) else 0
        found = "none" if not len(share) or not share[best] else f"{share[best]:.3f} at a gap of {gaps[best]:.4g}"
        raise PrefalignError(
            f"no gap has a precision of {precision} on at least {min_pairs} of {len(differences)} held-out pairs; the "
            f"best is {found}: use a better reward, a lower precision or more held-out pairs"
        )
    chosen = int((share >= precision).nonzero().max())
    return GapChoice(gaps[chosen].item(), share[chosen].item(), chosen + 1)
