"""Stable Audio Open: the contract, the real pipeline's latents, sounds, and folders as they are published."""

import importlib.util
import io
import itertools
import json
import math
import sys
import types

import numpy as np
import pytest
import soundfile
import torch

from prefalign.interfaces import Media, Pair, PrefalignError, PreferenceRecord, Prompt, Response
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.testing.denoiser_contract import TEXTS, DenoiserContract, Oracle, batch_of, disturbed, scored
from prefalign_audio.denoisers.stable_audio import StableAudio

# Diffusers' autoencoder is built with torch's old weight norm (autoencoder_oobleck.py).
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")

RATE, SECONDS = 8000, 0.008  # 64 samples, 8 latents
STEPS = 6


def small(model=None, **options):
    return StableAudio({} if model is None else model, **{"rate": RATE, "seconds": SECONDS, **options})


def ready(*arguments, **options):
    policy = DenoisingPolicy(small(*arguments, **options))
    policy.configure_model()
    pipeline = policy.denoiser.pipeline
    pipeline.set_progress_bar_config(disable=True)
    for part in (pipeline.projection_model.start_number_conditioner, pipeline.projection_model.end_number_conditioner):
        part.max_value = 0.02  # instead of 512 seconds, of which sounds this short would be no part
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


@pytest.fixture
def theirs(monkeypatch):
    """Diffusers' scheduler, with independent noise in the place of the Brownian tree's, which is of the same law."""
    import diffusers  # noqa: F401  # which asks for the package's version

    if importlib.util.find_spec("torchsde") is None:
        monkeypatch.setitem(sys.modules, "torchsde", types.ModuleType("torchsde"))
    module = importlib.import_module("diffusers.schedulers.scheduling_cosine_dpmsolver_multistep")

    class Sampler:
        def __init__(self, sample, sigma_min, sigma_max, seed):
            self.shape, self.generator = sample.shape, torch.Generator().manual_seed(seed)

        def __call__(self, sigma, after):
            return torch.randn(self.shape, generator=self.generator)

    monkeypatch.setattr(module, "BrownianTreeNoiseSampler", Sampler)
    return module.CosineDPMSolverMultistepScheduler


class TestStableAudio(DenoiserContract):
    @pytest.fixture
    def make(self):
        return small

    @pytest.mark.parametrize("guidance", [1.0, 3.0])
    def test_sampling_with_a_perfect_network_walks_to_the_data(self, make, guidance):
        """As in the contract, but the distance is that of the solver's own samples x + sigma eps.

        What the network is asked, alpha x + sigma eps, is nearly all noise for half of the walk, and the solver puts
        most of it in anew at every step: its distance from the data then hovers about the root of 2 by chance. Divided
        by alpha it must fall with sigma. What is left after the data are taken out must be noise of variance 1 at every
        step, which no error in the scales of input and output would leave.
        """
        policy = scored(make)
        denoiser = policy.denoiser
        generator = torch.Generator().manual_seed(0)
        shape = denoiser.latent_shape(Prompt(text=TEXTS[0]))
        clean, noise = (torch.randn(2, *shape, generator=generator) for _ in range(2))
        oracle, times = Oracle(denoiser.path, clean), []

        def predict(noisy, time, condition):
            times.append(time[0].item())
            return oracle(noisy, time, condition)

        denoiser.predict = predict
        found = policy.generate(noise, denoiser.condition(prompts(None, None)), 1, 10, guidance, generator)
        assert len(times) == 10
        distances = []
        for asked, time in zip(oracle.asked, times, strict=True):
            alpha, sigma = math.cos(math.pi * time / 2), math.sin(math.pi * time / 2)
            distances.append((asked / alpha - clean).norm().item())
            assert ((asked - alpha * clean) / sigma).std().item() == pytest.approx(1, abs=0.25)
        assert all(later < earlier for earlier, later in itertools.pairwise(distances))
        assert (found - clean).norm() < 1e-3 * noise.norm()


