"""CSM keeps the contract, has Transformers' two losses, and generates what Transformers' own loop does."""

import pytest
import torch
from transformers import AutoTokenizer, CsmForConditionalGeneration

from prefalign.interfaces import Prompt
from prefalign_audio.streams.contract import StreamModelContract
from prefalign_audio.streams.models.csm import Csm


class TestCsm(StreamModelContract):
    prompts = (
        Prompt(text="Rain."),
        Prompt(text="A longer sentence, spoken.", conditions={"speaker": 1}),
        Prompt(conditions={"lyrics": "No?"}),
    )

    @pytest.fixture
    def make(self):
        return lambda: Csm({})

    def plain(self, folder, prompt, ids):
        model = CsmForConditionalGeneration.from_pretrained(folder).eval()
        words = f"[{prompt.conditions.get('speaker', 0)}]{prompt.text or prompt.conditions['lyrics']}"
        text = AutoTokenizer.from_pretrained(folder)([words], return_tensors="pt").input_ids
        frames = ids[:, 1:].T[None].contiguous()
        both = torch.cat([model.embed_text_tokens(text), model.backbone_model.embed_tokens(frames)], dim=1)
        out = model(inputs_embeds=both, output_hidden_states=True)
        before = slice(text.shape[1] - 1, -1)
        depth = model.depth_decoder(
            torch.nn.functional.pad(frames[0, :, :-1], (1, 0)),
            backbone_last_hidden_state=out.hidden_states[-1][0, before],
        ).logits
        return [out.logits[0, before], *depth.unbind(1)]
