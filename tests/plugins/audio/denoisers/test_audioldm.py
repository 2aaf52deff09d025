"""AudioLDM and MusicLDM keep the contract, sample as their pipelines do, and come through files."""

import pytest
import torch

from prefalign.interfaces import Prompt
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.testing.denoiser_contract import TEXTS, DenoiserContract, batch_of, disturbed
from prefalign_audio.denoisers.audioldm import AudioLDM, MusicLDM

SECONDS = 0.32


def policy_of(family, model=None, **options):
    policy = DenoisingPolicy(family({} if model is None else model, seconds=SECONDS, **options))
    policy.configure_model()
    policy.denoiser.pipeline.set_progress_bar_config(disable=True)
    return policy


@pytest.fixture(params=[AudioLDM, MusicLDM])
def family(request):
    return request.param


class TestAudioLDMs(DenoiserContract):
    @pytest.fixture
    def make(self, family):
        return lambda: family({}, seconds=SECONDS)


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_sampling_is_audioldms_pipelines(guidance):
    """Whose latents are caught on the way, as it gives sounds only."""
    policy = disturbed(policy_of(AudioLDM), 0.05)
    noise = torch.randn(2, 4, 8, 4, generator=torch.Generator().manual_seed(3))
    caught = []
    policy.denoiser.pipeline(
        list(TEXTS[:2]),
        latents=noise,
        num_inference_steps=4,
        guidance_scale=guidance,
        audio_length_in_s=SECONDS,
        callback=lambda step, time, latents: caught.append(latents),
    )
    condition = policy.denoiser.condition([Prompt(text=text) for text in TEXTS[:2]])
    assert torch.allclose(policy.generate(noise, condition, 1, 4, guidance), caught[-1], atol=1e-4)


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_sampling_is_musicldms_pipelines(guidance):
    """Which is given the embeddings: since Transformers 5 it cannot read what CLAP returns."""
    policy = disturbed(policy_of(MusicLDM), 0.05)
    noise = torch.randn(2, 4, 8, 4, generator=torch.Generator().manual_seed(3))
    condition = policy.denoiser.condition([Prompt(text=text) for text in TEXTS[:2]])
    expected = policy.denoiser.pipeline(
        prompt_embeds=condition.tensors["class_labels"],
        negative_prompt_embeds=policy.denoiser.null_condition(condition).tensors["class_labels"],
        latents=noise,
        num_inference_steps=4,
        guidance_scale=guidance,
        audio_length_in_s=SECONDS,
        output_type="latent",
    ).audios
    assert torch.allclose(policy.generate(noise, condition, 1, 4, guidance), expected, atol=1e-4)


def test_conditions_are_claps_embeddings_of_single_texts(family):
    """Of length 1, whatever the batch's other texts are."""
    denoiser = policy_of(family).denoiser
    pipeline = denoiser.pipeline
    found = denoiser.condition([Prompt(text=text) for text in TEXTS]).tensors["class_labels"]
    assert torch.allclose(found.norm(dim=1), torch.ones(3))
    for row, text in enumerate(TEXTS):
        tokens = pipeline.tokenizer([text], return_tensors="pt")
        with torch.no_grad():
            pooled = pipeline.text_encoder.text_model(**tokens).pooler_output
            expected = pipeline.text_encoder.text_projection(pooled)[0]
        assert torch.allclose(found[row], expected / expected.norm(), atol=1e-5)


def test_a_folder_of_a_pipeline_is_loaded_whole(tmp_path, family):
    made = disturbed(policy_of(family, init_seed=3), 0.1)
    made.denoiser.pipeline.save_pretrained(tmp_path)
    loaded = policy_of(family, str(tmp_path))
    assert torch.allclose(loaded.scores(batch_of(loaded)).logps, made.scores(batch_of(made)).logps, rtol=1e-5)
    assert not any(p.requires_grad for part in loaded.denoiser.frozen_parts() for p in part.parameters())


def test_usual_settings():
    for family, guidance in ((AudioLDM, 2.5), (MusicLDM, 2.0)):
        denoiser = family({})
        assert (denoiser.steps, denoiser.guidance, denoiser.seconds, denoiser.rate) == (200, guidance, 10.24, 16_000)
