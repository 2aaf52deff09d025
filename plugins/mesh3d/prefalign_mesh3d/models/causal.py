"""Any Transformers decoder as the network under the condition: its vectors stand in front of the tokens."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn


class CausalDecoder(nn.Module):
    """A Transformers model of causal attention, which reads condition vectors as a prefix.

    Args:
        settings: its config as a mapping with `model_type` (`llama`, `qwen3`, `gpt2`, …).
        source_width: width of the condition's vectors.
        attn_implementation: as in Transformers.
    """

    def __init__(self, settings: dict[str, Any], source_width: int, attn_implementation: str | None = None) -> None:
        super().__init__()
        from transformers import AutoConfig, AutoModel

        values = dict(settings)
        config = AutoConfig.for_model(values.pop("model_type"), **values)
        options = {"attn_implementation": attn_implementation} if attn_implementation else {}
        self.network: Any = AutoModel.from_config(config, **options)
        self.width: int = config.hidden_size
        self.prefix = nn.Linear(source_width, self.width)
        # Transformers 5.24 renamed it and warns of the old name.
        named = inspect.signature(self.network.forward).parameters
        self._cache_argument = "cache" if "cache" in named else "past_key_values"

    def forward(self, x: Tensor, start: int, source: Tensor, cache: PrefixCache | None = None) -> Tensor:
        """(N, T, D) to the same; as in `Hourglass`."""
        done = 0 if cache is None else cache.length
        prefix = source.shape[1]
        if not done:
            x = torch.cat([self.prefix(source).to(x.dtype), x], dim=1)
            # The condition keeps its place in front of every window; tokens count from the mesh's beginning.
            places = [*range(prefix), *range(prefix + start, start + x.shape[1])]
        else:
            places = [*range(prefix + start + done, prefix + start + done + x.shape[1])]
        seen = x.shape[1] + (done + prefix if done else 0)
        out = self.network(
            inputs_embeds=x,
            # Given so that Transformers does not take the gap between the places for two packed sequences.
            attention_mask=torch.ones(len(x), seen, dtype=torch.long, device=x.device),
            position_ids=torch.tensor(places, device=x.device)[None].expand(len(x), -1),
            use_cache=cache is not None,
            **({} if cache is None else {self._cache_argument: cache.own}),
        ).last_hidden_state
        if not done:
            out = out[:, prefix:]
        if cache is not None:
            cache.length += out.shape[1]
        return out

    def cache(self, capacity: int) -> PrefixCache:
        """An empty cache; it grows by itself."""
        return PrefixCache()


class PrefixCache:
    """Transformers' own cache, and how many tokens behind the prefix it holds."""

    def __init__(self) -> None:
        from transformers import DynamicCache

        self.own, self.length = DynamicCache(), 0

    def keep(self, rows: Tensor) -> None:
        """Forget the sequences that are not among `rows`."""
        self.own.batch_select_indices(rows)


__all__ = ["CausalDecoder", "PrefixCache"]
