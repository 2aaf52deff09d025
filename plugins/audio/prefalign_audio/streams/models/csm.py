"""CSM: speech as Mimi's codes; a backbone writes the first codebook of each frame, a depth decoder the others.

The weights of sesame/csm-1b are under Apache 2.0.

Axes: N rows, M rows that are written, F frames of all rows, C prompts, K streams (codebooks), S steps, P places of a
prompt, D width of the backbone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefalign.models.pretrained import from_pretrained
from prefalign_audio.streams.model import Choose, Condition, Conditioner, StreamLayout
from prefalign_audio.streams.models.csm_conditions import SOUND, CsmConditioner
from prefalign_audio.streams.models.transformers_base import (
    TransformersStreamModel,
    at_places,
    cache_argument,
    packed,
)
from prefalign_audio.streams.pattern import DelayPattern

PREFIX, LENGTH = "prefix", "length"


class Csm(TransformersStreamModel):
    """CSM by hub id, folder, or values of a tiny config.

    The streams have no delay: those of a frame are predicted one after the other in its step. The tail of a song is not
    predicted: CSM marks it by a frame of zeros, and 0 is a code as well. A decoded song stops in front of such a frame.

    Backbone, depth decoder and the embeddings are trained; Mimi is not. A prompt may be a conversation whose turns
    bring their sounds, so that a voice is heard before it speaks; see `CsmConditioner`.

    Args:
        model, dtype, init_seed, resample, downmix: as in `TransformersStreamModel`.
    """

    family = "csm"
    model_class = "CsmForConditionalGeneration"

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Four codebooks of 16 entries at 50 frames a second."""
        decoder = {
            "num_codebooks": 4,
            "vocab_size": 19,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
        }
        return {
            **decoder,
            "text_vocab_size": 128,
            "max_position_embeddings": 256,
            "codebook_pad_token_id": 18,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "audio_token_id": 120,
            "audio_eos_token_id": 121,
            "depth_decoder_config": {**decoder, "backbone_hidden_size": 16},
            "codec_config": {
                "model_type": "mimi",
                "sampling_rate": 3200,
                "upsampling_ratios": [8, 4],
                "num_filters": 4,
                "codebook_size": 16,
                "codebook_dim": 8,
                "vector_quantization_hidden_dimension": 8,
                "num_quantizers": 4,
                "hidden_size": 8,
                "upsample_groups": 8,
                "frame_rate": 50,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "head_dim": 4,
                "intermediate_size": 16,
            },
        }

    def make_layout(self) -> StreamLayout:
        """No delays, and as many codes as Mimi has; the first step of a row is not read."""
        config = self.config
        count, blank = config.num_codebooks, config.codebook_pad_token_id
        codes = min(config.codec_config.codebook_size, blank)
        return StreamLayout(DelayPattern([0] * count), (codes,) * count, (blank,) * count, (blank,) * count, None)

    def make_conditioner(self) -> Conditioner:
        """The text's tokenizer, which marks beginning and end."""
        from transformers import AutoTokenizer

        from prefalign.testing.tiny import character_tokenizer

        source = self.source
        tokenizer = from_pretrained(AutoTokenizer, source) if isinstance(source, str) else character_tokenizer()
        return CsmConditioner(tokenizer, self.config.max_position_embeddings, self.fitting)

    def take_apart(self, whole: Any) -> Any:
        """All but Mimi."""
        self.beside = {"codec": whole.codec_model}
        del whole.codec_model
        return whole

    def save_pretrained(self, folder: Path) -> None:
        """As in `TransformersStreamModel`, with Mimi back in its place."""
        try:
            super().save_pretrained(folder)
        finally:
            if hasattr(self.base, "codec_model"):
                del self.base.codec_model

    def whole(self) -> Any:
        """The network with Mimi in it."""
        self.base.codec_model = self.beside["codec"]
        return self.base

    # Condition and scores --------------------------------------------------------------------------------------------

    def condition(self, inputs: Mapping[str, Tensor]) -> Condition:
        """The turns (C, P, D), as the backbone's embeddings, padded on the right, and their length (C,)."""
        rows = [
            self._embedded(ids[mask.bool()], samples, counts)
            for ids, mask, samples, counts in zip(
                *(inputs[name] for name in ("input_ids", "attention_mask", "samples", "counts")), strict=True
            )
        ]
        lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
        return {PREFIX: torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), LENGTH: lengths}

    def _embedded(self, ids: Tensor, samples: Tensor, counts: Tensor) -> Tensor:
        """(P, D) tokens (L,) and, where they say so, frames of the sounds (A, W), each with a frame behind its end."""
        network = self.base
        places = (ids == SOUND).nonzero().flatten().tolist()
        texts = [part[part != SOUND] for part in ids.tensor_split([place + 1 for place in places])]
        found = [network.embed_text_tokens(texts[0])]
        for text, sound, count in zip(texts[1:], samples, counts.tolist(), strict=False):
            with torch.no_grad():
                codes = self.sound_to_codes(sound[None, :count])
            ended = torch.nn.functional.pad(codes, (0, 1), value=self.config.codebook_eos_token_id)
            found += [network.backbone_model.embed_tokens(ended.T[None])[0], network.embed_text_tokens(text)]
        return torch.cat(found)

    def hidden(
        self, ids: Tensor, present: Tensor, condition: Condition, streams: Sequence[int]
    ) -> dict[int, tuple[Tensor, Callable[[Tensor], Tensor]]]:
        """One pass of the backbone; one of the depth decoder, over the frames that are there and the wanted streams.

        The states of the other streams are 0 where a row has no frame.
        """
        network = self.base
        frames = network.backbone_model.embed_tokens(ids[:, :, 1:-1].transpose(1, 2))
        rows, places = packed(condition[PREFIX], condition[LENGTH], frames)
        # The place before a frame predicts it: the last token does so for the first.
        places = torch.cat([condition[LENGTH][:, None] - 1, places], dim=1)
        states = at_places(network.backbone_model(inputs_embeds=rows, use_cache=False).last_hidden_state, places)
        found: dict[int, tuple[Tensor, Callable[[Tensor], Tensor]]] = {}
        if max(streams):
            there = present[:, 1:]
            depth = self._depth(states[there], ids[:, :, 1:].transpose(1, 2)[there][:, : max(streams)])
        for k in streams:
            if k == 0:
                found[k] = (states, network.lm_head)
            else:
                # masked_scatter wants the mask in the shape of what it fills.
                room = depth.new_zeros(*there.shape, depth.shape[-1])
                filled = room.masked_scatter(there[..., None].expand_as(room), depth[:, k])
                found[k] = (filled, self._head(k))
        return found

    def _depth(self, states: Tensor, codes: Tensor, cache: Any = None) -> Tensor:
        """(F, 1 + k, D) the depth decoder's states behind the backbone's (F, D) and the first k codes (F, k)."""
        decoder = self.base.depth_decoder.model
        # A mask, even of ones, keeps Transformers (5.24) from looking for packed sequences in the numbers of the
        # places, where it fails if there are as many frames as places.
        whole = {"attention_mask": codes.new_ones(len(codes), 1 + codes.shape[1])}
        cached = whole if cache is None else cache_argument(decoder, cache)
        # The first place is the backbone's state.
        found: Tensor = decoder(
            input_ids=torch.nn.functional.pad(codes, (1, 0)),
            backbone_last_hidden_state=states,
            use_cache=cache is not None,
            **cached,
        ).last_hidden_state
        return found

    def _head(self, stream: int) -> Callable[[Tensor], Tensor]:
        weight = self.base.depth_decoder.codebooks_head.weight
        return lambda states: states @ weight[stream - 1]

    # Sampling --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def begin(self, condition: Condition, steps: int) -> Any:
        """A cache that has read the prefixes."""
        from transformers import DynamicCache

        prefix, length = condition[PREFIX], condition[LENGTH]
        places = torch.arange(prefix.shape[1], device=prefix.device).expand(prefix.shape[:2])
        state = _State(DynamicCache(), (places < length[:, None]).long(), length)
        state.states = at_places(self._read(prefix, places, state), length[:, None] - 1)[:, 0]
        return state

    @torch.no_grad()
    def step(self, state: Any, ids: Tensor, choose: Choose) -> Tensor:
        """The next frame: one pass of the backbone over the last one, then one of the depth decoder for each stream."""
        from transformers import DynamicCache

        network = self.base
        if not state.begun:
            state.begun = True  # `begin` has read all that stands before the first frame
        else:
            state.mask = torch.cat([state.mask, state.mask.new_ones(len(ids), 1)], dim=1)
            frame = network.backbone_model.embed_tokens(ids[:, None])
            state.states = self._read(frame, state.next[:, None], state)[:, -1]
            state.next = state.next + 1
        taken, cache = [choose(0, network.lm_head(state.states))], DynamicCache()
        decoder = network.depth_decoder.model
        depth = self._depth(state.states, taken[0][:, None], cache)[:, -1]
        for k in range(1, ids.shape[1]):
            taken.append(choose(k, self._head(k)(depth)))
            if k + 1 < ids.shape[1]:
                depth = decoder(
                    input_ids=taken[k][:, None], use_cache=True, **cache_argument(decoder, cache)
                ).last_hidden_state[:, -1]
        return torch.stack(taken, dim=1)

    def _read(self, embeddings: Tensor, places: Tensor, state: _State) -> Tensor:
        backbone = self.base.backbone_model
        states: Tensor = backbone(
            inputs_embeds=embeddings,
            # Shorter prefixes leave a gap in the cache, which the mask hides.
            attention_mask=state.mask,
            position_ids=places,
            use_cache=True,
            **cache_argument(backbone, state.cache),
        ).last_hidden_state
        return states

    # Sounds ----------------------------------------------------------------------------------------------------------

    @property
    def rate(self) -> int:
        """Mimi's."""
        return int(self.config.codec_config.sampling_rate)

    def sound_to_codes(self, samples: Tensor) -> Tensor:
        """Mimi's first codebooks, as many as CSM writes."""
        codec = self.codec()
        count = self.config.num_codebooks
        codes: Tensor = codec.encode(samples[None].to(codec.dtype), num_quantizers=count).audio_codes[0]
        return codes

    def codes_to_sound(self, codes: Tensor) -> Tensor:
        """Up to the first frame of zeros; silence of one sample where that is the first of all."""
        ends = (codes == 0).all(0).nonzero()
        codes = codes[:, : int(ends[0])] if len(ends) else codes
        if not codes.shape[1]:
            return torch.zeros(1, 1)
        sound: Tensor = self.codec().decode(codes[None]).audio_values[0]
        return sound


@dataclass
class _State:
    """A cache, which places of it are real (M, L), the number of each row's next place (M,), and the last states."""

    cache: Any
    mask: Tensor
    next: Tensor
    states: Any = None
    begun: bool = False
