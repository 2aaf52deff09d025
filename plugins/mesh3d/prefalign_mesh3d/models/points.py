"""A point cloud to condition vectors: learned queries that look at the points, then at each other.

The layout is that of the encoder DeepMesh (arXiv 2503.15265) conditions on: Fourier features of the positions beside
the normals, one cross-attention, self-attention layers, and one latent that stands for the whole shape.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prefalign_mesh3d.models.attention import Block, CrossAttention, GatedLayer


class PointEncoder(nn.Module):
    """N clouds (N, P, 6) of positions in [-1, 1] and unit normals to condition vectors (N, latents + 1, out_width).

    Args:
        latents: learned queries, the one of the whole shape not counted.
        width, heads, layers: of the encoder; the inner width of its layers is four times its width.
        frequencies: octaves of the positions' sines and cosines, 2^0 … 2^(frequencies - 1), without pi.
        out_width: width of the vectors that the decoder looks at.
    """

    def __init__(
        self,
        latents: int = 256,
        width: int = 768,
        heads: int = 12,
        layers: int = 8,
        frequencies: int = 8,
        out_width: int = 1024,
    ) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.queries = nn.Parameter(torch.randn(latents + 1, width) * 0.02)
        self.inputs = nn.Linear(3 + 6 * frequencies + 3, width)
        self.query_norm, self.point_norm, self.inner_norm = (nn.RMSNorm(width, eps=1e-5) for _ in range(3))
        self.look = CrossAttention(width, heads, width)
        self.layer = GatedLayer(width, 4 * width)
        self.blocks = nn.ModuleList(Block(width, heads, 4 * width, None) for _ in range(layers))
        # The shape's own vector and the others say different things, so each kind has its own map.
        self.shape_out, self.latents_out = nn.Linear(width, out_width), nn.Linear(width, out_width)
        self.out_norm = nn.LayerNorm(out_width)

    def forward(self, points: Tensor) -> Tensor:
        """(N, latents + 1, out_width) condition vectors, the whole shape's first."""
        points = points.to(self.queries.dtype)
        seen = self.point_norm(self.inputs(torch.cat([self.features(points[..., :3]), points[..., 3:]], dim=-1)))
        x = self.queries.expand(len(points), -1, -1)
        x = x + self.look(self.query_norm(x), self.look.project(seen))
        x = x + self.layer(self.inner_norm(x))
        for block in self.blocks:
            x = block(x)
        return self.out_norm(torch.cat([self.shape_out(x[:, :1]), self.latents_out(x[:, 1:])], dim=1))

    def features(self, positions: Tensor) -> Tensor:
        """(N, P, 3 + 6 · frequencies): the positions, their sines, their cosines."""
        octaves = 2.0 ** torch.arange(self.frequencies, device=positions.device, dtype=positions.dtype)
        angles = (positions[..., None] * octaves).flatten(-2)
        return torch.cat([positions, angles.sin(), angles.cos()], dim=-1)
