"""The solver that Stable Audio is sampled with; it needs no torchsde and draws its noise from the run's generator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError

#: What the solver does, by the names in the config of Diffusers' CosineDPMSolverMultistepScheduler.
SETTINGS = {
    "prediction_type": "v_prediction",
    "sigma_data": 1.0,
    "sigma_schedule": "exponential",
    "solver_order": 2,
    "solver_type": "midpoint",
    "final_sigmas_type": "zero",
}


@dataclass
class Stepped:
    """What a step answers; the name of its part is Diffusers'."""

    prev_sample: Tensor


class CosineSolver:
    """SDE-DPM-Solver++(2M) of arXiv 2211.01095 over levels whose logarithms are even, for v on the cosine path.

    It is Diffusers' CosineDPMSolverMultistepScheduler with one difference. That one takes its noise from a Brownian
    tree (of the package torchsde) grown from the seed that the generator once had. As good as nothing of the first
    noise is left at the end of the walk, so two calls with one generator would give a prompt the same sound twice. Here
    each step's noise comes from the generator as it stands; both noises follow the same law.

    Samples are x + sigma eps on the way, which is the path's mixture divided by its alpha: sigma = tan(πu/2).

    Args:
        sigma_min, sigma_max: last and first level; from the last one the data are estimated in one step.

    Attributes:
        timesteps: (S,) times u = 2 atan(sigma)/π, as the network reads them.
        sigmas: (S + 1,) levels, 0 behind the last.
    """

    order = 1

    def __init__(self, sigma_min: float = 0.3, sigma_max: float = 500.0) -> None:
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self.timesteps = self.sigmas = torch.zeros(0)
        self._index = 0
        self._before: Tensor | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> CosineSolver:
        """The solver of a checkpoint, from the config of its scheduler.

        Raises:
            PrefalignError: for another scheduler, or settings that no known checkpoint has.
        """
        name = config.get("_class_name")
        if name != "CosineDPMSolverMultistepScheduler":
            raise PrefalignError(f"expected the scheduler CosineDPMSolverMultistepScheduler, got {name}")
        other = [f"{key}={config[key]!r}" for key, value in SETTINGS.items() if config.get(key, value) != value]
        if other:
            known = ", ".join(f"{key}={value!r}" for key, value in SETTINGS.items())
            raise PrefalignError(f"the scheduler's config has {', '.join(other)}; only {known} are supported")
        return cls(*(config[key] for key in ("sigma_min", "sigma_max")))

    @property
    def init_noise_sigma(self) -> float:
        """Scale of the first noise: that of data of variance 1 at the first level."""
        return math.sqrt(self.sigma_max**2 + 1)

    def set_timesteps(self, steps: int, device: torch.device | str | None = None) -> None:
        """Lay out the levels and forget the last walk."""
        sigmas = torch.linspace(math.log(self.sigma_max), math.log(self.sigma_min), steps).exp()
        self.timesteps = (sigmas.atan() * (2 / math.pi)).to(device)
        self.sigmas = torch.cat([sigmas, torch.zeros(1)])
        self._index, self._before = 0, None

    def scale_model_input(self, sample: Tensor, timestep: Tensor) -> Tensor:
        """(N, …) the samples times alpha, which makes them the path's mixture."""
        return sample / math.sqrt(self.sigmas[self._index].item() ** 2 + 1)

    def step(
        self, model_output: Tensor, timestep: Tensor, sample: Tensor, generator: torch.Generator | None = None
    ) -> Stepped:
        """From one level to the next.

        Args:
            model_output: (N, …) v.
            timestep: of the step; steps are taken in order, so that it is not looked at.
            sample: (N, …) x + sigma eps.
            generator: of the noise, torch's own if None.
        """
        sigma, after = self.sigmas[self._index].item(), self.sigmas[self._index + 1].item()
        alpha = 1 / math.sqrt(sigma**2 + 1)
        clean = alpha**2 * sample - sigma * alpha * model_output  # alpha z − sin(πu/2) v with z = alpha sample
        estimate = clean
        if after > 0 and self._before is not None:
            # Extrapolated to the middle of the step in log sigma, in which all steps are of one length.
            estimate = clean + (clean - self._before) / 2
        kept = (after / sigma) ** 2
        found = kept * sample + (1 - kept) * estimate
        if after > 0:
            where = sample.device if generator is None else generator.device
            noise = torch.randn(sample.shape, generator=generator, device=where, dtype=sample.dtype)
            found = found + after * math.sqrt(1 - kept) * noise.to(sample.device)
        self._index, self._before = self._index + 1, clean
        return Stepped(found)
