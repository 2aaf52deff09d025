"""LeLM, LeVo's language model of songs (arXiv 2506.07520): two decoders over a mixed and several separate streams.

Axes: N rows, K streams, S steps, P condition places, D width.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, DynamicCache, PretrainedConfig, PreTrainedModel

from prefalign.interfaces import PrefalignError


class LeLMConfig(PretrainedConfig):
    """Sizes of a LeLM. The defaults are those of the published song model.

    Args:
        codes: how many codes each stream has; the first stream is the mix, the others are its parts.
        delays: steps by which each stream lags.
        condition_ids: ids of the conditions' vocabulary; 0 is the place that says nothing.
        mixed, parts: configs of the two decoders, Transformers models that read embeddings (`{model_type: llama, …}`).
        stream_names: what records call the streams.
    """

    model_type = "prefalign_lelm"

    def __init__(
        self,
        codes: Sequence[int] = (16384, 16384, 16384),
        delays: Sequence[int] = (0, 250, 250),
        condition_ids: int = 152_000,
        mixed: Mapping[str, Any] | None = None,
        parts: Mapping[str, Any] | None = None,
        stream_names: Sequence[str] = ("mixed", "vocal", "accompaniment"),
        **kwargs: Any,
    ) -> None:
        self.codes, self.delays, self.condition_ids = list(codes), list(delays), condition_ids
        self.mixed = _decoder(28, 1.0e5) if mixed is None else dict(mixed)
        self.parts = _decoder(12, 5.0e5) if parts is None else dict(parts)
        self.stream_names = list(stream_names)
        super().__init__(**kwargs)


def _decoder(layers: int, base: float) -> dict[str, Any]:
    """1,536 wide with heads of 128; the rotary bases are those of the published code."""
    return {
        "model_type": "llama",
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": layers,
        "num_attention_heads": 12,
        "num_key_value_heads": 12,
        "max_position_embeddings": 10_000,
        "rms_norm_eps": 1.0e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": base},
    }


class LeLM(PreTrainedModel):
    """The network.

    The mixed decoder reads the mixed stream's embeddings behind the condition's; its hidden states predict the mixed
    stream. The parts' decoder reads, place by place, the summed embeddings of the parts fused with those hidden states,
    and predicts all parts of a step at once. Each decoder has embeddings of the condition of its own.
    """

    config_class = LeLMConfig
    config: LeLMConfig
    base_model_prefix = ""
    _supports_sdpa = True
    supports_gradient_checkpointing = True

    def __init__(self, config: LeLMConfig) -> None:
        super().__init__(config)
        if len(config.codes) < 2 or len(config.delays) != len(config.codes):
            raise PrefalignError(
                f"expected codes of a mixed stream and of at least one part, and as many delays; got {config.codes} "
                f"and {config.delays}"
            )
        self.mixed, wide = _built(config.mixed)
        self.parts, narrow = _built(config.parts)
        # Two ids beyond the codes: the end, and what stands where a stream has nothing.
        sizes = [count + 2 for count in config.codes]
        self.mixed_embedding = nn.Embedding(sizes[0], wide)
        self.part_embeddings = nn.ModuleList(nn.Embedding(size, narrow) for size in sizes[1:])
        self.mixed_condition = nn.Embedding(config.condition_ids, wide)
        self.part_condition = nn.Embedding(config.condition_ids, narrow)
        self.fusion = nn.Sequential(nn.Linear(narrow + wide, narrow), nn.GELU(), nn.Linear(narrow, narrow))
        self.mixed_head = nn.Linear(wide, sizes[0], bias=False)
        self.part_heads = nn.ModuleList(nn.Linear(narrow, size, bias=False) for size in sizes[1:])
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of the mixed stream, behind which adapters ask for gradients."""
        return self.mixed_embedding

    def head(self, stream: int) -> nn.Linear:
        """What predicts a stream."""
        return self.mixed_head if stream == 0 else cast(nn.Linear, self.part_heads[stream - 1])

    def forward(
        self,
        ids: Tensor,
        present: Tensor,
        condition: Tensor | None,
        condition_mask: Tensor,
        cache: tuple[DynamicCache, DynamicCache] | None = None,
        parts: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """Hidden states that predict the step behind each of `ids`.

        Args:
            ids: (N, K, S).
            present: (N, S) bool.
            condition: (N, P, G) ids, of which the G of a place are summed; None once a cache holds them.
            condition_mask: (N, P) bool, padded on the left so that a condition ends where the streams begin.
            cache: of both decoders, filled as it goes.
            parts: whether the parts are wanted; without them their decoder does not run.

        Returns:
            (N, S, D) of the mixed stream, and (N, S, D') of the parts.
        """
        prefix = 0 if condition is None else condition.shape[1]
        past = 0 if cache is None else cache[0].get_seq_length()
        mask = torch.cat([condition_mask, present], dim=1)
        places = (mask.long().cumsum(1) - 1).clamp(min=0)[:, past : past + prefix + ids.shape[2]]
        context = mask[:, : past + prefix + ids.shape[2]].long()

        def run(decoder: nn.Module, inputs: Tensor, index: int) -> Tensor:
            held = {} if cache is None else {_cache_argument(decoder): cache[index]}
            found = decoder(
                inputs_embeds=inputs,
                attention_mask=context,
                position_ids=places,
                use_cache=cache is not None,
                **held,
            )
            hidden: Tensor = found.last_hidden_state
            return hidden

        mixed = run(self.mixed, _behind(condition, self.mixed_condition, self.mixed_embedding(ids[:, 0])), 0)
        if not parts:
            return mixed[:, prefix:], None
        each = [table(ids[:, k + 1]) for k, table in enumerate(self.part_embeddings)]
        together = _behind(condition, self.part_condition, torch.stack(each).sum(0))
        dual = run(self.parts, self.fusion(torch.cat([together, mixed], dim=-1)), 1)
        return mixed[:, prefix:], dual[:, prefix:]


def _behind(condition: Tensor | None, table: nn.Embedding, streams: Tensor) -> Tensor:
    if condition is None:
        return streams
    # Whatever the table holds for 0, places of different widths meet in a batch.
    said = table(condition) * (condition != 0).unsqueeze(-1)
    return torch.cat([said.sum(2).to(streams.dtype), streams], dim=1)


def _cache_argument(decoder: nn.Module) -> str:
    """What a decoder calls its cache; Transformers renames it, model by model."""
    return "cache" if "cache" in inspect.signature(decoder.forward).parameters else "past_key_values"


def _built(config: Mapping[str, Any]) -> tuple[Any, int]:
    """A Transformers model without the embedding of its vocabulary, which it is never asked for, and its width."""
    settings = {"vocab_size": 1, "bos_token_id": None, "eos_token_id": None, **config}
    found = AutoConfig.for_model(settings.pop("model_type"), **settings)
    model = AutoModel.from_config(found)
    model.set_input_embeddings(nn.Identity())
    return model, found.hidden_size
