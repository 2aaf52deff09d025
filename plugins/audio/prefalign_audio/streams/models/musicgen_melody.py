"""MusicGen Melody (arXiv 2306.05284 section 2.3): the same decoder with chroma and text in front of the codes.

The weights of facebook/musicgen-melody are for non-commercial use (CC-BY-NC 4.0).

Axes: N rows, M rows that are written, C prompts, K streams, S steps, P places of chroma and text, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError, Prompt
from prefalign.models.pretrained import from_pretrained
from prefalign_audio.encoders.base import checked_sound
from prefalign_audio.streams.model import Choose, Condition, Conditioner
from prefalign_audio.streams.models.musicgen import MusicGen, embedded
from prefalign_audio.streams.models.text import UNCONDITIONAL, TextConditioner, written
from prefalign_audio.streams.models.transformers_base import at_places, cache_argument, packed

PREFIX, LENGTH = "prefix", "length"


class MelodyConditioner(TextConditioner):
    """Reads a description, and the melody of at most one sound.

    A melody is the loudest of the pitch classes in each frame. Transformers hears the sound as it is; MusicGen's
    training heard it without drums and bass.

    Args:
        tokenizer: T5's.
        chroma: (frames, pitch classes) of the condition.
        extractor: source of the feature extractor for `from_pretrained`; or its values for a tiny model.
        resample, downmix: as in `MusicGen`, for melodies.
    """

    def __init__(
        self,
        tokenizer: Any,
        chroma: tuple[int, int],
        extractor: str | dict[str, Any],
        resample: bool = False,
        downmix: bool = False,
    ) -> None:
        super().__init__(tokenizer, "description")
        self.chroma, self.source, self.resample, self.downmix = chroma, extractor, resample, downmix
        self._extractor: Any = None

    def encode(self, prompt: Prompt) -> dict[str, Tensor]:
        """As of a text, and `chroma` (frames, pitch classes), the melody over and over.

        Raises:
            PrefalignError: as for a text; and for several sounds, or a melody that is longer than the condition.
        """
        found, (frames, classes) = super().encode(prompt), self.chroma
        if prompt.media and not prompt.conditions.get(UNCONDITIONAL):
            melody = self._melody(prompt)
        else:
            # The first pitch class throughout stands for no melody.
            melody = torch.nn.functional.one_hot(torch.zeros(1, dtype=torch.long), classes).float()
        if len(melody) > frames:
            raise PrefalignError(f"the melody has {len(melody)} frames, and the model hears {frames}; cut it")
        return {**found, "chroma": melody.repeat(-(-frames // len(melody)), 1)[:frames]}

    def check(self, prompt: Prompt) -> None:
        """One sound is read besides the text."""
        kinds = [medium.kind for medium in prompt.media]
        if kinds not in ([], ["audio"]):
            raise PrefalignError(f"expected no media or one sound as melody, got media {kinds}")
        super().check(Prompt(text=prompt.text, messages=prompt.messages, conditions=prompt.conditions))

    def _melody(self, prompt: Prompt) -> Tensor:
        if self._extractor is None:
            self._extractor = self._load()
        rate = int(self._extractor.sampling_rate)
        sound = checked_sound(prompt.media[0], rate, self.resample, self.downmix).resampled(rate)
        found: Tensor = self._extractor(
            sound.samples[0].numpy(), sampling_rate=rate, padding=True, truncation=False, return_tensors="pt"
        )["input_features"]
        return found[0]

    def _load(self) -> Any:
        from transformers import AutoFeatureExtractor, MusicgenMelodyFeatureExtractor

        if isinstance(self.source, str):
            return from_pretrained(AutoFeatureExtractor, self.source)
        return MusicgenMelodyFeatureExtractor(**self.source)

    def collate(self, encoded: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """As of a text, and `chroma` (C, frames, pitch classes)."""
        return {**super().collate(encoded), "chroma": torch.stack([one["chroma"] for one in encoded])}

    def files(self) -> dict[str, str]:
        """Those of tokenizer and feature extractor."""
        return super().files() | written(self._extractor or self._load())


class MusicGenMelody(MusicGen):
    """MusicGen Melody, mono or stereo; its prompts may bring a sound whose melody is followed.

    The decoder is trained; T5 and the projections of text and chroma stay as they are.

    Args:
        model, dtype, init_seed, resample, downmix: as in `MusicGen`.
    """

    family = "musicgen_melody"
    model_class = "MusicgenMelodyForConditionalGeneration"
    _projections = ("enc_to_dec_proj", "audio_enc_to_dec_proj")

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """MusicGen's, under ten frames of chroma."""
        return {**super().tiny(), "chroma_length": 10}

    def make_conditioner(self) -> Conditioner:
        """T5's tokenizer and the chroma's extractor."""
        tiny = {"sampling_rate": self.rate, "n_fft": 1024, "hop_length": 256, "chunk_length": 1}
        return MelodyConditioner(
            self._tokenizer(),
            (self.config.chroma_length, self.config.num_chroma),
            self.source if isinstance(self.source, str) else tiny,
            self.resample,
            self.downmix,
        )

    @torch.no_grad()
    def condition(self, inputs: Mapping[str, Tensor]) -> Condition:
        """Chroma and text in front of each other (C, P, D), and the length (C,) of both."""
        chroma = inputs["chroma"]
        if "audio_enc_to_dec_proj" in self.beside:
            projection = self.part("audio_enc_to_dec_proj")
            chroma = projection(chroma.to(projection.weight.dtype))
        prefix = torch.cat([chroma, self._text_states(inputs).to(chroma.dtype)], dim=1)
        return {PREFIX: prefix, LENGTH: chroma.shape[1] + inputs["attention_mask"].sum(1)}

    def hidden(
        self, ids: Tensor, present: Tensor, condition: Condition, streams: Sequence[int]
    ) -> dict[int, tuple[Tensor, Callable[[Tensor], Tensor]]]:
        """One pass over prefix and row; the streams share their hidden states."""
        decoder = self.base.model
        codes = embedded(decoder.decoder.embed_tokens, ids[:, :, :-1])
        rows, places = packed(condition[PREFIX].to(codes.dtype), condition[LENGTH], codes)
        states = at_places(decoder(inputs_embeds=rows, use_cache=False).last_hidden_state, places)
        heads = self.base.lm_heads
        return {k: (states, heads[k]) for k in streams}

    @torch.no_grad()
    def begin(self, condition: Condition, steps: int) -> Any:
        """A cache that has read the prefixes."""
        from transformers import DynamicCache

        prefix, length = condition[PREFIX].to(self.base.dtype), condition[LENGTH]
        mask = torch.arange(prefix.shape[1], device=prefix.device) < length[:, None]
        state = _State(DynamicCache(), mask.long(), length)
        self._read(prefix, state)
        return state

    @torch.no_grad()
    def step(self, state: Any, ids: Tensor, choose: Choose) -> Tensor:
        """The next ids, which one pass predicts for all streams."""
        decoder = self.base.model.decoder
        codes = embedded(decoder.embed_tokens, ids[..., None])
        written = state.mask.shape[1]
        if bool((state.next < written).any()):
            # Shorter prefixes leave a gap in the cache, which the mask hides; the decoder numbers places across it.
            here = decoder.embed_positions(codes, written)
            codes = codes + (decoder.embed_positions.weights[state.next][:, None] - here).to(codes.dtype)
        state.mask = torch.cat([state.mask, state.mask.new_ones(len(ids), 1)], dim=1)
        state.next = state.next + 1
        states = self._read(codes, state)[:, -1]
        return torch.stack([choose(k, head(states)) for k, head in enumerate(self.base.lm_heads)], dim=1)

    def _read(self, embeddings: Tensor, state: _State) -> Tensor:
        decoder = self.base.model
        states: Tensor = decoder(
            inputs_embeds=embeddings,
            attention_mask=state.mask,
            use_cache=True,
            **cache_argument(decoder, state.cache),
        ).last_hidden_state
        return states


@dataclass
class _State:
    """A cache, which places of it are real (M, L), and the number of the next place of each row (M,)."""

    cache: Any
    mask: Tensor
    next: Tensor
