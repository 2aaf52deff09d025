"""What shuffled labels would transfer: the measure by which epsilon is chosen blind, and tests against luck.

A transferred margin is linear in the source labels, so one coupling serves any number of shuffles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prefalign_robotics.segments.segments import Comparisons
from prefalign_robotics.transfer.preferences import preference_matrix, transferred


def shuffled_labels(labels: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """(draws, P) labels dealt out anew among the pairs."""
    generator = np.random.default_rng(seed)
    return np.stack([generator.permutation(labels) for _ in range(draws)])


def flipped_labels(labels: np.ndarray, groups: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """(draws, P) labels of which whole groups of pairs (P,) are turned round, each with probability 1/2.

    Pairs that share behaviour are not independent; flipping them together keeps what they share.
    """
    flips = np.random.default_rng(seed).random((draws, int(groups.max()) + 1)) < 0.5
    return np.where(flips[:, groups], 1 - labels, labels)


def margins_of(couplings: Tensor, comparisons: Comparisons, labels: np.ndarray, target_pairs: np.ndarray) -> Tensor:
    """(E, S, Q) margins of the target pairs (Q, 2) under E couplings (E, n, m) for S sets of labels (S, P)."""
    pairs = torch.from_numpy(comparisons.pairs).to(couplings.device)
    given = torch.from_numpy(labels).to(couplings)
    signed, observed = preference_matrix(pairs, given, couplings.shape[1])
    first, second = torch.from_numpy(target_pairs).to(couplings.device).T
    # One coupling after another: S matrices of n · n for each are enough to hold.
    return torch.stack([transferred(one, signed, observed)[..., first, second] for one in couplings])


@dataclass(frozen=True)
class Choice:
    """An epsilon chosen without any target label.

    Attributes:
        index: of the coupling with the largest energy.
        energies: (E,) mean squared margin over its mean under shuffled labels; 1 means as much as by chance.
        p: share of shuffles whose largest energy reaches the observed one.
    """

    index: int
    energies: list[float]
    p: float


def energy_choice(observed: Tensor, shuffled: Tensor) -> Choice:
    """The coupling under which the labels carry furthest beyond their shuffles.

    Labels that fit the target's geometry add up to large margins; shuffled ones cancel out.

    Args:
        observed: (E, Q) margins.
        shuffled: (E, S, Q) margins of shuffled labels.
    """
    typical = _energy(shuffled).mean(-1)
    energies = _energy(observed) / typical
    largest_by_chance = (_energy(shuffled) / typical[:, None]).amax(0)
    reached = int((largest_by_chance >= energies.max()).sum())
    return Choice(int(energies.argmax()), energies.tolist(), (1 + reached) / (1 + len(largest_by_chance)))


def accuracy(margins: Tensor, labels: np.ndarray) -> Tensor:
    """(…,) share of decided target pairs (Q,) that margins (…, Q) get right; a margin of 0 or NaN is half right."""
    decided = torch.from_numpy(labels != 0.5)
    wanted = torch.from_numpy(np.sign(labels - 0.5))[decided]
    return 0.5 + 0.5 * (margins[..., decided].nan_to_num(0).sign().double() * wanted).mean(-1)


@dataclass(frozen=True)
class Luck:
    """An accuracy beside those that meaningless labels reach.

    Attributes:
        p: share of draws at least as accurate, the observed one counted in.
        top: accuracy that 5 % of the draws exceed.
    """

    p: float
    top: float


def luck(observed: float, shuffled: Tensor, labels: np.ndarray) -> Luck:
    """Test an accuracy against draws that chose their epsilon blind as well.

    Args:
        observed: accuracy.
        shuffled: (E, S, Q) margins of meaningless source labels.
        labels: (Q,) of the target.
    """
    energies = _energy(shuffled)
    chosen = (energies / energies.mean(-1, keepdim=True)).argmax(0)
    found = accuracy(shuffled[chosen, torch.arange(shuffled.shape[1])], labels)
    reached = int((found >= observed - 1e-12).sum())
    return Luck((1 + reached) / (1 + len(found)), float(found.quantile(0.95)))


def _energy(margins: Tensor) -> Tensor:
    return margins.nan_to_num(0).square().mean(-1)
