"""AudioLDM 2 keeps the contract, samples as its pipeline does, and comes through files."""

import pytest
import torch

from prefalign.interfaces import PrefalignError, Prompt
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.testing.denoiser_contract import TEXTS, DenoiserContract, batch_of, disturbed
from prefalign_audio.denoisers.audioldm2 import AudioLDM2

SECONDS = 0.32
# What Diffusers' pipeline calls GPT-2 with has another name since Transformers 5.24.
renamed = pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")


def policy_of(model=None, **options):
    policy = DenoisingPolicy(AudioLDM2({} if model is None else model, seconds=SECONDS, **options))
    policy.configure_model()
    policy.denoiser.pipeline.set_progress_bar_config(disable=True)
    return policy


class TestAudioLDM2(DenoiserContract):
    @pytest.fixture
    def make(self):
        return lambda: AudioLDM2({}, seconds=SECONDS)


@renamed
@pytest.mark.parametrize("guidance", [1.0, 3.5])
def test_sampling_is_the_pipelines(guidance):
    """One text at a time: in the pipeline, the longest text of a batch changes what GPT-2 makes of the others."""
    policy = disturbed(policy_of(), 0.05)
    noise = torch.randn(2, 4, 8, 4, generator=torch.Generator().manual_seed(3))
    condition = policy.denoiser.condition([Prompt(text=text) for text in TEXTS[:2]])
    found = policy.generate(noise, condition, 1, 4, guidance)
    for row, text in enumerate(TEXTS[:2]):
        expected = policy.denoiser.pipeline(
            text,
            latents=noise[row : row + 1],
            num_inference_steps=4,
            guidance_scale=guidance,
            audio_length_in_s=SECONDS,
            max_new_tokens=8,
            output_type="latent",
        ).audios
        assert torch.allclose(found[row : row + 1], expected, atol=1e-4)


@renamed
def test_conditions_are_the_pipelines():
    denoiser = policy_of().denoiser
    states, mask, generated = denoiser.pipeline.encode_prompt([TEXTS[1]], "cpu", 1, True, max_new_tokens=8)
    condition = denoiser.condition([Prompt(text=TEXTS[1])])
    for row, found in enumerate((denoiser.null_condition(condition), condition)):
        assert torch.equal(found.tensors["encoder_attention_mask_1"][0], mask[row])
        assert torch.allclose(found.tensors["encoder_hidden_states"][0], generated[row], atol=1e-5)
        assert torch.allclose(found.tensors["encoder_hidden_states_1"][0], states[row], atol=1e-5)


def test_what_is_never_heard_for_a_short_text_is_masked():
    """T5's padded states change nothing, whatever they hold."""
    policy = disturbed(policy_of(), 0.1)
    condition = policy.denoiser.condition([Prompt(text=text) for text in TEXTS])
    states, mask = (condition.tensors[f"encoder_{name}_1"] for name in ("hidden_states", "attention_mask"))
    assert 0 < int(mask[2].sum()) < mask.shape[1]
    noisy, time = torch.randn(3, 4, 8, 4, generator=torch.Generator().manual_seed(0)), torch.full((3,), 500)
    with torch.no_grad():
        before = policy.denoiser.predict(noisy, time, condition)
        states[mask == 0] = 7.0
        after = policy.denoiser.predict(noisy, time, condition)
        states[:, 0] = 7.0
        heard = policy.denoiser.predict(noisy, time, condition)
    assert torch.allclose(before, after, atol=1e-6)
    assert not torch.allclose(before, heard, atol=1e-4)


@pytest.mark.parametrize("headless", [False, True])
def test_a_folder_of_a_pipeline_is_loaded_whole(tmp_path, headless):
    """GPT-2 with its head, or without it as the first checkpoints were saved."""
    made = disturbed(policy_of(init_seed=3), 0.1)
    pipeline = made.denoiser.pipeline
    expected = made.scores(batch_of(made)).logps
    if headless:
        pipeline.register_modules(language_model=pipeline.language_model.transformer)
    pipeline.save_pretrained(tmp_path)
    loaded = policy_of(str(tmp_path))
    assert torch.allclose(loaded.scores(batch_of(loaded)).logps, expected, rtol=1e-5)
    assert (loaded.denoiser.steps, loaded.denoiser.guidance) == (200, 3.5)
    assert not any(p.requires_grad for part in loaded.denoiser.frozen_parts() for p in part.parameters())


def test_the_number_of_generated_states_is_the_checkpoints():
    denoiser = policy_of().denoiser
    denoiser.pipeline.language_model.config.max_new_tokens = 3
    assert denoiser.condition([Prompt(text="rain")]).tensors["encoder_hidden_states"].shape == (1, 3, 16)


def test_variants_for_speech_are_refused():
    denoiser = policy_of().denoiser
    denoiser.pipeline.text_encoder_2 = denoiser.pipeline.text_encoder
    with pytest.raises(PrefalignError, match="expected AudioLDM 2 with a T5EncoderModel, got a ClapModel"):
        denoiser.configure_path()
