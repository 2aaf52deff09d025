"""Dia: dialogue as DAC's codes, under the bytes of a script by cross-attention.

The weights of nari-labs/Dia-1.6B are under Apache 2.0.

Axes: N rows, M rows that are written, C prompts, K streams (Transformers: channels), S steps, L bytes, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from prefalign.interfaces import Prompt
from prefalign.models.pretrained import from_pretrained
from prefalign_audio.streams.model import Choose, Condition, Conditioner, StreamLayout
from prefalign_audio.streams.models.musicgen import MASK, STATES, empty_cache
from prefalign_audio.streams.models.text import TextConditioner
from prefalign_audio.streams.models.transformers_base import TransformersStreamModel, cache_argument
from prefalign_audio.streams.pattern import DelayPattern

#: The codec of Dia's checkpoints, which do not hold it.
CODEC = "descript/dac_44khz"


class DiaConditioner(TextConditioner):
    """Reads a script: text, or the condition `lyrics`, with the speakers' tags [S1] and [S2]."""

    def __init__(self, tokenizer: Any, longest: int) -> None:
        super().__init__(tokenizer, "lyrics", longest)

    def encode(self, prompt: Prompt) -> dict[str, Tensor]:
        """As of a text; one that is not heard is as many bytes of padding, as in Transformers' guidance."""
        found = super().encode(prompt)
        ids = found["input_ids"] if len(found["input_ids"]) else torch.zeros(1, dtype=torch.long)
        return {**found, "input_ids": ids * found["heard"]}


