"""The network of diffusion policies: a transformer over the steps of a chunk, modulated by time and observation.

It is a model of Diffusers, so that folders, adapters and recomputed activations are those of any other denoiser.
Axes: N chunks, H steps, A numbers of an action, O numbers of an observation.
"""

from __future__ import annotations

import math

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

#: Periods of the clock's waves run from 2π steps to as many as there are steps in training, and beyond.
_FREQUENCIES = torch.logspace(0, -math.log10(200.0), 16)


class Block(nn.Module):
    """Attention and a perceptron, each scaled, shifted and gated by the condition.

    Modulation of features is FiLM (arXiv 1709.07871 eq. 2); gates that begin at zero are those of adaLN-Zero (arXiv
    2212.09748, section 3.2): a block begins as the identity.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False)
        self.to_qkv, self.to_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """(N, H, width) tokens and (N, width) conditions to (N, H, width)."""
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = self.modulation(condition)[:, None].chunk(6, -1)
        inner = self.norm_attention(tokens) * (1 + scale) + shift
        parts = self.to_qkv(inner).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(*parts.unbind()).transpose(1, 2).flatten(2)
        tokens = tokens + gate * self.to_out(attended)
        mixed: Tensor = tokens + gate_mlp * self.mlp(self.norm_mlp(tokens) * (1 + scale_mlp) + shift_mlp)
        return mixed


class ActionTransformer(ModelMixin, ConfigMixin, PeftAdapterMixin):
    """Predicts clean actions, or the noise, of noisy chunks.

    The scales of observations and actions are buffers of the network, so that they are saved with it.

    Args:
        observation: O numbers.
        action: A numbers.
        horizon: H steps of a chunk.
        prediction: `sample` the actions (DeformPAM), `epsilon` the noise (Diffusion Policy, LeRobot).
        width, depth, heads: of the transformer.
    """

    _supports_gradient_checkpointing = True
    observation_mean: Tensor
    observation_deviation: Tensor
    action_low: Tensor
    action_high: Tensor

    @register_to_config  # type: ignore[untyped-decorator]  # Diffusers has no types for it
    def __init__(
        self,
        observation: int,
        action: int,
        horizon: int,
        prediction: str = "sample",
        width: int = 64,
        depth: int = 3,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.gradient_checkpointing = False
        self.enter, self.leave = nn.Linear(action, width), nn.Linear(width, action)
        self.positions = nn.Parameter(0.02 * torch.randn(horizon, width))
        self.clock = nn.Sequential(nn.Linear(2 * len(_FREQUENCIES), width), nn.SiLU(), nn.Linear(width, width))
        self.sight = nn.Sequential(
            nn.Linear(observation, 2 * width), nn.SiLU(), nn.Linear(2 * width, width), nn.LayerNorm(width)
        )
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.register_buffer("observation_mean", torch.zeros(observation))
        self.register_buffer("observation_deviation", torch.ones(observation))
        self.register_buffer("action_low", -torch.ones(action))
        self.register_buffer("action_high", torch.ones(action))

    def forward(self, noisy: Tensor, timestep: Tensor, observation: Tensor) -> Tensor:
        """(N, H, A) predictions for noisy chunks (N, H, A) at steps (N,) of the noise, after observations (N, O)."""
        angles = timestep.to(noisy)[:, None] * _FREQUENCIES.to(noisy)
        seen = (observation - self.observation_mean) / self.observation_deviation
        condition = functional.silu(self.clock(torch.cat([angles.sin(), angles.cos()], -1)) + self.sight(seen))
        tokens = self.enter(noisy) + self.positions
        for block in self.blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                tokens = self._gradient_checkpointing_func(block, tokens, condition)
            else:
                tokens = block(tokens, condition)
        predicted: Tensor = self.leave(self.norm(tokens))
        return predicted

    @torch.no_grad()
    def set_scales(self, observations: Tensor, actions: Tensor) -> None:
        """Take the scales from (N, O) observations and (M, A) actions; what never moves is only centred."""
        deviation, mean = torch.std_mean(observations.double(), 0, correction=0)
        self.observation_mean.copy_(mean)
        self.observation_deviation.copy_(torch.where(deviation > 1e-6, deviation, 1.0))
        low, high = actions.double().aminmax(dim=0)
        still = high - low < 1e-6
        self.action_low.copy_(torch.where(still, low - 1, low))
        self.action_high.copy_(torch.where(still, high + 1, high))

    def scaled(self, actions: Tensor) -> Tensor:
        """(…, A) actions in the robot's units, as numbers in [−1, 1]."""
        return 2 * (actions - self.action_low) / (self.action_high - self.action_low) - 1

    def unscaled(self, latents: Tensor) -> Tensor:
        """The inverse of `scaled`."""
        return self.action_low + (latents + 1) / 2 * (self.action_high - self.action_low)
