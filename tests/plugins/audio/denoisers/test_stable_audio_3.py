"""Stable Audio 3: the contract, the real pipeline's latents, sounds, and folders."""

import io

import numpy as np
import pytest
import soundfile
import torch

from prefalign.interfaces import Media, Pair, PrefalignError, PreferenceRecord, Prompt, Response
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.testing.denoiser_contract import TEXTS, DenoiserContract, batch_of, disturbed
from prefalign_audio.denoisers.stable_audio_3 import StableAudio3

# Diffusers' autoencoder is built with torch's old weight norm (autoencoder_same.py).
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")

RATE, SECONDS = 8000, 0.0075  # 60 samples, 8 latents, the last of them half full


def small(model=None, **options):
    return StableAudio3({} if model is None else model, **{"rate": RATE, "seconds": SECONDS, **options})


def ready(*arguments, **options):
    policy = DenoisingPolicy(small(*arguments, **options))
    policy.configure_model()
    policy.denoiser.pipeline.set_progress_bar_config(disable=True)
    return policy


def prompts(*seconds):
    return [
        Prompt(text=text, conditions={} if end is None else {"seconds": end})
        for text, end in zip(TEXTS, seconds, strict=False)
    ]


def sound(hertz, seconds=SECONDS, rate=RATE):
    """A tone as a WAV file, on the left side only."""
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([wave, 0 * wave], 1), rate, format="WAV", subtype="FLOAT")
    return Media(kind="audio", data=buffer.getvalue())


def pair(*media):
    responses = tuple(Response(media=(medium,)) for medium in media)
    return PreferenceRecord(id="p", prompt=Prompt(text="a tone"), responses=responses, verdict=Pair(0, 1))


class TestStableAudio3(DenoiserContract):
    @pytest.fixture
    def make(self):
        return small


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize(("seconds", "frames"), [(SECONDS, 8), (0.004, 4)])
@pytest.mark.parametrize("distilled", [False, True])
def test_the_latents_are_the_real_pipelines(guidance, seconds, frames, distilled):
    policy = disturbed(ready(), 0.05)
    denoiser = policy.denoiser
    denoiser.scheduler.register_to_config(stochastic_sampling=distilled)
    noise = torch.randn(2, 4, frames, generator=torch.Generator().manual_seed(3))
    assert denoiser.latent_shape(prompts(seconds)[0]) == (4, frames)
    condition = denoiser.condition(prompts(seconds, seconds))
    ours = policy.generate(noise, condition, 1, 5, guidance, torch.Generator().manual_seed(5))
    expected = denoiser.pipeline(
        prompt=list(TEXTS[:2]),
        duration=seconds,
        latents=noise,
        num_inference_steps=5,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(5),
        output_type="latent",
    ).audios
    assert torch.allclose(ours, expected, atol=1e-4)


def test_the_usual_steps_are_those_of_the_checkpoint_unless_told():
    found = []
    for distilled, told in ((False, None), (True, None), (True, 3)):
        denoiser = ready(steps=told).denoiser
        denoiser.scheduler.register_to_config(stochastic_sampling=distilled)
        denoiser.configure_path()
        found.append(denoiser.steps)
    assert found == [100, 8, 3]


def test_seconds_reach_the_network_beside_the_text_and_as_its_last_word():
    denoiser = ready().denoiser
    condition = denoiser.condition(prompts(SECONDS, 100.0))
    told, mask = condition.tensors["global_hidden_states"], condition.tensors["encoder_attention_mask"]
    assert not torch.allclose(told[0], told[1])
    for tensors in (condition.tensors, denoiser.null_condition(condition).tensors):
        assert torch.equal(tensors["encoder_hidden_states"][:, 16], told)
        assert tensors["encoder_attention_mask"][:, 16].all()
    assert mask.dtype == torch.bool
    assert mask.sum(1).tolist() == [4 + 1, 11 + 1]  # words and end, and the seconds


def test_more_seconds_than_the_network_can_be_told_are_refused():
    with pytest.raises(PrefalignError, match="at most 384 seconds, but 385 are asked for"):
        ready().denoiser.latent_shape(Prompt(text="x", conditions={"seconds": 385}))


def autoencoder_in_use(policy):
    """The policy with an autoencoder that is moved away from its zeros of the start, where it hears nothing."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in policy.denoiser.pipeline.vae.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return policy


def test_sounds_become_latents_and_latents_sounds():
    policy = autoencoder_in_use(ready())
    denoiser, vae = policy.denoiser, policy.denoiser.pipeline.vae
    row = policy.codec.encode(pair(sound(500), sound(900, rate=16_000))).rows[0]
    assert row.data.shape == (2, 60)
    latents = denoiser.encode(row.data[None])
    assert latents.shape[1:] == denoiser.latent_shape(Prompt(text="x")) == (4, 8)
    with torch.no_grad():
        assert torch.equal(latents, vae.encode(row.data[None]).latents)
        expected = vae.decode(latents).sample[0, :, :60].clamp(-1, 1)
    for frames, samples in ((8, 60), (3, 24)):
        ((medium,),) = denoiser.decode(latents[..., :frames])
        found, rate = soundfile.read(io.BytesIO(medium.data))
        assert (found.shape, rate) == ((samples, 2), RATE)
        if frames == 8:
            assert np.abs(found.T - expected.numpy()).max() < 1e-4


def test_pairs_of_sounds_are_scored_and_the_score_is_repeatable():
    policy = autoencoder_in_use(disturbed(ready()))
    record = pair(sound(500), sound(900))
    one, two = (policy.scores(policy.collate([policy.encode(record)])).logps for _ in range(2))
    assert torch.equal(one, two)
    assert one[0] != one[1]
    made = policy.sample(prompts(0.005), 2, steps=2)[0]
    assert [response.arrays["latents"].shape for response in made] == [(4, 5)] * 2
    assert [response.media[0].kind for response in made] == ["audio"] * 2


def saved_pipeline(folder, denoiser):
    """The denoiser's pipeline on the disk; its tokenizer is a real one, as the stand-in has no files."""
    from transformers import GemmaTokenizer

    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = GemmaTokenizer(vocab={word: n for n, word in enumerate(words)}, merges=[], model_max_length=64)
    denoiser.pipeline.register_modules(tokenizer=tokenizer)
    denoiser.pipeline.save_pretrained(folder)


def test_a_folder_of_a_pipeline_is_loaded_whole(tmp_path):
    made = disturbed(ready(init_seed=3))
    saved_pipeline(tmp_path, made.denoiser)
    loaded = ready(str(tmp_path))
    assert torch.equal(made.scores(batch_of(made)).logps, loaded.scores(batch_of(loaded)).logps)
    assert len(loaded.denoiser.frozen_parts()) == 3
    assert not any(p.requires_grad for part in loaded.denoiser.frozen_parts() for p in part.parameters())
    with pytest.raises(PrefalignError, match=r"told sounds of 44100 Hz.*set rate: 8000"):
        ready(str(tmp_path), rate=44_100)


def test_what_is_no_pipeline_is_refused(tmp_path):
    with pytest.raises(PrefalignError, match="StableAudio3Pipeline cannot load"):
        ready(str(tmp_path))