@pytest.mark.parametrize("guidance", [1.0, 7.0])
@pytest.mark.parametrize("seconds", [SECONDS, 0.003])
def test_the_latents_are_the_real_pipelines(theirs, guidance, seconds):
    policy = disturbed(ready(), 0.05)
    noise = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(3))
    condition = policy.denoiser.condition(prompts(seconds, seconds))
    ours = policy.generate(noise, condition, 1, STEPS, guidance, torch.Generator().manual_seed(5))
    pipeline = policy.denoiser.pipeline
    pipeline.scheduler = theirs()
    expected = pipeline(
        prompt=list(TEXTS[:2]),
        audio_end_in_s=seconds,
        latents=noise,
        num_inference_steps=STEPS,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(5),
        output_type="latent",
    ).audios
    assert torch.allclose(ours, expected, atol=1e-4)


@pytest.mark.parametrize("steps", [2, 7, 30])
def test_the_solver_is_diffusers(theirs, steps):
    """On any network, here one that depends on sample and time; and at its second use."""
    ends = []
    for scheduler in (ready().denoiser.scheduler, theirs()):
        scheduler.set_timesteps(5)
        for time in scheduler.timesteps[:3]:
            scheduler.step(torch.ones(3, 5), time, torch.ones(3, 5), generator=torch.Generator())
        scheduler.set_timesteps(steps)
        generator = torch.Generator().manual_seed(1)
        sample = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)) * scheduler.init_noise_sigma
        for time in scheduler.timesteps:
            asked = scheduler.scale_model_input(sample, time)
            sample = scheduler.step(torch.sin(3 * asked) - time * asked, time, sample, generator=generator).prev_sample
        ends.append((scheduler.timesteps, scheduler.sigmas, sample))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*ends, strict=True))


def test_a_generator_that_is_used_again_gives_another_sound():
    policy, generator = disturbed(ready(), 0.05), torch.Generator().manual_seed(0)
    one, two = (policy.sample(prompts(None), generator=generator, steps=8)[0][0].arrays["latents"] for _ in range(2))
    assert np.abs(one - two).mean() > 0.1
    policy.sample(prompts(None), generator=None, steps=2)
    again = policy.sample(prompts(None), generator=torch.Generator().manual_seed(0), steps=8)[0][0].arrays["latents"]
    assert np.array_equal(one, again)


def test_seconds_reach_the_network_and_guidance_leads_away_from_zeros():
    denoiser = disturbed(ready()).denoiser
    condition = denoiser.condition(prompts(SECONDS, 0.002))
    told, text = condition.tensors["global_hidden_states"], condition.tensors["encoder_hidden_states"]
    assert told.shape == (2, 1, 32)
    assert text.shape == (2, 16 + 2, 16)
    assert not torch.allclose(told[0], told[1])
    assert torch.equal(torch.cat([text[:, 16], text[:, 17]], 1), told[:, 0])
    assert not text[0, 4:16].any()  # "a dog barks" and its end
    null = denoiser.null_condition(condition).tensors
    assert not null["encoder_hidden_states"].any()
    assert torch.equal(null["global_hidden_states"], told)


def test_lengths_that_the_model_cannot_make_are_refused():
    with pytest.raises(PrefalignError, match=r"at most 0\.008 seconds, but seconds is 0\.009"):
        ready({"sample_size": 8}, seconds=0.009)
    with pytest.raises(PrefalignError, match=r"a prompt asks for 0\.01 seconds, but .* end at 0\.008"):
        ready().denoiser.condition(prompts(0.01))


