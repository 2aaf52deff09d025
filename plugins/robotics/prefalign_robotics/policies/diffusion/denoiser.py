"""Diffusion policies as denoisers: what is denoised is a chunk of actions, and the condition is what was seen.

Diffusion Policy (arXiv 2303.04137) predicts the noise, DeformPAM (arXiv 2410.11584) the actions. Both noise with a
squared cosine over a hundred steps, and sample with ten steps of DDIM.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefalign.functional.noise_path import StepPath
from prefalign.interfaces import PrefalignError, Prompt
from prefalign.models.condition import Condition
from prefalign.models.denoiser import Denoiser
from prefalign.models.pretrained import from_pretrained
from prefalign_robotics.policies.diffusion.codec import OBSERVATION, ChunkCodec, seen_by
from prefalign_robotics.policies.diffusion.form import Form, read_form

#: What networks predict, by the names of Diffusers' schedulers.
PREDICTIONS = ("sample", "epsilon")


class ActionDenoiser(Denoiser):
    """A diffusion policy over chunks of H actions of A numbers, after an observation of O numbers.

    Latents are chunks scaled to [−1, 1] by the network's own scales. Guidance is off, as in the papers; its null
    condition is the mean observation.

    Args:
        model: folder of a policy, as `save_pretrained` writes it; or values of `ActionTransformer`'s config
            (`observation`, `action` and `horizon` at least), for random weights.
        init_seed: seed of random weights.
        network_weights: folder of a network, or of an adapter to be merged, that an earlier run exported.
        train_steps: T steps of the noise.
        steps: sampling steps.
    """

    #: Copied for each use, so one is enough for all copies.
    shared = ("scheduler",)

    def __init__(
        self,
        model: str | dict[str, Any],
        init_seed: int = 0,
        network_weights: str | None = None,
        train_steps: int = 100,
        steps: int = 10,
    ) -> None:
        super().__init__()
        if not 1 <= steps <= train_steps:
            raise PrefalignError(f"expected 1 <= steps <= train_steps, got {steps} and {train_steps}")
        self.model, self.init_seed, self.network_weights = model, init_seed, network_weights
        self.train_steps, self.steps = train_steps, steps

    def configure_model(self) -> None:
        """Load or draw the network.

        Raises:
            PrefalignError: if there is no such policy, or the config has other values than the network.
        """
        if self.network is not None:
            return
        from diffusers import DDIMScheduler

        from prefalign.models.diffusers.base import take_weights
        from prefalign_robotics.policies.diffusion.network import ActionTransformer

        read_form(self.model)
        if isinstance(self.model, str):
            # Not in pieces: the network is smaller than what loading in pieces needs.
            network = from_pretrained(ActionTransformer, self.model, use_safetensors=True, low_cpu_mem_usage=False)
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.init_seed)
                network = ActionTransformer(**self.model)
        prediction = network.config.prediction
        if prediction not in PREDICTIONS:
            raise PrefalignError(f"{self.model}: expected prediction sample or epsilon, got {prediction!r}")
        if self.network_weights is not None:
            take_weights(network, self.network_weights)
        self.network = network.requires_grad_(True)
        # Estimates are held to [-1, 1] at each step, as scaled actions are.
        self.scheduler = DDIMScheduler(
            self.train_steps, beta_schedule="squaredcos_cap_v2", prediction_type=prediction, clip_sample=True
        )
        self.path = StepPath(prediction, alphas_cumprod=self.scheduler.alphas_cumprod)

    @cached_property
    def form(self) -> Form:
        """The policy's sizes."""
        return read_form(self.model)

    def codec(self) -> ChunkCodec:
        """Reads chunks and observations."""
        return ChunkCodec(self.model)

    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """The observations among the prompts' conditions.

        Raises:
            PrefalignError: where there is none of O finite numbers.
        """
        rows = []
        for prompt in prompts:
            found = seen_by(prompt, self.network.config.observation)
            if isinstance(found, str):
                raise PrefalignError(found)
            rows.append(found)
        return self.observed(np.array(rows))

    def observed(self, observations: np.ndarray) -> Condition:
        """The condition of (N, O) observations."""
        network = self.network
        seen = torch.as_tensor(observations, dtype=network.observation_mean.dtype)
        return Condition({OBSERVATION: seen.to(network.observation_mean.device)})

    def null_condition(self, condition: Condition) -> Condition:
        """The mean observation."""
        seen = condition.tensors[OBSERVATION]
        return Condition({OBSERVATION: self.network.observation_mean.to(seen).expand_as(seen)})

    def predict(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """(N, H, A) predictions."""
        predicted: Tensor = self.network(noisy, time, **condition.arguments())
        return predicted

    def latent_shape(self, prompt: Prompt) -> tuple[int, ...]:
        """(H, A)."""
        return self.network.config.horizon, self.network.config.action

    def encode(self, media: Tensor) -> Tensor:
        """(N, H, A) latents of chunks in the robot's units."""
        return self.network.scaled(media)

    def actions(self, latents: Tensor) -> Tensor:
        """(…, H, A) chunks in the robot's units, of latents held to [−1, 1]."""
        return self.network.unscaled(latents.clamp(-1, 1))

    def save_pretrained(self, folder: Path) -> None:
        """Write config and weights."""
        self.network.save_pretrained(folder)
