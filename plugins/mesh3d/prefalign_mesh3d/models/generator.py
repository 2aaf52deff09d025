"""The mesh generator: a point-cloud encoder and a decoder of mesh tokens, saved and loaded as Transformers' models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.models.causal import CausalDecoder
from prefalign_mesh3d.models.hourglass import SHORTEN, Hourglass
from prefalign_mesh3d.models.points import PointEncoder


class Cache(Protocol):
    """What a decoder keeps while sampling."""

    length: int

    def keep(self, rows: Tensor) -> None:
        """Forget the sequences that are not among `rows`."""


class MeshGeneratorConfig(PretrainedConfig):
    """Sizes of a mesh generator. The defaults are the layout of DeepMesh's released 0.5B model (arXiv 2503.15265).

    Args:
        vocab_size: ids of the tokenizer, begin and end included.
        width, heads, inner: of the decoder's blocks.
        depths: its numbers of blocks, from the outermost level inwards and out again (see `Hourglass`).
        rope_base: base of its rotary positions.
        backbone: config of a Transformers model (`{model_type: llama, hidden_size: 512, …}`) that takes the hourglass's
            place; the five arguments above are not read then.
        points: arguments of `PointEncoder`.
    """

    model_type = "prefalign_mesh_generator"

    def __init__(
        self,
        vocab_size: int = 4738,
        width: int = 1280,
        heads: int = 10,
        inner: int = 5120,
        depths: tuple[int, ...] | list[int] = (4, 4, 5, 4, 4),
        rope_base: float = 10_000.0,
        backbone: Mapping[str, Any] | None = None,
        points: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.vocab_size, self.width, self.heads, self.inner = vocab_size, width, heads, inner
        self.depths, self.rope_base = list(depths), rope_base
        self.backbone = None if backbone is None else dict(backbone)
        self.points = dict(points or {})
        super().__init__(**kwargs)


class MeshGenerator(PreTrainedModel):
    """Tokens of a mesh under a point cloud."""

    config_class = MeshGeneratorConfig
    config: MeshGeneratorConfig
    base_model_prefix = ""
    _supports_sdpa = True
    supports_gradient_checkpointing = True

    def __init__(self, config: MeshGeneratorConfig) -> None:
        super().__init__(config)
        self.encoder = PointEncoder(**config.points)
        source_width = self.encoder.shape_out.out_features
        self.decoder: Any
        if config.backbone is not None:
            self.decoder = CausalDecoder(config.backbone, source_width)
            width = self.decoder.width
        else:
            _check_depths(config)
            width = config.width
            self.decoder = Hourglass(config.depths, width, config.heads, config.inner, source_width, config.rope_base)
        self.embedding = nn.Embedding(config.vocab_size, width)
        self.norm = nn.Identity() if config.backbone is not None else nn.RMSNorm(width, eps=1e-5)
        self.head = nn.Linear(width, config.vocab_size, bias=False)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    @property
    def stride_unit(self) -> int:
        """What windows must begin at a multiple of, so that their groups are those of the whole sequence."""
        return 1 if self.config.backbone is not None else SHORTEN ** (len(self.config.depths) // 2)

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of the tokens."""
        return self.embedding

    def get_output_embeddings(self) -> nn.Module:
        """The head."""
        return self.head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the head."""
        self.head = cast(nn.Linear, new_embeddings)

    def condition(self, points: Tensor) -> Tensor:
        """(N, M, C) condition vectors of clouds (N, P, 6), positions in [-1, 1] beside unit normals."""
        return self.encoder(points)

    def hidden(self, tokens: Tensor, condition: Tensor, start: int = 0, cache: Cache | None = None) -> Tensor:
        """(N, T, D) what the head reads, for the tokens (N, T) of a window that begins at position `start`.

        Args:
            tokens: a whole window; or, with a cache that holds positions, the one token behind them.
            condition: (N, M, C), see `condition`.
            start: position of the window's first token in its sequence, a multiple of `stride_unit`.
            cache: from `cache`, filled as it goes.
        """
        return self.norm(self.decoder(self.embedding(tokens), start, condition, cache))

    def cache(self, capacity: int) -> Cache:
        """An empty cache for windows of at most `capacity` tokens."""
        return cast(Cache, self.decoder.cache(capacity))

    def forward(self, tokens: Tensor, points: Tensor) -> Tensor:
        """(N, T, V) logits of the token behind each of `tokens` (N, T), under clouds (N, P, 6)."""
        return self.head(self.hidden(tokens, self.condition(points)))


def _check_depths(config: MeshGeneratorConfig) -> None:
    if len(config.depths) % 2 == 0 or min(config.depths) < 1:
        raise PrefalignError(
            f"depths {config.depths}: expected an odd number of levels with at least one block each, such as [3] or "
            "[4, 4, 5, 4, 4]"
        )
    if config.width % config.heads or config.width // config.heads % 2:
        raise PrefalignError(
            f"width {config.width} is not an even number of dimensions for each of {config.heads} heads"
        )


def parameters_of(config: MeshGeneratorConfig) -> dict[str, int]:
    """Numbers of parameters by part, without building the weights."""
    with torch.device("meta"):
        model = MeshGenerator(config)
    parts = {"encoder": model.encoder, "decoder": model.decoder, "embedding": model.embedding, "head": model.head}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    return {**counts, "all": sum(p.numel() for p in model.parameters())}
