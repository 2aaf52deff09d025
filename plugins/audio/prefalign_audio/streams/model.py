"""A model of several token streams, as the stream policy sees it.

Axes: N rows, C distinct prompts, K streams, T frames, S steps (see `DelayPattern`), V_k ids of stream k.

A row is laid out as (N, K, S + 1) ids: the stream's `start` in step 0, then its codes, each stream delayed by its
pattern and ended by its `end` where it has one, and `fill` wherever a stream has nothing. A model reads the ids before
a step and predicts the step's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from prefalign.interfaces import CapabilityError, Media, Prompt
from prefalign_audio.streams.pattern import DelayPattern

Condition = dict[str, Tensor]
"""What a model reads beside the streams: batch-first tensors, by names of its own."""

Choose = Callable[[int, Tensor], Tensor]
"""(stream, logits (M, V_k)) to the ids (M,) that are taken; guidance and sampling are its affair."""


@dataclass(frozen=True)
class StreamLayout:
    """What of a model decides how songs become rows; known before any weight is loaded.

    Attributes:
        pattern: delays of the K streams.
        codes: how many codes each stream has; the codes of a song are 0 up to this, special ids lie at or beyond it.
        start: (K) id in step 0.
        fill: (K) id where a stream has nothing: before its delay, and behind its end.
        end: (K) id that ends a stream; None for models whose songs have a fixed length. The first stream without delay
            decides when a song ends: its end is predicted and scored, the other streams' follow from it.
        names: of the K streams, in records that bring each as an array of its own; empty for none.
    """

    pattern: DelayPattern
    codes: tuple[int, ...]
    start: tuple[int, ...]
    fill: tuple[int, ...]
    end: tuple[int, ...] | None
    names: tuple[str, ...] = ()

    @property
    def leading(self) -> int:
        """The stream that decides when a song ends."""
        return self.pattern.delays.index(0)


class Conditioner(ABC):
    """Prompts to condition tensors. It travels to the loader's workers: picklable, and without weights."""

    @abstractmethod
    def encode(self, prompt: Prompt) -> dict[str, Tensor]:
        """One prompt as tensors without a batch axis.

        Raises:
            PrefalignError: for what the model cannot be conditioned on; the codec adds the record's id.
        """

    @abstractmethod
    def collate(self, encoded: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """C encoded prompts as padded batch-first tensors."""

    @abstractmethod
    def negative(self, prompt: Prompt) -> Prompt:
        """The prompt that guidance leads away from: an empty one, or the same with the opposite tags."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of everything besides the prompt that decides the encoding."""

    def files(self) -> dict[str, str]:
        """Names and texts of the files that a saved model brings along, so that its prompts can be read again."""
        return {}


class StreamModel(nn.Module, ABC):
    """A family of models of several streams.

    Building one is cheap; `configure_model` loads the weights.

    Attributes:
        layout, conditioner: how songs and prompts are encoded.
        network: what is trained, saved and given an adapter; None until `configure_model`.
    """

    layout: StreamLayout
    conditioner: Conditioner
    network: Any

    def __init__(self) -> None:
        super().__init__()
        self.network = None

    @abstractmethod
    def configure_model(self) -> None:
        """Load or build the weights; calling it again changes nothing."""

    @abstractmethod
    def condition(self, inputs: Mapping[str, Tensor]) -> Condition:
        """What C prompts, as the conditioner collated them, are for the network; the policy picks rows of it."""

    @abstractmethod
    def hidden(
        self, ids: Tensor, present: Tensor, condition: Condition, streams: Sequence[int]
    ) -> dict[int, tuple[Tensor, Callable[[Tensor], Tensor]]]:
        """Hidden states and head of each wanted stream: ((N, S, D), D to V_k), for the S predicted steps.

        Args:
            ids: (N, K, S + 1) rows; step s + 1 is predicted from the steps up to s, and from earlier streams of the
                same step where the model has a depth decoder.
            present: (N, S + 1) bool, the steps in which some stream of the row still has something.
            condition: of the N rows.
            streams: which streams are wanted; parts that serve none of them need not run.
        """

    @abstractmethod
    def begin(self, condition: Condition, steps: int) -> Any:
        """State for writing `steps` steps under the condition of M rows, with whatever the prompt fills caches with."""

    @abstractmethod
    def step(self, state: Any, ids: Tensor, choose: Choose) -> Tensor:
        """(M, K) ids of the next step, after the step `ids` (M, K); the state grows by one.

        Streams are chosen in order, each with one call of `choose`.
        """

    def encode(self, media: Media) -> np.ndarray:
        """(K, T) codes of a sound.

        Raises:
            CapabilityError: where the family has no codec at hand, so that records must bring codes.
        """
        raise CapabilityError(f"{type(self).__name__} has no audio codec; give the responses as arrays named 'codes'")

    def codec_fingerprint(self) -> str:
        """A hash of what besides the sound decides the codes that `encode` makes.

        Raises:
            CapabilityError: where the family has no codec at hand.
        """
        raise CapabilityError(f"{type(self).__name__} has no audio codec; give the responses as arrays named 'codes'")

    def decode(self, codes: Tensor) -> tuple[Media, ...]:
        """The sound of codes (K, T); empty where the family has no codec."""
        return ()

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Named parts of the network, each as the beginnings of its parameters' names, for stages and freezing."""
        return {}

    def save_pretrained(self, folder: Path) -> None:
        """Write the network as Transformers reads it."""
        self.network.save_pretrained(folder)
