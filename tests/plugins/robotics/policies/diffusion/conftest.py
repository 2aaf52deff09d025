"""Small policies, and a policy that can be seen through."""

import numpy as np
import pytest
import torch

from prefalign_robotics.policies.diffusion.denoiser import ActionDenoiser

SMALL = {"observation": 5, "action": 3, "horizon": 4, "width": 16, "depth": 1, "heads": 2}


def ready(seed=0, **config):
    """A small policy whose weights have all been moved, so that none of its zeros hides a mistake."""
    denoiser = ActionDenoiser({**SMALL, **config}, init_seed=seed)
    denoiser.configure_model()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in denoiser.network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return denoiser


@pytest.fixture
def small():
    return ready


@pytest.fixture
def observations():
    return np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
