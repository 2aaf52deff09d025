"""The denoiser: one family of diffusion or flow models, as the denoising policy sees it.

A family brings its network, its noise path, how prompts become conditions, and how media become latents and back. What
is trained is the network alone; encoders, autoencoders and vocoders are frozen and stay out of checkpoints.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prefalign.functional.levels import Levels
from prefalign.functional.noise_path import LinearPath, NoisePath
from prefalign.interfaces import CapabilityError, Media, Prompt
from prefalign.models.condition import Condition
from prefalign.models.latents import LatentCodec

#: (null's prediction, condition's prediction, scale) to the prediction that is stepped with.
Guide = Callable[[Tensor, Tensor, float], Tensor]


class Denoiser(nn.Module, ABC):
    """A network that predicts noise, data or velocity, and the frozen parts around it.

    Attributes:
        path: mixture and prediction that the network was trained on.
        network: what is trained; None until `configure_model`.
        scheduler: of Diffusers, for sampling; copied for each use.
        levels: distribution of noise levels that the family trains with.
        steps, guidance: usual number of sampling steps, and usual scale of classifier-free guidance (1 for none).
        frame_axis: axis of a single latent that may differ in length; None where all latents have one shape.
    """

    path: NoisePath
    network: Any
    scheduler: Any
    levels: Levels = Levels()
    steps: int = 50
    guidance: float = 1.0
    frame_axis: int | None = None
    #: Names of attributes that copies share with the original: frozen parts, which a reference need not hold twice.
    shared: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.network = self.scheduler = None

    @abstractmethod
    def configure_model(self) -> None:
        """Load or build the network and the frozen parts; calling it again changes nothing."""

    @abstractmethod
    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """Conditions of N prompts on the network's device, without gradient unless an encoder of them is trained."""

    @abstractmethod
    def null_condition(self, condition: Condition) -> Condition:
        """What guidance leads away from, for as many samples: zeros, the empty text, a learned token."""

    @abstractmethod
    def predict(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """(N, …) predictions for noisy latents (N, …) at network times (N,)."""

    @abstractmethod
    def latent_shape(self, prompt: Prompt) -> tuple[int, ...]:
        """Shape of one latent to be sampled for a prompt."""

    def codec(self) -> LatentCodec:
        """What encodes records for this family; this one reads latents only, and media where a subclass can."""
        return LatentCodec(self.frame_axis)

    def encode(self, media: Tensor) -> Tensor:
        """(N, …) latents of media tensors as the codec reads them.

        Raises:
            CapabilityError: where the family has no autoencoder, so that records must bring latents.
        """
        raise CapabilityError(f"{type(self).__name__} has no autoencoder; give the responses as arrays named 'latents'")

    def decode(self, latents: Tensor) -> list[tuple[Media, ...]]:
        """The media of N latents; empty where the family has no decoder."""
        return [() for _ in latents]

    def frozen_parts(self) -> Sequence[nn.Module]:
        """The frozen models that latents and conditions are made with, in a fixed order."""
        return ()

    def guide(self) -> Guide:
        """A rule of guidance for one run of sampling, which may remember its steps.

        This one extrapolates, u + g (c − u) (arXiv 2207.12598 eq. 6 with g = 1 + w).
        """
        return lambda null, conditioned, scale: null + scale * (conditioned - null)

    def set_timesteps(self, scheduler: Any, steps: int, shape: Sequence[int], device: torch.device) -> None:
        """Lay out the sampling steps for latents (N, …) of this shape, as the family's pipeline does."""
        if isinstance(self.path, LinearPath):
            scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), device=device)
        else:
            scheduler.set_timesteps(steps, device=device)

    def save_pretrained(self, folder: Path) -> None:
        """Write the network as Diffusers (or torch alone) reads it."""
        self.network.save_pretrained(folder)

    def __deepcopy__(self, memo: dict[int, Any]) -> Denoiser:
        for name in self.shared:
            value = getattr(self, name)
            memo[id(value)] = value
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        return made
