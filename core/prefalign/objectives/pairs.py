"""What a pairwise loss sees: scores of both ends of B pairs, and the class that every pairwise loss derives from."""

from __future__ import annotations

import importlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from prefalign.functional.length import per_unit
from prefalign.interfaces import PrefalignError, unknown_name

#: Features of the assembly around a loss that a loss may honour.
HONOURS: dict[str, str] = {
    "margin": "margins of records, length_alpha",
    "divergence": "f_divergence_type",
    "score": "ld_alpha, average, length_normalise",
    "pair": "soft labels, ties and weights of pairs, use_weighting",
}


@dataclass(frozen=True)
class Side:
    """One end of B pairs; every tensor is (B,).

    Attributes:
        logps: sequence log-probability under the policy, in nats.
        reference: the same under the reference; zeros without one.
        score: the implicit reward without its factor β: log ratio, or its f-divergence form.
        lengths: number of scored units.
        bonus: reward that the response has besides β · score.
        likelihood: plain log-probability without token weights, and
        likelihood_lengths: the number of its tokens; where token log-probabilities were asked for.
    """

    logps: Tensor
    reference: Tensor
    score: Tensor
    lengths: Tensor
    bonus: Tensor
    likelihood: Tensor | None = None
    likelihood_lengths: Tensor | None = None

    @property
    def ratio(self) -> Tensor:
        """log π − log π_ref."""
        return self.logps - self.reference

    def per_length(self) -> Side:
        """The same per unit instead of per response."""
        logps, reference, score = (per_unit(t, self.lengths) for t in (self.logps, self.reference, self.score))
        return replace(self, logps=logps, reference=reference, score=score)

    def blanked(self, where: Tensor) -> Side:
        """The same with zeros where the (B,) mask is set."""

        def blank(tensor: Tensor) -> Tensor:
            return torch.where(where, torch.zeros_like(tensor), tensor)

        zero = {name: blank(getattr(self, name)) for name in ("logps", "reference", "score", "bonus")}
        return replace(self, **zero, likelihood=None if self.likelihood is None else blank(self.likelihood))


@dataclass(frozen=True)
class PairScores:
    """B pairs.

    Attributes:
        chosen, rejected: the two ends.
        margin: (B,) required difference of rewards.
    """

    chosen: Side
    rejected: Side
    margin: Tensor

    @property
    def delta(self) -> Tensor:
        """(B,) difference of the scores, without β."""
        return self.chosen.score - self.rejected.score

    def logit(self, beta: float) -> Tensor:
        """(B,) difference of the rewards beyond the required margin."""
        return beta * self.delta + self.chosen.bonus - self.rejected.bonus - self.margin

    def swapped(self) -> PairScores:
        """The opposite judgement, which requires the same margin."""
        return replace(self, chosen=self.rejected, rejected=self.chosen)

    def per_length(self) -> PairScores:
        """Scores per unit instead of per response."""
        return replace(self, chosen=self.chosen.per_length(), rejected=self.rejected.per_length())

    def blanked(self, where: Tensor) -> PairScores:
        """The same with zeros where the (B,) mask is set."""
        return replace(self, chosen=self.chosen.blanked(where), rejected=self.rejected.blanked(where))


class PairLoss(nn.Module, ABC):
    """A loss of pairs. Its constructor's parameters are the hyper-parameters that it reads.

    Attributes:
        name: how `loss_type` calls it.
        needs: names from `prefalign.interfaces.policy.NEEDS`.
        honours: names from `HONOURS`. Settings that none of the losses honours are refused at construction, and so are
            records whose margins, probabilities or weights would be ignored.
        by_length: scores are divided by the length unless `length_normalise` says otherwise.
        batch_dependent: a pair's loss depends on the rest of its batch.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset({"reference"})
    honours: ClassVar[frozenset[str]] = frozenset(HONOURS)
    by_length: ClassVar[bool] = False
    batch_dependent: ClassVar[bool] = False

    def __init__(self) -> None:  # without nn.Module's catch-all arguments, so that the signature names what is read
        super().__init__()

    @abstractmethod
    def forward(self, pairs: PairScores) -> Tensor:
        """(B,) losses."""


#: Pairwise losses by name; `register_pair_loss` adds to it.
PAIR_LOSSES: dict[str, type[PairLoss]] = {}


def register_pair_loss(loss: type[PairLoss]) -> type[PairLoss]:
    """Class decorator that makes a loss available to `loss_type` by its `name`.

    Raises:
        PrefalignError: if the name is taken by another class.
    """
    taken = PAIR_LOSSES.setdefault(loss.name, loss)
    if taken is not loss:
        raise PrefalignError(
            f"the pairwise loss name {loss.name!r} is taken by {taken.__module__}.{taken.__qualname__}"
        )
    return loss


def find_pair_loss(name: str) -> type[PairLoss]:
    """The class behind a registered name or an import path (`package.module:Class`).

    Raises:
        PrefalignError: for unknown names (with near ones), paths that cannot be imported, and classes of another kind.
    """
    if name in PAIR_LOSSES:
        return PAIR_LOSSES[name]
    if ":" not in name and "." not in name:
        raise unknown_name("loss_type", name, PAIR_LOSSES)
    module, _, attribute = name.replace(":", ".").rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PrefalignError(f"loss_type {name!r} cannot be imported: {error}") from error
    if not (inspect.isclass(found) and issubclass(found, PairLoss)):
        raise PrefalignError(f"loss_type {name!r} is no subclass of {PairLoss.__module__}.PairLoss")
    return found


def build_pair_losses(chosen: list[str | PairLoss], settings: Mapping[str, Any]) -> list[PairLoss]:
    """Losses with the hyper-parameters that the user gave.

    Args:
        chosen: names, import paths or ready losses.
        settings: hyper-parameters by name, None where the user gave none; each goes to the losses that read it.

    Raises:
        PrefalignError: for unknown names, a missing hyper-parameter, and one that none of the losses reads.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    losses: list[PairLoss] = []
    read: set[str] = set()
    for item in chosen:
        if isinstance(item, PairLoss):
            losses.append(item)
            continue
        kind = find_pair_loss(item)
        parameters = inspect.signature(kind).parameters
        missing = [key for key, p in parameters.items() if p.default is p.empty and key not in given]
        if missing:
            raise PrefalignError(f"loss_type {item!r} needs {', '.join(missing)}")
        losses.append(kind(**{key: value for key, value in given.items() if key in parameters}))
        read |= parameters.keys()
    refuse_unread({key: value for key, value in given.items() if key not in read}, losses)
    return losses


def refuse_unread(unread: Mapping[str, Any], losses: list[PairLoss]) -> None:
    """Refuse settings that would be ignored without a word.

    Raises:
        PrefalignError: if there are any.
    """
    if unread:
        settings = ", ".join(f"{key}={value}" for key, value in unread.items())
        names = ", ".join(loss.name for loss in losses)
        raise PrefalignError(f"{settings} would have no effect on the loss {names}; leave it out")
