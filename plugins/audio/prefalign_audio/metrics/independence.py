"""A judge that had a hand in training cannot say whether training helped."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any, Protocol, runtime_checkable

from prefalign.interfaces import PrefalignError


@runtime_checkable
class Fingerprinted(Protocol):
    """Anything that can name its weights and preprocessing by a hash, as encoders do."""

    def fingerprint(self) -> str:
        """The hash."""


def ensure_independent(judge: str, trainers: Collection[str], *, allow: bool = False) -> bool:
    """Refuse a judge that also ranked, rewarded or filtered the training data.

    A policy learns what its trainer likes, faults included, so that the trainer's own scores rise whether or not
    anything became better (TangoFlux 2412.21037 therefore ranks with one CLAP checkpoint and reports another).

    Args:
        judge: fingerprint of the model that a metric is computed with.
        trainers: fingerprints of the models that training used.
        allow: go on, with a warning; for studies of over-optimisation, which need both figures.

    Returns:
        Whether the judge is none of the trainers.

    Raises:
        PrefalignError: if it is one and `allow` is not set.
    """
    if judge not in trainers:
        return True
    problem = f"the judge (fingerprint {judge[:12]}) is one of the {len(trainers)} models that training used"
    if not allow:
        raise PrefalignError(f"{problem}; judge with another checkpoint, or set allow_trainer to see its figure anyway")
    warnings.warn(f"{problem}: its figure says nothing about quality", UserWarning, stacklevel=2)
    return False


def ensure_independent_model(judge: Any, trainers: Collection[str], *, allow: bool = False) -> bool:
    """The same for a model, which is asked for its fingerprint; without trainers there is nothing to compare.

    Raises:
        PrefalignError: also for a model that has none.
    """
    if not trainers:
        return True
    if not isinstance(judge, Fingerprinted):
        raise PrefalignError(
            f"{type(judge).__name__} has no fingerprint() to compare with the models that training used; give it one, "
            "or pass no trainers"
        )
    return ensure_independent(judge.fingerprint(), trainers, allow=allow)
