"""Dia keeps the contract, lays rows out as its processor does, and generates what Transformers' own loop does."""

import pytest
from transformers import AutoTokenizer, DiaForConditionalGeneration

from prefalign.interfaces import Prompt
from prefalign_audio.streams.contract import StreamModelContract
from prefalign_audio.streams.models.dia import Dia


def delayed(ids, delays=(0, 2, 3), bos=18):
    """The ids (K, S) with bos where a stream waits."""
    ids = ids.clone()
    for k, delay in enumerate(delays):
        ids[k, : delay + 1] = bos
    return ids


class TestDia(StreamModelContract):
    prompts = (Prompt(text="[S1] Hé!"), Prompt(text="[S1] A longer one. [S2] Yes."), Prompt(text="[S2] No?"))

    @pytest.fixture
    def make(self):
        return lambda: Dia({})

    def plain(self, folder, prompt, ids):
        model = DiaForConditionalGeneration.from_pretrained(folder).eval()
        given = AutoTokenizer.from_pretrained(folder)([prompt.text], return_tensors="pt")
        row = delayed(ids)[:, :-1].T[None].contiguous()
        return list(model(given.input_ids, given.attention_mask, decoder_input_ids=row).logits)
