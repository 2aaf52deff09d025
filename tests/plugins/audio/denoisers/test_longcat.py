"""LongCat-AudioDiT: the contract, the real pipeline's latents, sounds, and folders."""

import io

import numpy as np
import pytest
import soundfile
import torch

from prefalign.interfaces import Media, Pair, PrefalignError, PreferenceRecord, Prompt, Response
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.testing.denoiser_contract import TEXTS, DenoiserContract, batch_of, disturbed
from prefalign_audio.denoisers.longcat import InvertedPath, LongCat

# Diffusers' autoencoder is built with torch's old weight norm (autoencoder_longcat_audio_dit.py).
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")

RATE, SECONDS = 8000, 0.0085  # 68 samples: 8 latents and a rest


def small(model=None, **options):
    return LongCat({} if model is None else model, **{"rate": RATE, "seconds": SECONDS, **options})


def ready(*arguments, **options):
    policy = DenoisingPolicy(small(*arguments, **options))
    policy.configure_model()
    policy.denoiser.pipeline.set_progress_bar_config(disable=True)
    return policy


def sound(hertz, seconds=SECONDS, rate=RATE):
    """A tone as a WAV file."""
    buffer = io.BytesIO()
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)
    soundfile.write(buffer, wave, rate, format="WAV", subtype="FLOAT")
    return Media(kind="audio", data=buffer.getvalue())


def pair(*media):
    responses = tuple(Response(media=(medium,)) for medium in media)
    return PreferenceRecord(id="p", prompt=Prompt(text="a tone"), responses=responses, verdict=Pair(0, 1))


class TestLongCat(DenoiserContract):
    without_checkpointing = ("LongCat",)

    @pytest.fixture
    def make(self):
        return small


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("kind", ["global", "local"])
def test_the_latents_are_the_real_pipelines(guidance, kind):
    """Each prompt in a call of the pipeline's own, which for several would fill up the shorter texts."""
    policy = disturbed(ready({"adaln_type": kind}), 0.05)
    noise = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(3))
    written = ["A “dog”  BARKS", *TEXTS[1:]]
    condition = policy.denoiser.condition([Prompt(text=text) for text in written])
    ours = policy.generate(noise, condition, 1, 5, guidance)
    expected = [
        policy.denoiser.pipeline(
            text, latents=start[None], num_inference_steps=5, guidance_scale=guidance, output_type="latent"
        ).audios
        for text, start in zip(written, noise, strict=True)
    ]
    assert torch.allclose(ours, torch.cat(expected), atol=1e-4)


def test_texts_are_cleaned_as_the_pipeline_does():
    """The stand-in of a tokenizer takes letters of both kinds for the same, so that the latents do not tell."""
    from diffusers.pipelines.longcat_audio_dit.pipeline_longcat_audio_dit import _normalize_text

    denoiser, seen = ready().denoiser, []
    encode = denoiser.pipeline.encode_prompt
    denoiser.pipeline.encode_prompt = lambda prompts, device: seen.extend(prompts) or encode(prompts, device)
    written = ["  A “Dog”\tBARKS ", 'it\'s ‘Ä’ "quoted"\n text']
    denoiser.condition([Prompt(text=text) for text in written])
    assert seen == [_normalize_text(text) for text in written] == ["a dog barks", "it's ä quoted text"]


