"""Sounds to spectrograms to latents and back, in all families that have them."""

import math

import numpy as np
import pytest
import torch

from prefalign.interfaces import Media, Pair, PrefalignError, PreferenceRecord, Prompt, Response
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.testing.denoiser_contract import batch_of
from prefalign_audio.denoisers.audioldm import AudioLDM, MusicLDM
from prefalign_audio.denoisers.audioldm2 import AudioLDM2
from prefalign_audio.denoisers.mel import levelled, log_mel
from prefalign_audio.denoisers.tango import Tango
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import read_sound, wav_bytes
from prefalign_audio.sound.waveform import Waveform

FAMILIES = {"audioldm": AudioLDM, "audioldm2": AudioLDM2, "musicldm": MusicLDM, "tango": Tango}


@pytest.fixture(params=FAMILIES)
def family(request):
    return FAMILIES[request.param]


def tone(hertz=440.0, seconds=0.5, rate=16_000, channels=1, amplitude=0.3):
    time = torch.arange(round(seconds * rate)) / rate
    return Waveform((amplitude * torch.sin(2 * math.pi * hertz * time)).expand(channels, -1).contiguous(), rate)


def configured(family, **options):
    denoiser = family({}, **options)
    denoiser.configure_model()
    return denoiser


def slaney_triangles(bands):
    """Triangles by Slaney's toolbox: 200/3 Hz a mel below 1 kHz, 27 mels to a factor of 6.4 above; equal areas."""
    top = 15 + 27 * math.log(8000 / 1000) / math.log(6.4)
    edges = np.linspace(0, top, bands + 2)
    hertz = np.where(edges < 15, edges * 200 / 3, 1000 * 6.4 ** ((edges - 15) / 27))
    bins = np.arange(513) * 16_000 / 1024
    rows = [
        np.clip(np.minimum((bins - low) / (mid - low), (high - bins) / (high - mid)), 0, None) * 2 / (high - low)
        for low, mid, high in zip(hertz, hertz[1:], hertz[2:], strict=False)
    ]
    return np.stack(rows)


