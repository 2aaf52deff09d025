"""Sampling is the real pipelines' sampling: the same noise, steps and guidance give the same latents."""

import numpy as np
import pytest
import torch

from prefalign.interfaces import Prompt
from prefalign.models.diffusers.flux import Flux, packed, unpacked
from prefalign.models.diffusers.sd3 import SD3
from prefalign.models.diffusers.unet import UNet
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.testing.denoiser_contract import TEXTS, disturbed

STEPS = 4


def policy_of(denoiser):
    policy = DenoisingPolicy(denoiser)
    policy.configure_model()
    policy.denoiser.pipeline.set_progress_bar_config(disable=True)
    return disturbed(policy, 0.05)


def ours(policy, noise, guidance):
    condition = policy.denoiser.condition([Prompt(text=text) for text in TEXTS[:2]])
    return policy.generate(noise, condition, 1, STEPS, guidance, torch.Generator().manual_seed(5))


def theirs(policy, noise, **options):
    return policy.denoiser.pipeline(
        prompt=list(TEXTS[:2]),
        latents=noise,
        num_inference_steps=STEPS,
        output_type="latent",
        generator=torch.Generator().manual_seed(5),
        **options,
    ).images


@pytest.fixture
def noise():
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_stable_diffusion(noise, guidance, prediction):
    policy = policy_of(UNet({}, height=16, width=16))
    scheduler = policy.denoiser.scheduler
    scheduler.register_to_config(prediction_type=prediction)
    expected = theirs(policy, noise, guidance_scale=guidance, height=16, width=16)
    assert torch.allclose(ours(policy, noise, guidance), expected, atol=1e-4)


# Diffusers makes arrays of tensors in a way that NumPy 2 warns of (scheduling_dpmsolver_multistep.py).
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
@pytest.mark.parametrize("name", ["PNDMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_stable_diffusion_under_other_schedulers(noise, name):
    """Two evaluations in a first step, inputs to be scaled, several steps remembered."""
    import diffusers

    policy = policy_of(UNet({}, height=16, width=16))
    config = {**policy.denoiser.scheduler.config, "skip_prk_steps": True}
    policy.denoiser.scheduler = policy.denoiser.pipeline.scheduler = getattr(diffusers, name).from_config(config)
    expected = theirs(policy, noise, guidance_scale=4.0, height=16, width=16)
    assert torch.allclose(ours(policy, noise, 4.0), expected, atol=1e-4)


@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize("dynamic", [False, True])
def test_stable_diffusion_3(noise, guidance, dynamic):
    policy = policy_of(SD3({}, height=16, width=16))
    policy.denoiser.scheduler.register_to_config(use_dynamic_shifting=dynamic)
    expected = theirs(policy, noise, guidance_scale=guidance, height=16, width=16)
    assert torch.allclose(ours(policy, noise, guidance), expected, atol=1e-4)


@pytest.mark.parametrize(("guidance", "told"), [(1.0, True), (4.0, True), (4.0, False)])
def test_flux(guidance, told):
    """On pictures that are no squares, so that rows and columns cannot be confused."""
    noise = torch.randn(2, 4, 4, 8, generator=torch.Generator().manual_seed(3))
    policy = policy_of(Flux({"guidance_embeds": told}, height=8, width=16))
    options = {"negative_prompt": ["", ""], "true_cfg_scale": guidance} if guidance > 1 else {}
    expected = theirs(policy, packed(noise), guidance_scale=3.5, height=8, width=16, **options)
    assert torch.allclose(packed(ours(policy, noise, guidance)), expected, atol=1e-4)


def test_packing_is_fluxs_packing():
    from diffusers import FluxPipeline

    latents = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    assert torch.equal(packed(latents), FluxPipeline._pack_latents(latents, 2, 3, 4, 6))
    assert torch.equal(unpacked(packed(latents), 2, 3), latents)


@pytest.mark.parametrize("family", [UNet, SD3, Flux])
def test_pictures_are_encoded_and_decoded_as_the_pipeline_does(family):
    policy = policy_of(family({}, height=16, width=16))
    denoiser, vae = policy.denoiser, policy.denoiser.pipeline.vae
    vae.register_to_config(shift_factor=0.25, scaling_factor=0.5)
    media = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = denoiser.encode(media)
    assert torch.allclose(latents, (vae.encode(media).latent_dist.mean - 0.25) * 0.5)
    assert latents.shape[1:] == denoiser.latent_shape(Prompt(text="x"))
    if family is not UNet:  # whose pipeline knows no shift
        import io

        from PIL import Image

        made = np.asarray(Image.open(io.BytesIO(denoiser.decode(latents)[0][0].data))).astype(int)
        picture = vae.decode(latents / 0.5 + 0.25).sample
        expected = denoiser.pipeline.image_processor.postprocess(picture, "np")[0] * 255
        assert np.abs(made - expected).max() <= 0.51
