"""The frozen half of the reward: vectors of sounds and captions, each computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from prefalign.interfaces import Encoder, PrefalignError
from prefalign_audio.encoders.base import TextEncoder
from prefalign_audio.encoders.cache import EmbeddingCache
from prefalign_audio.encoders.load import encoder_rate, load_encoder, load_text_encoder
from prefalign_audio.rewards.codec import SoundText, SoundTextCodec


class Embeddings:
    """Vectors from two frozen encoders, through caches.

    Not a module: its weights are in no checkpoint and no optimiser sees them.

    Args:
        encoder: of sounds, or its name.
        text_encoder: of captions, or its name; None for the other half of `clap:ID`.
        cache: folder of the caches; the user's cache folder if None.
        resample, downmix: as for `load_encoder`; an encoder that is given brings its own.

    Raises:
        PrefalignError: for an unknown name, or a sound encoder without a text encoder.
    """

    def __init__(
        self,
        encoder: str | Encoder,
        text_encoder: str | TextEncoder | None,
        cache: str | None,
        resample: bool,
        downmix: bool,
    ) -> None:
        if text_encoder is None:
            if not (isinstance(encoder, str) and encoder.startswith("clap:")):
                raise PrefalignError(
                    "only clap:ID encodes captions too: give a text_encoder, such as clap:ID or transformers:ID"
                )
            text_encoder = encoder
        self.encoder, self.text_encoder, self.folder = encoder, text_encoder, None if cache is None else Path(cache)
        if not isinstance(encoder, str):
            if resample or downmix:
                raise PrefalignError("resample and downmix are settings of the encoder that is given: set them there")
            self.rate: int | None = getattr(encoder, "rate", None)
            resample, downmix = (bool(getattr(encoder, name, False)) for name in ("resample", "downmix"))
        else:
            self.rate = encoder_rate(encoder)
        self.resample, self.downmix = resample, downmix
        self._caches: tuple[EmbeddingCache, EmbeddingCache] | None = None

    def codec(self) -> SoundTextCodec:
        """The codec that lets pass what the sound encoder hears."""
        return SoundTextCodec(self.rate, self.resample, self.downmix)

    def load(self) -> None:
        """Load the encoders; calling it again changes nothing.

        Raises:
            PrefalignError: for weights that cannot be had.
        """
        if self._caches is not None:
            return
        sound, text = self.encoder, self.text_encoder
        if isinstance(sound, str):
            sound = load_encoder(sound, self.resample, self.downmix)
        if isinstance(text, str):
            shared = getattr(sound, "network", None) if text == self.encoder else None
            text = _clap_text(text, shared) if shared is not None else load_text_encoder(text)
        self._caches = (
            EmbeddingCache(sound.requires_grad_(False).eval(), self.folder, "embeddings of sounds"),
            EmbeddingCache(text.requires_grad_(False).eval(), self.folder, "embeddings of captions"),
        )

    @property
    def caches(self) -> tuple[EmbeddingCache, EmbeddingCache]:
        """The caches of sounds and of captions.

        Raises:
            PrefalignError: before `load`.
        """
        if self._caches is None:
            raise PrefalignError("the encoders are not loaded: call configure_model first")
        return self._caches

    @property
    def width(self) -> int:
        """Numbers in the vectors of sound and caption together."""
        return sum(cache.encoder.width for cache in self.caches)

    def fingerprint(self) -> str:
        """Hash of both encoders."""
        return hashlib.sha256(" ".join(cache.fingerprint for cache in self.caches).encode()).hexdigest()

    def prepare(self, codec: SoundTextCodec) -> None:
        """Compute what is new to the codec and not in the caches, in batches and with a progress bar."""
        (sounds, texts), (new_sounds, new_texts) = self.caches, codec.take_new()
        sounds.look_up(list(new_sounds), list(new_sounds.values()))
        texts.look_up(list(new_texts), list(new_texts.values()))

    def vectors(self, rows: Sequence[SoundText]) -> Tensor:
        """(N, width) vectors, sound before caption, on the CPU; what was not prepared is computed now."""
        sounds, texts = self.caches
        return torch.cat(
            [
                sounds.look_up([row.sound_key for row in rows], [row.medium for row in rows]),
                texts.look_up([row.text_key for row in rows], [row.text for row in rows]),
            ],
            dim=1,
        )


def _clap_text(name: str, network: torch.nn.Module) -> TextEncoder:
    """The caption half of the CLAP whose sound half is in memory already."""
    from prefalign_audio.encoders.clap import ClapText

    return ClapText(name.removeprefix("clap:"), network=network)