class Dia(TransformersStreamModel):
    """Dia by hub id, folder, or values of a tiny config.

    The encoder of the script is a part of the model, trained with it; the codec is not, and is loaded when the first
    sound is encoded or decoded.

    Args:
        model, dtype, init_seed, resample, downmix: as in `TransformersStreamModel`.
        codec: hub id or folder of the DAC; a tiny one beside a tiny model.
    """

    family = "dia"
    model_class = "DiaForConditionalGeneration"

    def __init__(self, model: str | dict[str, Any], codec: str = CODEC, **options: Any) -> None:
        super().__init__(model, **options)
        self.codec_source = codec

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Three codebooks of 16 entries."""
        encoder = {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}
        return {
            "delay_pattern": [0, 2, 3],
            "encoder_config": {**encoder, "intermediate_size": 32, "num_hidden_layers": 1},
            "decoder_config": {
                **encoder,
                "num_key_value_heads": 1,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "cross_num_attention_heads": 2,
                "cross_num_key_value_heads": 2,
                "cross_head_dim": 8,
                "cross_hidden_size": 16,
                "vocab_size": 20,
                "num_channels": 3,
                "eos_token_id": 16,
                "pad_token_id": 17,
                "bos_token_id": 18,
            },
        }

    def make_layout(self) -> StreamLayout:
        """The config's delays; a stream begins with bos, ends with eos, and is padded behind it.

        Before its delay Dia reads bos in a stream, where a row has `fill`; see `_read`.
        """
        decoder, count = self.config.decoder_config, len(self.config.delay_pattern)
        special = (decoder.bos_token_id, decoder.eos_token_id, decoder.pad_token_id)
        start, end, fill = ((value,) * count for value in special)
        return StreamLayout(DelayPattern(self.config.delay_pattern), (min(special),) * count, start, fill, end)

    def make_conditioner(self) -> Conditioner:
        """Bytes."""
        from transformers import AutoTokenizer, DiaTokenizer

        tokenizer = from_pretrained(AutoTokenizer, self.source) if isinstance(self.source, str) else DiaTokenizer()
        return DiaConditioner(tokenizer, self.config.encoder_config.max_position_embeddings)

    def take_apart(self, whole: Any) -> Any:
        """All of it."""
        return whole

    def whole(self) -> Any:
        """The network itself."""
        return self.base

    def condition(self, inputs: Mapping[str, Tensor]) -> Condition:
        """The encoder's states (C, L, D), with gradient, and their mask (C, L)."""
        mask = inputs["attention_mask"]
        states = self.base.model.encoder(input_ids=inputs["input_ids"], attention_mask=mask).last_hidden_state
        return {STATES: states, MASK: mask}

    def hidden(
        self, ids: Tensor, present: Tensor, condition: Condition, streams: Sequence[int]
    ) -> dict[int, tuple[Tensor, Callable[[Tensor], Tensor]]]:
        """One pass; the streams share their hidden states."""
        states = self._read(ids[:, :, :-1], 0, condition)
        return {k: (states, self._head(k)) for k in streams}

    def _read(self, ids: Tensor, first: int, condition: Condition, cache: Any = None) -> Tensor:
        """(N, S, D) states behind the ids (N, K, S) of the steps from `first` on."""
        decoder = self.base.model.decoder
        steps = torch.arange(first, first + ids.shape[-1], device=ids.device)
        waiting = steps <= torch.tensor(self.layout.pattern.delays, device=ids.device)[:, None]
        ids = torch.where(waiting, torch.tensor(self.layout.start, device=ids.device)[:, None], ids)
        cached = {} if cache is None else cache_argument(decoder, cache)
        states: Tensor = decoder(
            input_ids=ids.transpose(1, 2).contiguous(), **condition, use_cache=cache is not None, **cached
        ).last_hidden_state
        return states

    def _head(self, stream: int) -> Callable[[Tensor], Tensor]:
        """The rows of the one output layer that belong to a stream."""
        layer, size = self.base.logits_dense, self.config.decoder_config.vocab_size
        rows = slice(stream * size, (stream + 1) * size)
        if type(layer) is nn.Linear:
            return lambda states: linear(states, layer.weight[rows])
        return lambda states: layer(states)[..., rows]  # under an adapter

    @torch.no_grad()
    def begin(self, condition: Condition, steps: int) -> Any:
        """Empty caches; the encoder's states enter with the first step."""
        return _State(empty_cache(), condition)

    @torch.no_grad()
    def step(self, state: Any, ids: Tensor, choose: Choose) -> Tensor:
        """The next ids, which one pass predicts for all streams."""
        states = self._read(ids[..., None], state.steps, state.condition, state.cache)[:, -1]
        state.steps += 1
        logits = self.base.logits_dense(states).unflatten(-1, (ids.shape[1], -1))
        return torch.stack([choose(k, logits[:, k]) for k in range(ids.shape[1])], dim=1)

    # Sounds ----------------------------------------------------------------------------------------------------------

    @property
    def rate(self) -> int:
        """DAC's."""
        return int(self.codec().config.sampling_rate)

    def codec(self) -> Any:
        """The DAC, which is loaded here."""
        from transformers import DacConfig, DacModel

        if "codec" not in self.beside:
            if isinstance(self.source, str):
                codec = from_pretrained(DacModel, self.codec_source)
            else:
                config = DacConfig(
                    encoder_hidden_size=4,
                    downsampling_ratios=[4, 8],
                    decoder_hidden_size=16,
                    n_codebooks=len(self.layout.codes),
                    codebook_size=self.layout.codes[0],
                    codebook_dim=4,
                    sampling_rate=1600,
                )
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(self.init_seed)
                    codec = DacModel(config)
            self.beside["codec"] = codec.requires_grad_(False).eval()
        return self.part("codec")

    def sound_to_codes(self, samples: Tensor) -> Tensor:
        """Silence fills the last frame."""
        codec = self.codec()
        samples = pad(samples, (0, -samples.shape[1] % codec.config.hop_length))
        codes: Tensor = codec.encode(samples[None]).audio_codes[0]
        return codes

    def codes_to_sound(self, codes: Tensor) -> Tensor:
        """One channel."""
        sound: Tensor = self.codec().decode(audio_codes=codes[None]).audio_values
        return sound.reshape(1, -1)


@dataclass
class _State:
    cache: Any
    condition: Condition
    steps: int = 0
