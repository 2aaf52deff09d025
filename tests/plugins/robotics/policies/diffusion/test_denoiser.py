"""Diffusion policies keep the contract of denoisers, read chunks, and refuse what does not fit."""

import numpy as np
import pytest

from prefalign.interfaces import Prompt
from prefalign.testing.denoiser_contract import DenoiserContract
from prefalign_robotics.policies.diffusion.denoiser import ActionDenoiser

SMALL = {"observation": 5, "action": 3, "horizon": 4, "width": 16, "depth": 1, "heads": 2}


def seen(number):
    return np.random.default_rng(number).standard_normal(5).astype(np.float32)


class TestActionDenoiser(DenoiserContract):
    prompts = tuple(Prompt(text="reach", conditions={"observation": seen(number).tolist()}) for number in range(3))
    bound, package = 1.0, "prefalign_robotics"

    @pytest.fixture(params=["sample", "epsilon"])
    def make(self, request):
        return lambda: ActionDenoiser({**SMALL, "prediction": request.param})
