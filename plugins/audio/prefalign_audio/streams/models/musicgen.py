"""MusicGen (arXiv 2306.05284): a decoder over EnCodec's codebooks, under T5's states by cross-attention.

The weights of facebook/musicgen-* are for non-commercial use (CC-BY-NC 4.0).

Axes: N rows, M rows that are written, C prompts, K streams, S steps, L tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prefalign.interfaces import PrefalignError
from prefalign.models.pretrained import from_pretrained
from prefalign_audio.streams.model import Choose, Condition, Conditioner, StreamLayout
from prefalign_audio.streams.models.text import TextConditioner
from prefalign_audio.streams.models.transformers_base import TransformersStreamModel, cache_argument
from prefalign_audio.streams.pattern import DelayPattern

STATES, MASK = "encoder_hidden_states", "encoder_attention_mask"


class MusicGen(TransformersStreamModel):
    """MusicGen, mono or stereo, by hub id, folder, or values of a tiny config.

    A song has a fixed length: MusicGen predicts no end. Of stereo models the streams alternate between left and right,
    and the two streams of a codebook share its delay (section 2.4).

    The decoder is trained. T5 and the projection of its states to the decoder's width stay as they are, so that the
    condition is computed without gradient, once for the rows of a prompt.

    Args:
        model, dtype, init_seed, resample, downmix: as in `TransformersStreamModel`.
    """

    family = "musicgen"
    model_class = "MusicgenForConditionalGeneration"

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Four codebooks of 16 entries at 50 frames a second."""
        return {
            "text_encoder": {
                "model_type": "t5",
                "vocab_size": 32,
                "d_model": 8,
                "d_kv": 4,
                "d_ff": 16,
                "num_layers": 1,
                "num_heads": 2,
            },
            "audio_encoder": {
                "model_type": "encodec",
                "sampling_rate": 3200,
                "target_bandwidths": [0.8],
                "upsampling_ratios": [8, 8],
                "num_filters": 4,
                "codebook_size": 16,
                "codebook_dim": 8,
                "hidden_size": 8,
                "num_lstm_layers": 1,
            },
            "decoder": {
                "vocab_size": 16,
                "pad_token_id": 16,
                "bos_token_id": 16,
                "hidden_size": 16,
                "ffn_dim": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "max_position_embeddings": 64,
            },
        }

    def make_layout(self) -> StreamLayout:
        """Delays 0, 1, 2, … of the codebooks, which the channels of a codebook share."""
        decoder = self.config.decoder
        count, channels = decoder.num_codebooks, decoder.audio_channels
        if count % channels:
            raise PrefalignError(f"{count} codebooks do not fit {channels} channels")
        self.channels = channels
        blank = decoder.pad_token_id
        return StreamLayout(
            pattern=DelayPattern([k // channels for k in range(count)]),
            codes=(decoder.vocab_size,) * count,
            start=(decoder.bos_token_id,) * count,
            fill=(blank,) * count,
            end=None,
        )

    def make_conditioner(self) -> Conditioner:
        """T5's tokenizer."""
        return TextConditioner(self._tokenizer(), "description")

    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        from prefalign_audio.denoisers.mel_tiny import tiny_t5_tokenizer

        return from_pretrained(AutoTokenizer, self.source) if isinstance(self.source, str) else tiny_t5_tokenizer()

    def take_apart(self, whole: Any) -> Any:
        """The decoder; text encoder, projection and codec go beside it."""
        self.beside = {"whole": whole, "text": whole.text_encoder, "codec": whole.audio_encoder}
        for name in self._projections:
            if hasattr(whole, name):
                self.beside[name] = getattr(whole, name)
        return whole.decoder

    #: Names of the layers that bring conditions to the decoder's width; absent where widths agree.
    _projections: tuple[str, ...] = ("enc_to_dec_proj",)

    def whole(self) -> Any:
        """The model with its decoder as it is now."""
        whole = self.beside["whole"]
        whole.decoder = self.base
        return whole

    # Condition -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def condition(self, inputs: Mapping[str, Tensor]) -> Condition:
        """T5's states (C, L, D) and their mask (C, L); of prompts that are not heard, the states are 0."""
        return {STATES: self._text_states(inputs), MASK: inputs["attention_mask"]}

    def _text_states(self, inputs: Mapping[str, Tensor]) -> Tensor:
        mask = inputs["attention_mask"]
        states: Tensor = self.part("text")(input_ids=inputs["input_ids"], attention_mask=mask).last_hidden_state
        if "enc_to_dec_proj" in self.beside:
            states = self.part("enc_to_dec_proj")(states)
        # States of 0 have keys and values of 0, so that attention to them adds nothing, masked or not.
        return states * (mask * inputs["heard"][:, None])[..., None]

    # Scores ----------------------------------------------------------------------------------------------------------

    def hidden(
        self, ids: Tensor, present: Tensor, condition: Condition, streams: Sequence[int]
    ) -> dict[int, tuple[Tensor, Callable[[Tensor], Tensor]]]:
        """One pass; the streams share their hidden states."""
        states = self._decoded(ids[:, :, :-1], condition)
        heads = self.base.lm_heads
        return {k: (states, heads[k]) for k in streams}

    def _decoded(self, ids: Tensor, condition: Condition, cache: Any = None) -> Tensor:
        """(N, S, D) states behind the ids (N, K, S)."""
        decoder = self.base.model
        cached = {} if cache is None else cache_argument(decoder, cache)
        flat = ids.reshape(-1, ids.shape[-1])
        states: Tensor = decoder(
            input_ids=flat, **self._attended(condition), use_cache=cache is not None, **cached
        ).last_hidden_state
        return states

    def _attended(self, condition: Condition) -> dict[str, Tensor]:
        dtype = self.base.dtype
        return {STATES: condition[STATES].to(dtype), MASK: condition[MASK]}

    # Sampling --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def begin(self, condition: Condition, steps: int) -> Any:
        """Empty caches: T5's states enter the one of cross-attention with the first step."""
        return _State(empty_cache(), condition)

    @torch.no_grad()
    def step(self, state: Any, ids: Tensor, choose: Choose) -> Tensor:
        """The next ids, which one pass predicts for all streams."""
        states = self._decoded(ids[..., None], state.condition, state.cache)[:, -1]
        return torch.stack([choose(k, head(states)) for k, head in enumerate(self.base.lm_heads)], dim=1)

    # Sounds ----------------------------------------------------------------------------------------------------------

    @property
    def rate(self) -> int:
        """EnCodec's."""
        return int(self.config.audio_encoder.sampling_rate)

    def sound_to_codes(self, samples: Tensor) -> Tensor:
        """Each channel is encoded by itself; the streams of a codebook stand side by side."""
        codec = self.codec()
        codes = codec.encode(samples[:, None].to(codec.dtype)).audio_codes
        if len(codes) != 1:
            raise PrefalignError(f"the codec cuts sounds into {len(codes)} chunks; expected one that reads them whole")
        return codes[0].transpose(0, 1).flatten(0, 1)

    def codes_to_sound(self, codes: Tensor) -> Tensor:
        """Channel by channel, as the codec knows one."""
        apart = codes.unflatten(0, (-1, self.channels)).transpose(0, 1)
        sounds: Tensor = self.codec().decode(apart[None], [None] * self.channels).audio_values
        return sounds[:, 0]


@dataclass
class _State:
    cache: Any
    condition: Condition


def empty_cache() -> Any:
    """A cache of self-attention and one of cross-attention."""
    from transformers import DynamicCache, EncoderDecoderCache

    return EncoderDecoderCache(DynamicCache(), DynamicCache())


def embedded(tables: nn.ModuleList, ids: Tensor) -> Tensor:
    """(N, S, D) the summed embeddings of the streams' ids (N, K, S)."""
    return torch.stack([table(ids[:, k]) for k, table in enumerate(tables)]).sum(0)
