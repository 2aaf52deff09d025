"""The demonstration's model family: captions, folder, guidance, and that pretraining lowers its error."""

import pytest
import torch

from prefalign.functional.noise_path import mean_squared_error
from prefalign.interfaces import PrefalignError, Prompt
from prefalign.policies.denoising import DenoisingPolicy
from prefalign_audio.demo.codec import ClipCodec
from prefalign_audio.demo.denoiser import EventDenoiser
from prefalign_audio.demo.pretraining import PretrainingSettings, pretrain

NAMES = ("bird", "bell", "snare")


@pytest.fixture
def denoiser():
    generator = torch.Generator().manual_seed(0)
    return EventDenoiser.fresh(NAMES, ClipCodec.fit(torch.randn(20, 32, 32, generator=generator)), 0)


def test_captions_become_event_numbers_and_others_are_refused(denoiser):
    condition = denoiser.condition([Prompt(text="bell, then snare"), Prompt(text="snare, then bird")])
    assert condition.tensors["events"].tolist() == [[1, 2], [2, 0]]
    assert denoiser.null_condition(condition).tensors["events"].tolist() == [[3, 3], [3, 3]]
    for text in ("bell", "bell, then cat", None, ""):
        with pytest.raises(PrefalignError, match="expected 'A, then B' of the events bird, bell, snare"):
            denoiser.condition([Prompt(text=text)])


def test_a_saved_family_predicts_as_before_and_a_strange_folder_is_refused(denoiser, tmp_path):
    with torch.no_grad():
        denoiser.network.leave.weight.normal_(generator=torch.Generator().manual_seed(1))
    denoiser.save_pretrained(tmp_path)
    again = EventDenoiser(str(tmp_path))
    again.configure_model()
    condition = denoiser.condition([Prompt(text="bell, then snare")])
    noisy, time = torch.randn(1, 12, 16), torch.tensor([0.3])
    assert torch.equal(again.predict(noisy, time, condition), denoiser.predict(noisy, time, condition))
    (tmp_path / "codec.safetensors").unlink()
    with pytest.raises(PrefalignError, match=r"no codec\.safetensors"):
        EventDenoiser(str(tmp_path)).configure_model()


def test_samples_are_latents_with_playable_sound(denoiser):
    policy = DenoisingPolicy(denoiser)
    policy.configure_model()
    ((response,),) = policy.sample([Prompt(text="bell, then snare")], steps=2)
    assert response.arrays["latents"].shape == (12, 16)
    assert response.media[0].data.startswith(b"RIFF")


def test_pretraining_lowers_the_error(denoiser):
    latents = torch.ones(64, 12, 16) + 0.1 * torch.randn(64, 12, 16, generator=torch.Generator().manual_seed(2))
    captions = torch.tensor([[0, 1]]).repeat(64, 1)

    def error():
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
        level = torch.full((64,), 0.5)
        with torch.no_grad():
            predicted = denoiser.network(denoiser.path.noisy(latents, noise, level), level, captions)
        return mean_squared_error(predicted, denoiser.path.target(latents, noise, level)).mean().item()

    before = error()
    pretrain(denoiser, latents, captions, 0, PretrainingSettings(steps=150))
    assert error() < 0.5 * before
