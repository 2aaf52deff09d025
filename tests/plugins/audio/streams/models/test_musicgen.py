"""MusicGen keeps the contract, in mono and stereo, and generates what Transformers' own loop does."""

import pytest
import torch
from transformers import AutoTokenizer, MusicgenForConditionalGeneration

from prefalign.interfaces import Prompt
from prefalign_audio.streams.contract import PROMPTS, StreamModelContract, ready
from prefalign_audio.streams.models.musicgen import MusicGen

STEREO = {"decoder": {"num_codebooks": 8, "audio_channels": 2}}


def inputs_of(folder, prompt):
    """The model in the folder, and the arguments that say the prompt as Transformers wants it."""
    model = MusicgenForConditionalGeneration.from_pretrained(folder).eval()
    if not prompt.text:
        given = model.get_unconditional_inputs(1)
        return model, {"encoder_outputs": given.encoder_outputs, "attention_mask": given.attention_mask}
    return model, dict(AutoTokenizer.from_pretrained(folder)([prompt.text], return_tensors="pt"))


class MusicGenContract(StreamModelContract):
    prompts = (*PROMPTS[:2], Prompt())

    def plain(self, folder, prompt, ids):
        model, given = inputs_of(folder, prompt)
        return list(model(**given, decoder_input_ids=ids[:, :-1]).logits)


class TestMono(MusicGenContract):
    @pytest.fixture
    def make(self):
        return lambda: MusicGen({})


class TestStereo(MusicGenContract):
    @pytest.fixture
    def make(self):
        return lambda: MusicGen(STEREO)


def test_delays_are_those_of_transformers():
    """Its own pattern of which ids are given, and which are left to be predicted (-1)."""
    for values in ({}, STEREO):
        model = ready(lambda values=values: MusicGen(values))
        count = model.layout.pattern.streams
        start = torch.full((count, 1), 16)
        _, mask = model.base.build_delay_pattern_mask(start, 16, max_length=12)
        frames = 12 - 1 - max(model.layout.pattern.delays)
        left = model.layout.pattern.apply(torch.full((1, count, frames), -1), 16)[0]
        assert torch.equal(mask, torch.cat([start, left], dim=1))
    assert model.layout.pattern.delays == (0, 0, 1, 1, 2, 2, 3, 3)
