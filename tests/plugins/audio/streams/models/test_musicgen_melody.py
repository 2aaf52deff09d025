"""MusicGen Melody keeps the contract, with and without melodies, and generates what Transformers' own loop does."""

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoTokenizer, MusicgenMelodyForConditionalGeneration

from prefalign.interfaces import Media, PrefalignError, Prompt
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import read_sound, wav_bytes
from prefalign_audio.sound.waveform import Waveform
from prefalign_audio.streams.contract import PROMPTS, StreamModelContract, batch_of, ready, save
from prefalign_audio.streams.models.musicgen_melody import MusicGenMelody
from prefalign_audio.streams.policy import StreamPolicy


def tone(hertz, seconds=0.5, rate=3200, channels=1):
    """A tone that goes up by a fifth in the middle."""
    time = torch.arange(int(seconds * rate)) / rate
    phase = 2 * torch.pi * hertz * time * torch.where(time < seconds / 2, 1.0, 1.5)
    return Media(kind="audio", data=wav_bytes(Waveform((0.5 * torch.sin(phase)).expand(channels, -1).clone(), rate)))


SUNG = Prompt(text="a sad song", media=(tone(440.0),))


def inputs_of(folder, prompt):
    """The model in the folder, and the arguments that say the prompt as Transformers wants it."""
    model = MusicgenMelodyForConditionalGeneration.from_pretrained(folder).eval()
    given = dict(AutoTokenizer.from_pretrained(folder)([prompt.text], return_tensors="pt"))
    if prompt.media:
        samples = read_sound(prompt.media[0]).samples[0].numpy()
        extractor = AutoFeatureExtractor.from_pretrained(folder)
        given["input_features"] = extractor(samples, sampling_rate=3200, return_tensors="pt")["input_features"]
    return model, given


class TestMelody(StreamModelContract):
    prompts = (PROMPTS[0], PROMPTS[1], SUNG)

    @pytest.fixture
    def make(self):
        return lambda: MusicGenMelody({})

    def plain(self, folder, prompt, ids):
        model, given = inputs_of(folder, prompt)
        logits = model(**given, decoder_input_ids=ids[:, :-1]).logits
        return list(logits[:, -(ids.shape[1] - 1) :])


def configured(values, size=0.3):
    policy = StreamPolicy(ready(lambda: MusicGenMelody(values), size))
    policy.configure_model()
    return policy


@torch.no_grad()
def test_the_loss_is_that_of_transformers(tmp_path):
    policy = configured({})
    save(policy.family, tmp_path)
    batch = batch_of(policy.family, [SUNG] * 3, (5, 3, 7))
    model, given = inputs_of(tmp_path, SUNG)
    given = {name: value.expand(3, *value.shape[1:]) for name, value in given.items()}
    ids = batch.inputs["ids"]
    expected = model(
        **given, decoder_input_ids=ids[..., :-1].flatten(0, 1), labels=ids[..., 1:].transpose(1, 2).contiguous()
    ).loss
    sums, counts = policy.scores(batch).by_stream(4)
    assert torch.allclose(-(sums.sum(0) / counts.sum(0)).mean(), expected, rtol=1e-5)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("prompt", [PROMPTS[1], SUNG], ids=["text", "melody"])
@pytest.mark.parametrize("values", [{}, {"decoder": {"num_codebooks": 8, "audio_channels": 2}}], ids=["mono", "stereo"])
def test_the_likeliest_song_is_that_of_transformers(values, prompt, guidance, tmp_path, monkeypatch):
    """Its null condition has as many zeros as the text has tokens, and the first pitch class for chroma."""
    policy = configured(values)
    save(policy.family, tmp_path)
    model, given = inputs_of(tmp_path, prompt)
    found, inner = [], model.audio_encoder.decode
    monkeypatch.setattr(
        model.audio_encoder, "decode", lambda codes, **options: found.append(codes) or inner(codes, **options)
    )
    longest = 9 + max(policy.family.layout.pattern.delays)
    model.generate(**given, do_sample=False, guidance_scale=guidance, max_new_tokens=longest)
    expected = torch.stack([codes[0, 0] for codes in found], dim=1).flatten(0, 1)
    ((song,),) = policy.sample([prompt], 1, max_frames=9, guidance=guidance)
    assert len(np.unique(song.arrays["codes"])) > 2
    assert np.array_equal(song.arrays["codes"], expected.numpy())


def test_a_melody_is_heard():
    """Two melodies under one text; and the melody repeated to the length of the condition."""
    conditioner = MusicGenMelody({}).conditioner
    low, high = (conditioner.encode(Prompt(text="a", media=(tone(hertz),)))["chroma"] for hertz in (440.0, 523.25))
    assert low.shape == (10, 12)
    assert torch.equal(low.sum(1), torch.ones(10))
    assert not torch.equal(low, high)
    assert int(low[1].argmax()) == 9, "A, nine semitones above C"
    assert torch.equal(low[:3], low[7:]), "seven frames, and again"
    none = conditioner.encode(Prompt(text="a"))["chroma"]
    assert torch.equal(none[:, 0], torch.ones(10))
    assert torch.equal(conditioner.encode(conditioner.negative(SUNG))["chroma"], none)


def test_melodies_that_cannot_be_heard_are_refused():
    conditioner = MusicGenMelody({}).conditioner
    with pytest.raises(SoundError, match="expected a sample rate of 3200 Hz, got 8000 Hz"):
        conditioner.encode(Prompt(text="a", media=(tone(440.0, rate=8000),)))
    with pytest.raises(SoundError, match="expected one channel, got 2"):
        conditioner.encode(Prompt(text="a", media=(tone(440.0, channels=2),)))
    with pytest.raises(PrefalignError, match="the melody has 13 frames, and the model hears 10"):
        conditioner.encode(Prompt(text="a", media=(tone(440.0, seconds=1.0),)))
    with pytest.raises(PrefalignError, match="expected no media or one sound as melody"):
        conditioner.encode(Prompt(text="a", media=(tone(440.0), tone(440.0))))
    willing = MusicGenMelody({}, resample=True, downmix=True).conditioner
    heard = willing.encode(Prompt(text="a", media=(tone(440.0, rate=8000, channels=2),)))["chroma"]
    assert int(heard[1].argmax()) == 9
