"""The road from data to noise that a denoiser was trained on, and what its network predicts on the way.

Diffusion and flow models differ in the mixture `x_u = alpha(u) x + sigma(u) eps` of data and noise at noise level u in
[0, 1], in the combination of both that the network predicts, and in how the level is told to it. Everything else (clean
estimate, noise estimate, weights) follows from these by algebra, so a model family is described by one small object.

Axes: N samples; a latent has any shape behind N.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

#: What a network predicts, by the names of Diffusers' schedulers.
Prediction = Literal["epsilon", "v_prediction", "sample", "flow_prediction"]


@dataclass(frozen=True)
class NoisePath(ABC):
    """A mixture of data and noise, and the network's prediction.

    Attributes:
        prediction: `epsilon` the noise, `sample` the data, `v_prediction` alpha eps − sigma x (Salimans and Ho, arXiv
            2202.00512), `flow_prediction` the velocity eps − x.
        toward_data: the network predicts the opposite sign, x − eps for a flow.
    """

    prediction: Prediction
    toward_data: bool = False

    @abstractmethod
    def mixture(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """alpha (N,) and sigma (N,) at noise levels (N,)."""

    @abstractmethod
    def model_time(self, level: Tensor) -> Tensor:
        """(N,) noise levels as the network reads them."""

    @abstractmethod
    def time_of_timestep(self, timestep: Tensor) -> Tensor:
        """A timestep of the family's scheduler as the network reads it."""

    def identity(self) -> tuple[object, ...]:
        """Plain values that tell one path from another."""
        return (repr(self),)

    def noisy(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """(N, …) the mixture at noise levels (N,)."""
        alpha, sigma = self.mixture(level)
        return spread(alpha, clean) * clean + spread(sigma, clean) * noise

    def target(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """(N, …) what a perfect network predicts."""
        of_clean, of_noise = self._predicted(level)
        return spread(of_clean, clean) * clean + spread(of_noise, clean) * noise

    def clean(self, prediction: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
        """(N, …) the data that a prediction implies; infinite where alpha is 0 and the noise is predicted."""
        (_, sigma), (_, of_noise) = self.mixture(level), self._predicted(level)
        determinant = self._determinant(level)
        return spread(of_noise / determinant, noisy) * noisy - spread(sigma / determinant, noisy) * prediction

    def min_snr(self, level: Tensor, gamma: float) -> Tensor:
        """(N,) weight of the squared prediction error that bounds the weight of the squared data error by gamma.

        min(SNR, gamma) on the data, arXiv 2303.09556 eq. 7, carried over to the prediction by the chain rule:
        min(SNR, gamma)/SNR for the noise, /(SNR + 1) for v, and (1 − u)² below gamma for a flow.
        """
        alpha, sigma = self.mixture(level)
        snr = (alpha / sigma) ** 2
        return snr.clamp(max=gamma) * (sigma / self._determinant(level)) ** 2

    def _predicted(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Factors (N,) of data and noise in the prediction."""
        alpha, sigma = self.mixture(level)
        one, zero = torch.ones_like(alpha), torch.zeros_like(alpha)
        found = {
            "epsilon": (zero, one),
            "sample": (one, zero),
            "v_prediction": (-sigma, alpha),
            "flow_prediction": (-one, one),
        }[self.prediction]
        return (-found[0], -found[1]) if self.toward_data else found

    def _determinant(self, level: Tensor) -> Tensor:
        """Of the two linear equations (mixture and prediction) in data and noise."""
        (alpha, sigma), (of_clean, of_noise) = self.mixture(level), self._predicted(level)
        return alpha * of_noise - sigma * of_clean


@dataclass(frozen=True)
class LinearPath(NoisePath):
    """Rectified flow: x_u = (1 − u) x + u eps (arXiv 2209.03003 eq. 1, with time running towards the noise).

    Attributes:
        time_scale: factor of the time that the network reads (1000 for SD3).
        time_from_noise: the network's time is 1 − u: 0 at the noise, 1 at the data.
        train_timesteps: a scheduler's timestep at u = 1.
    """

    prediction: Prediction = "flow_prediction"
    time_scale: float = 1.0
    time_from_noise: bool = False
    train_timesteps: int = 1000

    def mixture(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """1 − u and u."""
        return 1 - level, level

    def model_time(self, level: Tensor) -> Tensor:
        """u or 1 − u, scaled."""
        return self.time_scale * (1 - level if self.time_from_noise else level)

    def time_of_timestep(self, timestep: Tensor) -> Tensor:
        """From u times `train_timesteps`, as Diffusers' flow schedulers count."""
        return self.model_time(timestep / self.train_timesteps)


@dataclass(frozen=True)
class CosinePath(NoisePath):
    """x_u = cos(πu/2) x + sin(πu/2) eps, Stable Audio's (arXiv 2404.10301); u = 2 atan(sigma/alpha)/π is its time."""

    prediction: Prediction = "v_prediction"

    def mixture(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """cos(πu/2) and sin(πu/2)."""
        angle = level * (math.pi / 2)
        return angle.cos(), angle.sin()

    def model_time(self, level: Tensor) -> Tensor:
        """u itself."""
        return level

    def time_of_timestep(self, timestep: Tensor) -> Tensor:
        """The scheduler's timestep is u already."""
        return timestep


@dataclass(frozen=True, eq=False)
class StepPath(NoisePath):
    """DDPM's T discrete steps (arXiv 2006.11239 eq. 4): alpha² is the cumulated product of step s = floor(uT).

    Attributes:
        alphas_cumprod: (T,) cumulated products, as a scheduler's `alphas_cumprod`.
    """

    prediction: Prediction = "epsilon"
    alphas_cumprod: Tensor = field(kw_only=True)

    def mixture(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(alphas_cumprod) and sqrt(1 − alphas_cumprod) of the level's step."""
        product = self.alphas_cumprod.to(level)[self.model_time(level)]
        return product.sqrt(), (1 - product).sqrt()

    def model_time(self, level: Tensor) -> Tensor:
        """(N,) integer steps 0 … T − 1."""
        steps = len(self.alphas_cumprod)
        return (level.double() * steps).long().clamp(0, steps - 1)

    def time_of_timestep(self, timestep: Tensor) -> Tensor:
        """Steps are timesteps."""
        return timestep

    def identity(self) -> tuple[object, ...]:
        """The products themselves, where a tensor's text would show a few of them."""
        return (type(self).__name__, self.prediction, self.toward_data, *self.alphas_cumprod.tolist())


def spread(values: Tensor, like: Tensor) -> Tensor:
    """(N,) values with as many axes as `like` has, in its precision, to be broadcast over a sample's elements."""
    return values.to(like.dtype).reshape(-1, *(1 for _ in like.shape[1:]))


def mean_squared_error(prediction: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """(N,) means over each sample's elements of the squared difference, in float32 or better.

    Args:
        prediction, target: (N, …).
        weights: weights of the elements, broadcast against the samples; elements of weight 0 count as absent and the
            mean is over the others' number: sum of weight × square ÷ number of elements with a weight.
    """
    wide = torch.promote_types(prediction.dtype, torch.float32)
    square = (prediction.to(wide) - target.to(wide)) ** 2
    if weights is None:
        return square.flatten(1).mean(-1)
    weights = weights.to(wide).expand_as(square)
    present = (weights != 0).flatten(1).sum(-1).clamp(min=1)
    return (weights * square).flatten(1).sum(-1) / present
