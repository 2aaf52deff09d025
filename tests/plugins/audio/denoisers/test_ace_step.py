"""ACE-Step keeps the contract of denoisers, samples as the pipeline does, and takes songs of several lengths."""

import io
import math

import numpy as np
import pytest
import soundfile
import torch

from prefalign.data.encoding import EncodeLatents
from prefalign.interfaces import (
    Media,
    Pair,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    RecordError,
    Response,
    StageReport,
)
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.testing.denoiser_contract import TEXTS, DenoiserContract, batch_of, disturbed
from prefalign_audio.denoisers.ace_step import AceStep

# Diffusers builds this autoencoder with torch's older weight norm (autoencoder_oobleck.py).
pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")

LYRICS = "[verse] soft rain falls\n[chorus] it rains tonight"


def policy_of(model=None, seconds=0.4, **options):
    policy = DenoisingPolicy(AceStep({} if model is None else model, seconds=seconds, **options), replays=2)
    policy.configure_model()
    policy.denoiser.pipeline.set_progress_bar_config(disable=True)
    return policy


class TestAceStep(DenoiserContract):
    @pytest.fixture
    def make(self):
        # 16 frames: 8 patches, and 16 rows in the products of a pair. On rows that do not fill its vectors, the BLAS
        # differs by a last bit between a network and its copy, which DPO's beta carries into the loss.
        return lambda: AceStep({}, seconds=0.64)


# Beside the pipeline -------------------------------------------------------------------------------------------------


def theirs(policy, prompt, noise, **options):
    """The pipeline's latents (F, C) for one prompt."""
    return policy.denoiser.pipeline(
        prompt=prompt.text,
        lyrics=prompt.conditions.get("lyrics", ""),
        audio_duration=prompt.conditions.get("seconds", 0.4),
        latents=noise[None],
        num_inference_steps=4,
        output_type="latent",
        **options,
    ).audios[0]


PROMPTS = [Prompt(text=TEXTS[0], conditions={"lyrics": LYRICS}), Prompt(text=TEXTS[1])]


@pytest.mark.parametrize(("guidance", "shift"), [(1.0, 3.0), (7.0, 3.0), (7.0, 1.0)])
def test_sampling_is_the_pipelines_whatever_stands_beside_a_prompt(guidance, shift):
    """Two prompts of several lengths; an odd number of frames, which the network fills up to whole patches."""
    policy = disturbed(policy_of(seconds=0.36, shift=shift), 0.1)
    noise = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(3))
    prompts = [Prompt(text=p.text, conditions={**p.conditions, "seconds": 0.36}) for p in PROMPTS]
    found = policy.generate(noise, policy.denoiser.condition(prompts), 1, 4, guidance)
    expected = [
        theirs(policy, prompt, one, guidance_scale=guidance, shift=shift)
        for prompt, one in zip(prompts, noise, strict=True)
    ]
    assert torch.allclose(found, torch.stack(expected), atol=1e-4)
    plain = theirs(
        policy, Prompt(text=TEXTS[0], conditions={"seconds": 0.36}), noise[0], guidance_scale=guidance, shift=shift
    )
    assert not torch.allclose(found[0], plain, atol=1e-3)  # lyrics are heard


@pytest.mark.parametrize("form", [{"is_turbo": True}, {"model_version": "turbo"}])
def test_turbo_is_sampled_without_guidance(form):
    policy = disturbed(policy_of(form), 0.1)
    assert (policy.denoiser.steps, policy.denoiser.guidance) == (8, 1.0)
    noise = torch.randn(1, 10, 4, generator=torch.Generator().manual_seed(3))
    found = policy.generate(noise, policy.denoiser.condition(PROMPTS[:1]), 1, 4, 7.0)
    assert torch.allclose(found[0], theirs(policy, PROMPTS[0], noise[0], guidance_scale=1.0), atol=1e-4)


