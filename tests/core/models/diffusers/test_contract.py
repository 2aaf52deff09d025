"""The image families keep the contract of denoisers."""

import pytest

from prefalign.models.diffusers.flux import Flux
from prefalign.models.diffusers.sd3 import SD3
from prefalign.models.diffusers.unet import UNet
from prefalign.testing.denoiser_contract import DenoiserContract

FAMILIES = {
    "unet": lambda: UNet({}, height=16, width=16),
    "sd3": lambda: SD3({}, height=16, width=16),
    "flux": lambda: Flux({"guidance_embeds": True}, height=16, width=16),
}


class TestImages(DenoiserContract):
    @pytest.fixture(params=FAMILIES)
    def make(self, request):
        return FAMILIES[request.param]