def test_gradients_go_where_their_rows_came_from():
    """Rows are run in another order than they come in."""
    denoiser = disturbed(ready(), 0.05).denoiser
    condition = denoiser.condition([Prompt(text=TEXTS[index]) for index in (1, 0, 2, 1)])
    noisy = torch.randn(4, 8, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    time = torch.tensor([0.1, 0.4, 0.7, 0.9])
    denoiser.predict(noisy, time, condition)[1].sum().backward()
    assert noisy.grad.flatten(1).abs().sum(1).ne(0).tolist() == [False, True, False, False]


def test_time_grows_from_the_noise_in_path_and_scheduler():
    path = InvertedPath()
    level = torch.tensor([0.0, 0.25, 1.0])
    assert torch.allclose(path.model_time(level), 1 - level)
    assert torch.allclose(path.time_of_timestep(torch.tensor([0.0, 250.0])), torch.tensor([0.0, 0.25]))
    clean, noise = torch.ones(3, 2), torch.full((3, 2), 3.0)
    assert torch.equal(path.target(clean, noise, level), torch.full((3, 2), -2.0))


def test_a_scheduler_that_counts_from_the_data_is_refused():
    denoiser = ready().denoiser
    denoiser.scheduler.register_to_config(invert_sigmas=False)
    with pytest.raises(PrefalignError, match="counts from the data; expected invert_sigmas: true"):
        denoiser.configure_path()


def test_sounds_become_latents_and_latents_sounds():
    policy = ready()
    denoiser, vae = policy.denoiser, policy.denoiser.pipeline.vae
    row = policy.codec.encode(pair(sound(500), sound(900, rate=16_000))).rows[0]
    assert row.data.shape == (1, 68)
    latents = denoiser.encode(row.data[None])
    assert latents.shape[1:] == denoiser.latent_shape(Prompt(text="x")) == (8, 4)
    with torch.no_grad():
        mean = vae.encoder(row.data[None, :, :64])[:, :4]
        assert torch.allclose(latents, mean.transpose(1, 2) / 0.71, atol=1e-6)
        expected = vae.decode(mean / 0.71).sample[0].clamp(-1, 1)
    ((medium,),) = denoiser.decode(latents)
    found, rate = soundfile.read(io.BytesIO(medium.data))
    assert (found.shape, rate) == ((64,), RATE)
    assert np.abs(found - expected.numpy()).max() < 1e-4


def test_a_sound_shorter_than_a_latent_is_filled_to_one():
    policy = ready(seconds=0.0005)
    data = policy.codec.encode(pair(sound(500), sound(900))).rows[0].data
    assert policy.denoiser.encode(data[None]).shape == (1, 1, 4)


def test_lengths_are_the_pipelines():
    denoiser = ready().denoiser
    for seconds in (0.0005, 0.004, 0.0085, 30):
        prompt = Prompt(text="x", conditions={"seconds": seconds})
        assert denoiser.latent_shape(prompt) == (max(1, int(seconds * RATE // 8)), 4)
    with pytest.raises(PrefalignError, match="at most 30 seconds, but 31 are asked for"):
        denoiser.latent_shape(Prompt(text="x", conditions={"seconds": 31}))


def test_pairs_of_sounds_are_scored_and_the_score_is_repeatable():
    policy = disturbed(ready())
    record = pair(sound(500), sound(900))
    one, two = (policy.scores(policy.collate([policy.encode(record)])).logps for _ in range(2))
    assert torch.equal(one, two)
    assert one[0] != one[1]
    made = policy.sample([Prompt(text=text, conditions={"seconds": 0.004}) for text in TEXTS[:2]], 2, steps=2)
    assert {response.arrays["latents"].shape for responses in made for response in responses} == {(4, 4)}
    assert all(response.media[0].kind == "audio" for responses in made for response in responses)


def saved_pipeline(folder, denoiser):
    """The denoiser's pipeline on the disk; its tokenizer is a real one, as the stand-in has no files."""
    from transformers import T5Tokenizer

    letters = [(f"{space}{letter}", -3.0) for letter in "abcdefghijklmnopqrstuvwxyz" for space in ("", "▁")]
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters]
    denoiser.pipeline.register_modules(tokenizer=T5Tokenizer(vocab=words, extra_ids=0, model_max_length=24))
    denoiser.pipeline.save_pretrained(folder)


def test_a_folder_of_a_pipeline_is_loaded_whole(tmp_path):
    made = disturbed(ready(init_seed=3))
    saved_pipeline(tmp_path, made.denoiser)
    loaded = ready(str(tmp_path))
    assert torch.equal(made.scores(batch_of(made)).logps, loaded.scores(batch_of(loaded)).logps)
    assert len(loaded.denoiser.frozen_parts()) == 2
    assert not any(p.requires_grad for part in loaded.denoiser.frozen_parts() for p in part.parameters())
    with pytest.raises(PrefalignError, match=r"told sounds of 24000 Hz.*set rate: 8000"):
        ready(str(tmp_path), rate=24_000)


def test_what_is_no_pipeline_is_refused(tmp_path):
    with pytest.raises(PrefalignError, match="LongCatAudioDiTPipeline cannot load"):
        ready(str(tmp_path))
