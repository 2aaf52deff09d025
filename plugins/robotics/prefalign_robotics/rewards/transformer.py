"""The Preference Transformer (Kim et al., ICLR 2023, arXiv 2303.00957): rewards that depend on the past, weighed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prefalign.interfaces import Batch, PrefalignError
from prefalign_robotics.rewards.codec import TrajectoryCodec
from prefalign_robotics.rewards.trajectory import TrajectoryReward, deviation


class PreferenceTransformerReward(TrajectoryReward):
    """A segment's reward is Σ_t w_t · r_t, where r_t has seen the steps up to t and the weights w sum to 1.

    Actions and observations are tokens of a causal transformer, the action of a step before its observation, with one
    embedding of time for both. From each observation's state come a query, a key and a reward; w_t is the mean over all
    queries of their attention to step t, to which later steps contribute as well. Since the weights sum to 1 the reward
    of a segment is a mean, and segments of any length compare.

    The rewards of the steps are w_t · r_t, so that they sum to the segment's; `step_rewards` gives r_t, which is what
    to label transitions with, because it needs no future.

    The paper: one layer of four heads, 256 wide, AdamW with a peak of 1e-3 after a tenth of the steps and a cosine
    after it, 256 pairs a batch. The released code divides the logits of the last attention by 1, where here they are
    divided by √width, as attention has it; the softmax would start saturated otherwise.

    Args:
        observation_size: O, numbers in an observation.
        action_size: A, numbers in an action.
        max_steps: most steps of a segment.
        width: of the tokens, and of queries and keys.
        layers, heads: of the transformer.
        dropout: of the transformer, in [0, 1).
        gaussian: also give a variance, for `core/robust_reward`; its `entropy_floor` then is that of w_t · r_t, which
            for equal weights is the entropy of r_t less log T.
        every: keep the first of every so many steps.
        init_seed: seed of random weights; members of an ensemble differ in it.
        weights: folder that `save_pretrained` wrote, to start from; random weights if None.

    Raises:
        PrefalignError: for sizes below 1, or a width that is no multiple of the heads.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        max_steps: int = 100,
        width: int = 256,
        layers: int = 1,
        heads: int = 4,
        dropout: float = 0.1,
        gaussian: bool = False,
        every: int = 1,
        init_seed: int = 0,
        weights: str | None = None,
    ) -> None:
        settings = {
            "observation_size": observation_size,
            "action_size": action_size,
            "max_steps": max_steps,
            "width": width,
            "layers": layers,
            "heads": heads,
            "dropout": dropout,
            "gaussian": gaussian,
            "every": every,
        }
        codec = TrajectoryCodec(observation_size, action_size, every, max_steps)
        super().__init__(codec, settings, init_seed, weights)
        if min(width, layers, heads) < 1 or width % heads:
            raise PrefalignError(
                f"expected a width that is a multiple of the heads, and at least one layer; got width {width}, heads "
                f"{heads} and layers {layers}"
            )
        if not 0 <= dropout < 1:
            raise PrefalignError(f"expected 0 <= dropout < 1, got {dropout}")
        self.gaussian = gaussian

    def build(self) -> nn.Module:
        """The transformer with its heads."""
        names = ("observation_size", "action_size", "max_steps", "width", "layers", "heads", "dropout", "gaussian")
        return _Transformer(**{name: self.settings[name] for name in names})

    def judge(self, found: Any, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """(N, T) weighted rewards and their deviations."""
        return found.weights * found.rewards, None if found.deviations is None else found.weights * found.deviations

    def step_rewards(self, batch: Batch) -> Tensor:
        """(N, T) rewards r_t without weights, each from the steps up to its own; 0 after a row's end."""
        found: _Judged = self.read(batch)
        return found.rewards * self.inputs(batch)[2]


@dataclass(frozen=True)
class _Judged:
    """(N, T) weights that sum to 1 over the steps that exist, rewards, and deviations or None."""

    weights: Tensor
    rewards: Tensor
    deviations: Tensor | None


class _Transformer(nn.Module):
    def __init__(
        self,
        observation_size: int,
        action_size: int,
        max_steps: int,
        width: int,
        layers: int,
        heads: int,
        dropout: float,
        gaussian: bool,
    ) -> None:
        super().__init__()
        from transformers import GPT2Config, GPT2Model

        self.observation = nn.Linear(observation_size, width)
        self.action = nn.Linear(action_size, width)
        self.time = nn.Embedding(max_steps, width)
        self.norm = nn.LayerNorm(width)
        self.trunk = GPT2Model(
            GPT2Config(
                vocab_size=1,
                n_positions=2 * max_steps,
                n_embd=width,
                n_layer=layers,
                n_head=heads,
                resid_pdrop=dropout,
                embd_pdrop=dropout,
                attn_pdrop=dropout,
                bos_token_id=0,
                eos_token_id=0,
                use_cache=False,
            )
        )
        # The steps' own embedding stands for its embedding of positions, and there are no words.
        for unused in (self.trunk.wpe, self.trunk.wte):
            nn.init.zeros_(unused.weight)
            unused.requires_grad_(False)
        self.width, self.gaussian = width, gaussian
        self.head = nn.Linear(width, 2 * width + (2 if gaussian else 1))

    def forward(self, observations: Tensor, actions: Tensor, mask: Tensor) -> _Judged:
        count, steps, _ = observations.shape
        when = self.time.weight[:steps]
        tokens = torch.stack([self.action(actions) + when, self.observation(observations) + when], 2)
        # Padding comes last, so that no step that exists attends to it, and the trunk needs no mask of its own.
        hidden = self.trunk(inputs_embeds=self.norm(tokens).reshape(count, 2 * steps, self.width)).last_hidden_state
        query, key, value = self.head(hidden[:, 1::2]).split([self.width, self.width, 1 + self.gaussian], -1)
        logits = query @ key.transpose(1, 2) / math.sqrt(self.width)  # (N, T queries, T keys)
        attention = logits.masked_fill(~mask.unsqueeze(1), -math.inf).softmax(-1)
        weights = (attention * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        return _Judged(weights, value[..., 0], deviation(value[..., 1]) if self.gaussian else None)