def test_usual_steps_and_guidance_are_those_of_the_kind_of_network_unless_asked():
    assert (policy_of().denoiser.steps, policy_of().denoiser.guidance) == (64, 7.0)
    asked = policy_of({"is_turbo": True}, steps=4, guidance=2.0).denoiser
    assert (asked.steps, asked.guidance) == (4, 2.0)


def test_levels_are_the_larger_of_two_draws():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 200_000, generator=generator) - 0.4
    drawn = torch.sigmoid(logits.amax(0)).sort().values
    uniform = (torch.arange(200_000) + 0.5) / 200_000
    assert (AceStep.levels.quantile(uniform) - drawn).abs().max() < 0.02


# Sounds --------------------------------------------------------------------------------------------------------------


def wav(frequency, seconds=0.4, rate=48_000, channels=2):
    wave = 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([wave] * channels, 1), rate, format="WAV")
    return Media(kind="audio", data=buffer.getvalue())


def record(*media, name="r", text="a tone", **conditions):
    responses = tuple(Response(media=(medium,)) for medium in media)
    return PreferenceRecord(
        id=name, prompt=Prompt(text=text, conditions=conditions), responses=responses, verdict=Pair(0, 1)
    )


def test_sounds_become_the_modes_latents_and_latents_become_sounds_1_db_below_full_scale():
    policy = policy_of()
    denoiser, vae = policy.denoiser, policy.denoiser.pipeline.vae
    media = policy.collate([policy.encode(record(wav(440.0), wav(220.0, 0.1, channels=1)))]).inputs["media"]
    assert media.shape == (2, 2, 19_200)
    assert not media[1, :, 5000:].any()
    latents = denoiser.encode(media)
    assert latents.shape[1:] == denoiser.latent_shape(Prompt(text="x")) == (10, 4)
    with torch.no_grad():
        assert torch.allclose(latents.mT, vae.encode(media).latent_dist.mean, atol=1e-6)
        expected = vae.decode(latents.mT).sample
    expected *= 10 ** (-1 / 20) / expected.abs().amax(dim=(1, 2), keepdim=True)
    for one, made in zip(expected, denoiser.decode(latents), strict=True):
        samples, rate = soundfile.read(io.BytesIO(made[0].data), dtype="float32")
        assert (rate, samples.shape) == (48_000, (19_200, 2))
        assert np.abs(samples.T - one.numpy()).max() < 1e-3


def test_a_sound_is_cut_or_filled_to_what_its_prompt_tells():
    """0.25 s are 6.25 frames, which the network makes 7 of."""
    policy = policy_of()
    media = policy.collate([policy.encode(record(wav(440.0), wav(220.0, 0.1), seconds=0.25))]).inputs["media"]
    assert media.shape == (2, 2, 7 * 1920)
    assert policy.denoiser.encode(media).shape[1:] == policy.denoiser.latent_shape(
        Prompt(text="x", conditions={"seconds": 0.25})
    )


def test_a_pair_of_sounds_is_scored_the_same_at_each_visit():
    policy = disturbed(policy_of())
    found = [
        policy.scores(policy.collate([policy.encode(record(wav(440.0), wav(220.0), lyrics=LYRICS))])).logps
        for _ in range(2)
    ]
    assert torch.equal(*found)
    assert found[0][0] != found[0][1]


def encoded(policy, *records):
    return list(EncodeLatents(policy.denoiser, conditions=False)(iter(records), 0, StageReport()))


def test_songs_of_several_lengths_share_a_batch_and_do_not_see_each_other():
    policy = disturbed(policy_of())
    short, long = encoded(
        policy,
        record(wav(440.0), wav(220.0), name="short", seconds=0.2),
        record(wav(330.0), wav(110.0), name="long", text=TEXTS[1], lyrics=LYRICS),
    )
    assert [len(r.responses[0].arrays["latents"]) for r in (short, long)] == [5, 10]
    batch = policy.collate([policy.encode(short), policy.encode(long)])
    assert batch.inputs["latents"].shape == (4, 10, 4)
    together = policy.scores(batch).errors
    alone = torch.cat([policy.scores(policy.collate([policy.encode(one)])).errors for one in (short, long)])
    assert torch.allclose(together, alone, rtol=1e-5)
    with pytest.raises(RecordError, match=r"needs one length, got \[5, 10\] frames"):
        policy.collate([policy.encode(short), policy.encode(long)], frozenset({"mismatched"}))
    assert policy.collate([policy.encode(short)] * 2, frozenset({"mismatched"})).inputs["latents"].shape[0] == 6


