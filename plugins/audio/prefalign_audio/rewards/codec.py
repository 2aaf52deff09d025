"""Records to sounds and captions: the light half of the reward, without weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prefalign.interfaces import Batch, Media, PreferenceRecord, Prompt, Relations
from prefalign_audio.encoders.base import checked_sound
from prefalign_audio.encoders.cache import sound_key, text_key
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import read_sound


@dataclass(frozen=True)
class SoundText:
    """One response: the sound and the caption that it answers.

    Attributes:
        medium: the sound.
        text: the caption.
        sound_key, text_key: hashes of their contents.
    """

    medium: Media
    text: str
    sound_key: str
    text_key: str


@dataclass(frozen=True)
class SoundTextExample:
    """One encoded record: a row per response."""

    record: PreferenceRecord
    rows: tuple[SoundText, ...]


class SoundTextCodec:
    """Records whose responses are one sound each, under a prompt of text.

    What it has checked once it does not read again. It remembers what is new to it, so that the reward can encode all
    of it at once before the first step.

    Args:
        rate: sample rate in Hz that the encoder wants; None leaves all checks but readability to the encoder.
        resample: let other rates pass.
        downmix: let several channels pass.
    """

    def __init__(self, rate: int | None, resample: bool = False, downmix: bool = False) -> None:
        self.rate, self.resample, self.downmix = rate, resample, downmix
        self._known: set[str] = set()
        self._new_sounds: dict[str, Media] = {}
        self._new_texts: dict[str, str] = {}

    def fingerprint(self) -> str:
        """Hash of what is let pass."""
        parts = (type(self).__name__, self.rate, self.resample, self.downmix)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def encode(self, record: PreferenceRecord) -> SoundTextExample:
        """One record as sounds and captions.

        Raises:
            RecordError: for responses that are not one sound each, prompts without text or with media, and sounds that
                cannot be used: unreadable, silent, of another rate, of several channels.
        """
        return SoundTextExample(record, tuple(self._row(record, index) for index in range(len(record.responses))))

    def _row(self, record: PreferenceRecord, index: int) -> SoundText:
        response, place = record.responses[index], f"responses[{index}]"
        others = response.text is not None or response.messages or response.token_ids is not None or response.arrays
        if others or [medium.kind for medium in response.media] != ["audio"]:
            raise record.error(
                "this reward judges one sound; expected a medium of kind 'audio' and nothing else", place
            )
        text = self._caption(record, record.context(index))
        (medium,) = response.media
        try:
            row = SoundText(medium, text, sound_key(medium), text_key(text))
            if row.sound_key not in self._known:
                self._check(medium)
                self._new_sounds[row.sound_key] = medium
        except SoundError as error:
            raise record.error(str(error), f"{place}.media[0]") from error
        if row.text_key not in self._known:
            self._new_texts[row.text_key] = text
        self._known |= {row.sound_key, row.text_key}
        return row

    def take_new(self) -> tuple[dict[str, Media], dict[str, str]]:
        """The sounds and captions met since the last call, by key."""
        new = self._new_sounds, self._new_texts
        self._new_sounds, self._new_texts = {}, {}
        return new

    def _check(self, medium: Media) -> None:
        if self.rate is None:
            read_sound(medium)
        else:
            checked_sound(medium, self.rate, self.resample, self.downmix)

    @staticmethod
    def _caption(record: PreferenceRecord, prompt: Prompt) -> str:
        if prompt.media:
            raise record.error("this reward reads captions only, and the prompt has media", "prompt.media")
        text = prompt.text or " ".join(message.text for message in prompt.messages)
        if not text.strip():
            raise record.error("expected a caption that the sound answers", "prompt.text")
        return text

    def collate(self, examples: Sequence[SoundTextExample], needs: frozenset[str] = frozenset()) -> Batch:
        """One batch whose input `rows` holds the sounds and captions in the order of the records."""
        rows = [row for example in examples for row in example.rows]
        inputs: dict[str, Any] = {"rows": rows}
        keys = [hashlib.sha256(f"{row.sound_key} {row.text_key}".encode()).hexdigest() for row in rows]
        return Batch(inputs, Relations.from_records([example.record for example in examples]), keys)
