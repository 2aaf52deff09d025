"""LeLM as a stream model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from prefalign.interfaces import PrefalignError
from prefalign.models.pretrained import DType, from_pretrained
from prefalign_audio.streams.lelm_network import LeLM, LeLMConfig
from prefalign_audio.streams.model import Choose, Condition, Conditioner, StreamLayout, StreamModel
from prefalign_audio.streams.pattern import DelayPattern

#: Width, layers and heads of a twin that is built in a moment.
TINY: dict[str, Any] = {
    "codes": [32, 24, 16],
    "delays": [0, 1, 1],
    "condition_ids": 512,
    "mixed": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
    "parts": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2},
}


class LeLMModel(StreamModel):
    """LeVo's two decoders over mixed, vocal and accompaniment codes.

    Training has three stages (arXiv 2506.07520), which the policy's settings spell: `trained: [mixed]` with
    `stream_weights: [1, 0, 0]`; then `trained: [parts]` with `stream_weights: [0, 1, 1]`; then alignment, with neither.

    Args:
        model: folder of a saved `LeLM`, or values of `LeLMConfig` for random weights on top of tiny ones; a decoder's
            values may leave out what the tiny one has.
        conditioner: reads the prompts.
        dtype: of the weights.
        init_seed: of random weights.

    Raises:
        PrefalignError: for a folder that is none, or a conditioner with more ids than the network embeds.
    """

    def __init__(
        self, model: str | dict[str, Any], conditioner: Conditioner, dtype: DType = "float32", init_seed: int = 0
    ) -> None:
        super().__init__()
        self.source, self.conditioner, self.dtype, self.init_seed = model, conditioner, dtype, init_seed
        config = self._config()
        ends = tuple(config.codes)
        blanks = tuple(count + 1 for count in config.codes)
        self.layout = StreamLayout(DelayPattern(config.delays), ends, blanks, blanks, ends, tuple(config.stream_names))
        ids = getattr(conditioner, "ids", None)
        if ids is not None and ids > config.condition_ids:
            raise PrefalignError(f"the conditions have {ids} ids, and the network embeds {config.condition_ids}")

    def _config(self) -> LeLMConfig:
        if isinstance(self.source, str):
            return from_pretrained(LeLMConfig, self.source)
        values = {**TINY, **self.source}
        for name in ("mixed", "parts"):
            values[name] = {"model_type": "llama", "num_key_value_heads": None, **TINY[name], **values[name]}
        return LeLMConfig(**values)

    def configure_model(self) -> None:
        """Load or build the network."""
        if self.network is not None:
            return
        dtype = self.dtype if self.dtype == "auto" else getattr(torch, self.dtype)
        if isinstance(self.source, str):
            self.network = from_pretrained(LeLM, self.source, dtype=dtype)
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.init_seed)
                self.network = LeLM(self._config())
            self.network = self.network if dtype == "auto" else self.network.to(dtype)
        self.network.train()

    @property
    def _plain(self) -> Any:
        """The network without peft's wrapper, whose inputs have other names; an adapter's layers are inside."""
        return getattr(self.network, "get_base_model", lambda: self.network)()

    def condition(self, inputs: Mapping[str, Tensor]) -> Condition:
        """The condition's ids, which each decoder embeds for itself."""
        return dict(inputs)

    def hidden(
        self, ids: Tensor, present: Tensor, condition: Condition, streams: Sequence[int]
    ) -> dict[int, tuple[Tensor, Callable[[Tensor], Tensor]]]:
        """Hidden states of the wanted streams; the parts share theirs."""
        network = self._plain
        mixed, parts = network(ids[:, :, :-1], present[:, :-1], condition["ids"], condition["mask"], parts=any(streams))
        return {k: (mixed if k == 0 else parts, network.head(k)) for k in streams}

    def begin(self, condition: Condition, steps: int) -> Any:
        """Empty caches; the condition enters with the first step."""
        config = [self._plain.mixed.config, self._plain.parts.config]
        return {"cache": tuple(DynamicCache(config=one) for one in config), "condition": condition, "steps": 0}

    def step(self, state: Any, ids: Tensor, choose: Choose) -> Tensor:
        """The next ids of all streams, which one pass of both decoders predicts."""
        network = self._plain
        condition, first = state["condition"], state["steps"] == 0
        state["steps"] += 1
        present = torch.ones(len(ids), state["steps"], dtype=torch.bool, device=ids.device)
        mixed, parts = network(
            ids[:, :, None], present, condition["ids"] if first else None, condition["mask"], cache=state["cache"]
        )
        hidden = [mixed[:, -1], *[parts[:, -1]] * (ids.shape[1] - 1)]
        return torch.stack([choose(k, network.head(k)(h)) for k, h in enumerate(hidden)], dim=1)

    def groups(self) -> dict[str, tuple[str, ...]]:
        """What the first stage trains, and what the second adds."""
        return {"mixed": ("mixed",), "parts": ("part", "fusion")}