def test_latents_of_another_length_than_told_are_refused():
    policy = policy_of()
    latents = [Response(arrays={"latents": np.full((12, 4), value, dtype=np.float32)}) for value in (0, 1)]
    wrong = PreferenceRecord(id="r", prompt=Prompt(text="x"), responses=tuple(latents), verdict=Pair(0, 1))
    with pytest.raises(RecordError, match=r"12 frames \(0.48 s\), but the prompt asks for 10"):
        policy.encode(wrong)


def test_the_length_told_matters():
    denoiser = policy_of().denoiser
    # HashTokenizer knows whole words only, so the words told are those of whole seconds.
    told = [
        denoiser.condition([Prompt(text="x", conditions={"seconds": seconds})]).tensors["encoder_hidden_states"]
        for seconds in (1, 2)
    ]
    assert not torch.allclose(*told)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: policy_of({"layer": 1}), "has no 'layer'"),
        (lambda: policy_of(shift=0.0), "shift above 0, got 0"),
        (
            lambda: policy_of().denoiser.condition([Prompt(text="x", conditions={"lyrics": ["a"]})]),
            "'lyrics' to be text, got",
        ),
    ],
)
def test_values_that_do_not_fit_are_refused(make, complaint):
    with pytest.raises(PrefalignError, match=complaint):
        make()


# Folders -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """A policy and the folder of its pipeline, whose tokenizer is a real one, as the stand-in has no files."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    policy = disturbed(policy_of(init_seed=5))
    pipeline = policy.denoiser.pipeline
    words = ["<pad>", "<unk>", *sorted({word for text in TEXTS for word in text.split()})]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    pipeline.register_modules(
        tokenizer=PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")
    )
    pipeline.save_pretrained(tmp_path)
    return policy, tmp_path


def test_a_folder_of_a_pipeline_is_loaded_whole(saved):
    made, folder = saved
    loaded = policy_of(str(folder))
    assert torch.equal(loaded.scores(batch_of(loaded)).logps, made.scores(batch_of(made)).logps)
    sounds = record(wav(440.0), wav(220.0), lyrics=LYRICS)
    found = [p.scores(p.collate([p.encode(sounds)])).logps for p in (made, loaded)]
    assert torch.equal(*found)
    trained = {id(p) for p in loaded.parameters() if p.requires_grad}
    assert trained == {id(p) for p in loaded.denoiser.network.parameters()}
    assert not any(p.requires_grad for part in loaded.denoiser.frozen_parts() for p in part.parameters())
    assert len(loaded.denoiser.frozen_parts()) == 3


def test_another_rate_or_frame_is_refused_and_precision_is_that_of_all_parts(saved):
    made, folder = saved
    with pytest.raises(PrefalignError, match="works at 48000 Hz; set rate: 48000"):
        policy_of(str(folder), rate=16_000)
    loaded = policy_of(str(folder), dtype="bfloat16")
    scores = loaded.scores(batch_of(loaded)).logps
    assert scores.dtype == torch.float32
    assert torch.allclose(scores, made.scores(batch_of(made)).logps, rtol=0.05)
    made.denoiser.pipeline.vae.hop_length = 960
    with pytest.raises(PrefalignError, match="frames of 960 samples, not 1920"):
        made.denoiser.configure_path()


def test_silence_is_not_made_loud_beyond_reason():
    denoiser = policy_of().denoiser
    with torch.no_grad():
        denoiser.pipeline.vae.decoder.conv2.weight_g.zero_()
    samples, _ = soundfile.read(io.BytesIO(denoiser.decode(torch.zeros(1, 10, 4))[0][0].data))
    assert not samples.any()
    assert math.isfinite(samples.sum())