def test_the_spectrogram_is_that_of_a_direct_transform():
    """Every window cut, weighted and transformed by itself, in double precision."""
    samples = torch.randn(1600, generator=torch.Generator().manual_seed(0)) * 0.1
    mirrored = np.pad(samples.double().numpy(), 512, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    magnitudes = np.stack([np.abs(np.fft.rfft(mirrored[160 * n : 160 * n + 1024] * window)) for n in range(10)])
    expected = np.log(np.maximum(magnitudes @ slaney_triangles(64).T, 1e-5))
    found = log_mel(samples[None], 160, 64)
    assert found.shape == (1, 10, 64)
    assert np.abs(found[0].numpy() - expected).max() < 1e-3


def test_silence_is_the_floor_and_too_short_is_refused():
    assert torch.allclose(log_mel(torch.zeros(2, 1000), 160, 8), torch.tensor(1e-5).log())
    with pytest.raises(SoundError, match="more than 512 samples at 16000 Hz, got 512"):
        log_mel(torch.zeros(1, 512), 160, 8)


def test_levelling_takes_the_mean_off_and_sets_the_peak():
    loud = tone(seconds=0.1).samples + 0.25
    padded = torch.nn.functional.pad(torch.cat([loud, 0.01 * loud]), (0, 400))
    found = levelled(padded)
    assert torch.allclose(found.abs().amax(1), torch.tensor([0.5, 0.5]))
    assert torch.allclose(found[0], found[1], atol=1e-5)
    assert found[:, :1600].mean(1).abs().max() < 1e-4
    assert not found[:, 1600:].any()
    assert torch.equal(levelled(torch.zeros(1, 9)), torch.zeros(1, 9))


@pytest.mark.parametrize(("seconds", "times"), [(0.32, 8), (0.33, 9), (0.36, 9), (0.361, 9), (0.37, 10)])
def test_sounds_become_latents_of_the_shape_that_is_sampled(family, seconds, times):
    """A latent holds four frames of 10 ms; a begun latent is filled with silence."""
    denoiser = configured(family, seconds=seconds)
    shape = denoiser.latent_shape(Prompt(text="x"))
    assert shape == (denoiser.network.config.in_channels, times, 4)
    media = torch.rand(2, 1, denoiser.samples(), generator=torch.Generator().manual_seed(0)) - 0.5
    assert denoiser.encode(media).shape == (2, *shape)


def test_latents_are_the_scaled_mode_of_the_spectrograms(family):
    denoiser = configured(family, seconds=0.32)
    vae = denoiser.pipeline.vae
    vae.register_to_config(scaling_factor=0.5)
    media = 0.1 * torch.randn(2, 1, 5120, generator=torch.Generator().manual_seed(0))
    mel = log_mel(levelled(media[:, 0]), 160, 16)
    assert torch.allclose(denoiser.encode(media), vae.encode(mel[:, None]).latent_dist.mean * 0.5, atol=1e-5)
    assert torch.allclose(denoiser.encode(media), denoiser.encode(0.1 * media), atol=1e-4)


def test_latents_become_sounds_as_the_vocoder_makes_them(family):
    denoiser = configured(family, seconds=0.32)
    pipeline = denoiser.pipeline
    pipeline.vae.register_to_config(scaling_factor=0.5)
    shape = denoiser.latent_shape(Prompt(text="x", conditions={"seconds": 0.64}))
    latents = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        waveforms, other = (
            pipeline.vocoder(pipeline.vae.decode(scaled).sample.squeeze(1)) for scaled in (latents / 0.5, latents * 0.5)
        )
    assert waveforms.shape[1] > 10_240
    assert (waveforms - other).abs().max() > 0.01
    for (medium,), expected in zip(denoiser.decode(latents), waveforms, strict=True):
        found = read_sound(medium)
        assert (found.rate, found.samples.shape) == (16_000, (1, 10_240))
        assert (found.samples[0] - expected[:10_240]).abs().max() < 1e-4


def test_pairs_of_sounds_are_scored_and_the_score_is_repeatable(family, tmp_path):
    policy = DenoisingPolicy(family({}, seconds=0.32))
    policy.configure_model()
    path = tmp_path / "one.wav"
    path.write_bytes(wav_bytes(tone(rate=44_100, channels=2)))
    media = (Media(kind="audio", path=str(path)), Media(kind="audio", data=wav_bytes(tone(2000.0, seconds=0.2))))
    responses = tuple(Response(media=(medium,)) for medium in media)
    record = PreferenceRecord(id="p", prompt=Prompt(text="a tone"), responses=responses, verdict=Pair(0, 1))
    scores = [policy.scores(policy.collate([policy.encode(record)])).logps for _ in range(2)]
    assert torch.equal(*scores)
    assert scores[0].isfinite().all()
    assert scores[0][0] != scores[0][1]


def test_a_policy_samples_sounds_of_the_length_that_prompts_ask_for(family):
    policy = DenoisingPolicy(family({}, seconds=0.32))
    policy.configure_model()
    (made,) = policy.sample([Prompt(text="rain", conditions={"seconds": 0.4})], steps=2)
    assert read_sound(made[0].media[0]).frames == 6400


def test_half_precision_is_that_of_the_weights_not_of_latents_and_scores(family):
    policy = DenoisingPolicy(family({}, seconds=0.32, dtype="bfloat16"))
    policy.configure_model()
    parts = [policy.denoiser.network, *policy.denoiser.frozen_parts()]
    assert {p.dtype for part in parts for p in part.parameters()} == {torch.bfloat16}
    latents = policy.denoiser.encode(torch.rand(1, 1, 5120, generator=torch.Generator().manual_seed(0)) - 0.5)
    scores = policy.scores(batch_of(policy)).logps
    assert latents.dtype == scores.dtype == torch.float32
    assert scores.isfinite().all()
    assert read_sound(policy.denoiser.decode(latents)[0][0]).frames == 5120


def test_another_rate_than_the_vocoders_is_refused(family):
    with pytest.raises(PrefalignError, match=r"told sounds of 44100 Hz, but .* at 16000 Hz; set rate: 16000"):
        configured(family, rate=44_100)


def test_what_the_front_end_does_not_know_is_refused(family):
    denoiser = configured(family)
    denoiser.pipeline.vocoder.config.sampling_rate = denoiser.rate = 48_000
    with pytest.raises(PrefalignError, match="known for 16000 Hz only, not 48000 Hz"):
        denoiser.configure_path()
    denoiser.pipeline.vocoder.config.sampling_rate = denoiser.rate = 16_000
    denoiser.pipeline.vocoder.config.model_in_dim = 18
    with pytest.raises(PrefalignError, match="18 mel bands in latents of 4 bands each"):
        denoiser.configure_path()


def test_a_length_below_one_frame_is_refused(family):
    with pytest.raises(PrefalignError, match=r"a sound of 0.01 seconds or longer, got 0.001"):
        configured(family).latent_shape(Prompt(text="x", conditions={"seconds": 0.001}))
