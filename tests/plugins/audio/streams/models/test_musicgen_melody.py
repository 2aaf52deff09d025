"""MusicGen Melody keeps the contract, with and without melodies, and generates what Transformers' own loop does."""

import pytest
import torch
from transformers import AutoTokenizer, MusicgenMelodyForConditionalGeneration

from prefalign.interfaces import Media, Prompt
from prefalign_audio.sound.files import wav_bytes
from prefalign_audio.sound.waveform import Waveform
from prefalign_audio.streams.contract import PROMPTS, StreamModelContract
from prefalign_audio.streams.models.musicgen_melody import MusicGenMelody


def tone(hertz, seconds=0.5, rate=3200):
    time = torch.arange(int(seconds * rate)) / rate
    return Media(kind="audio", data=wav_bytes(Waveform(0.5 * torch.sin(2 * torch.pi * hertz * time)[None], rate)))


class TestMelody(StreamModelContract):
    prompts = (PROMPTS[0], PROMPTS[1], Prompt(text="a sad song", media=(tone(440.0),)))

    @pytest.fixture
    def make(self):
        return lambda: MusicGenMelody({})

    def plain(self, folder, prompt, ids):
        from transformers import AutoFeatureExtractor

        model = MusicgenMelodyForConditionalGeneration.from_pretrained(folder).eval()
        given = dict(AutoTokenizer.from_pretrained(folder)([prompt.text], return_tensors="pt"))
        if prompt.media:
            time = torch.arange(1600) / 3200
            sound = (0.5 * torch.sin(2 * torch.pi * 440.0 * time)).numpy()
            extractor = AutoFeatureExtractor.from_pretrained(folder)
            given["input_features"] = extractor(sound, sampling_rate=3200, return_tensors="pt")["input_features"]
        logits = model(**given, decoder_input_ids=ids[:, :-1]).logits
        return list(logits[:, -(ids.shape[1] - 1) :])