def test_sounds_become_latents_with_silence_behind_them_and_latents_sounds():
    policy = ready({"sample_size": 12})  # the window is half as long again
    denoiser, vae = policy.denoiser, policy.denoiser.pipeline.vae
    row = policy.codec.encode(pair(sound(500), sound(900, rate=16_000))).rows[0]
    assert row.data.shape == (2, 64)
    assert not row.data[1].any()
    latents = denoiser.encode(row.data[None])
    assert latents.shape[1:] == denoiser.latent_shape(Prompt(text="x")) == (4, 12)
    silent = torch.zeros(1, 2, 96)
    silent[..., :64] = row.data
    with torch.no_grad():
        assert torch.allclose(latents, vae.encode(silent).latent_dist.mean)
        expected = vae.decode(latents).sample[0, :, :64].clamp(-1, 1)
    ((medium,),) = denoiser.decode(latents)
    samples, rate = soundfile.read(io.BytesIO(medium.data))
    assert (samples.shape, rate) == ((64, 2), RATE)
    assert np.abs(samples.T - expected.numpy()).max() < 1e-4


def test_pairs_of_sounds_are_scored_and_the_score_is_repeatable():
    policy = disturbed(ready())
    record = pair(sound(500), sound(900))
    one, two = (policy.scores(policy.collate([policy.encode(record)])).logps for _ in range(2))
    assert torch.equal(one, two)
    assert one[0] != one[1]
    made = policy.sample(prompts(None, None), 2, steps=2)
    assert [len(responses) for responses in made] == [2, 2]
    assert all(response.media[0].kind == "audio" for responses in made for response in responses)


def published(folder, denoiser, **settings):
    """The denoiser's pipeline as Diffusers' publishers save it: with a real tokenizer and Diffusers' scheduler."""
    from transformers import T5Tokenizer

    letters = [(f"{space}{letter}", -3.0) for letter in "abcdefghijklmnopqrstuvwxyz" for space in ("", "▁")]
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters]
    pipeline, solver = denoiser.pipeline, denoiser.pipeline.scheduler
    pipeline.register_modules(tokenizer=T5Tokenizer(vocab=words, extra_ids=0, model_max_length=24), scheduler=None)
    pipeline.save_pretrained(folder)
    name = "CosineDPMSolverMultistepScheduler"
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "scheduler": ["diffusers", name]}))
    config = {"_class_name": name, "sigma_min": solver.sigma_min, "sigma_max": solver.sigma_max, **settings}
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))


def test_a_published_folder_is_loaded_whole(tmp_path):
    made = disturbed(ready(init_seed=3))
    published(tmp_path, made.denoiser, sigma_min=0.2, sigma_max=80.0, solver_order=2)
    loaded = ready(str(tmp_path))
    solver = loaded.denoiser.scheduler
    assert (solver.sigma_min, solver.sigma_max) == (0.2, 80.0)
    assert torch.equal(made.scores(batch_of(made)).logps, loaded.scores(batch_of(loaded)).logps)
    assert loaded.denoiser.frozen_parts()
    assert not any(p.requires_grad for part in loaded.denoiser.frozen_parts() for p in part.parameters())
    with pytest.raises(PrefalignError, match=r"told sounds of 44100 Hz.*set rate: 8000"):
        ready(str(tmp_path), rate=44_100, seconds=0.001)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"_class_name": "DDIMScheduler"}, "expected the scheduler CosineDPMSolverMultistepScheduler, got DDIMSch"),
        ({"sigma_schedule": "karras"}, "has sigma_schedule='karras'; only .*sigma_schedule='exponential'"),
    ],
)
def test_another_scheduler_is_refused(tmp_path, settings, complaint):
    published(tmp_path, ready().denoiser, **settings)
    with pytest.raises(PrefalignError, match=complaint):
        ready(str(tmp_path))


def test_what_is_no_pipeline_is_refused(tmp_path):
    with pytest.raises(PrefalignError, match="StableAudioPipeline cannot load"):
        ready(str(tmp_path))


def test_the_usual_values_are_the_published_models():
    """A window of 1024 latents of 2048 samples at 44.1 kHz."""
    denoiser = StableAudio("stabilityai/stable-audio-open-1.0")
    assert denoiser.samples() == 1024 * 2048
    assert (denoiser.rate, denoiser.channels, denoiser.steps, denoiser.guidance) == (44_100, 2, 100, 7.0)
