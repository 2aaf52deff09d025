"""The policy: a generative model that scores and samples responses.

A policy is two parts. Its *codec* is light and picklable, holds tokenizer or processor and no weights, and travels to
the data loader's workers. Its weights are loaded by `configure_model`, after every cheap check has passed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from prefalign.interfaces.errors import CapabilityError
from prefalign.interfaces.record import PreferenceRecord, Prompt, Response
from prefalign.interfaces.scores import Batch, ResponseScores

#: What an objective may ask of a policy (see `Policy.provides`).
NEEDS: dict[str, str] = {
    "token_logps": "log-probabilities per token",
    "likelihood": "the plain likelihood of a response, without weights of its tokens",
    "collision": "the summed squared probabilities per token",
    "entropy": "the entropy per token",
    "prompt_logps": "log-probabilities of the prompt",
    "mismatched": "responses scored under another record's prompt",
    "reference": "a reference model",
}


class Codec(Protocol):
    """Records to model inputs. Runs in worker processes, so it is picklable and holds no weights."""

    def encode(self, record: PreferenceRecord) -> Any:
        """One record as CPU tensors.

        Raises:
            RecordError: for what the policy cannot represent, with the record's id.
        """

    def collate(self, examples: Sequence[Any], needs: frozenset[str] = frozenset()) -> Batch:
        """Encoded records, row after row in order, as one padded batch with what `needs` asks for."""

    def fingerprint(self) -> str:
        """A hash of everything besides the record that decides the encoding (tokenizer, template, lengths)."""


@dataclass(frozen=True)
class Extension:
    """A response that is still being written.

    Attributes:
        response: what stands so far, readable as a response of its own.
        ended: the policy has put an end to it, so that nothing can follow.
    """

    response: Response
    ended: bool


class Policy(nn.Module, ABC):
    """A generative model whose responses can be scored against a reference.

    Attributes:
        provides: which of `NEEDS` the `scores` method can deliver.
        codec: the light part that encodes records.
    """

    provides: ClassVar[frozenset[str]] = frozenset()
    codec: Codec

    def encode(self, record: PreferenceRecord) -> Any:
        """One record as CPU tensors; see `Codec.encode`."""
        return self.codec.encode(record)

    def collate(self, examples: Sequence[Any], needs: frozenset[str] = frozenset()) -> Batch:
        """Encoded records as one batch; see `Codec.collate`."""
        return self.codec.collate(examples, needs)

    @abstractmethod
    def configure_model(self) -> None:
        """Load or build the weights; calling it again changes nothing."""

    @abstractmethod
    def scores(self, batch: Batch, needs: frozenset[str] = frozenset()) -> ResponseScores:
        """Scores of the batch's N rows, differentiable in the trainable parameters."""

    def replays(self, batch: Batch) -> Iterable[Batch]:
        """The batch in every form in which training will score it, for references that are computed ahead.

        Families that draw noise yield one form per draw, with keys of their own.

        Raises:
            CapabilityError: if the number of draws is not bounded.
        """
        return (batch,)

    @abstractmethod
    def stored(self, scores: ResponseScores) -> list[Tensor]:
        """One flat tensor per row that holds what a cache must keep of its scores."""

    @abstractmethod
    def restored(self, values: Sequence[Tensor], batch: Batch) -> ResponseScores:
        """The scores whose rows `stored` gave, without running the model; the weights are those of the batch."""

    def keys(self, batch: Batch) -> list[str]:
        """One key per row, equal where the untrained policy would give equal numbers to store."""
        return batch.keys

    @abstractmethod
    def sample(
        self, prompts: Sequence[Prompt], n: int = 1, *, generator: torch.Generator | None = None, **options: Any
    ) -> list[list[Response]]:
        """`n` responses to each prompt; without a generator, greedily where the family can."""

    def extend(
        self,
        prompts: Sequence[Prompt],
        begun: Sequence[Response | None],
        units: int,
        *,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> list[Extension]:
        """Write each response on, for searches that look at responses before they are finished.

        Args:
            prompts: what is answered.
            begun: what stands of each answer, from an earlier call; None for nothing.
            units: how much is added at most: tokens, or frames of a model of several streams.
            generator: samples with its seed; without one, greedily.
            options: as for `sample`.

        Raises:
            CapabilityError: if the family writes a response as a whole.
        """
        raise CapabilityError(
            f"{type(self).__name__} makes a response as a whole, so it cannot be searched step by step; take best-of-N"
        )

    @abstractmethod
    def save_pretrained(self, folder: Path) -> None:
        """Write what a user of Transformers, peft or Diffusers can load without us."""

    def adapter_disabled(self) -> Any:
        """A context in which trained adapters are off.

        Raises:
            CapabilityError: if the policy has no adapter.
        """
        raise CapabilityError(f"{type(self).__name__} has no adapter that could be switched off")

    @property
    def has_adapter(self) -> bool:
        """Whether only an adapter is trained, so that the reference is the same model with the adapter off."""
        return False
