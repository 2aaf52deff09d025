"""Encoders by name, so that a config or a command can say which one it wants.

| name | what | rate | width |
|---|---|---|---|
| `mel_statistics`, `mel_statistics:RATE` | mean and spread of mel bands, no weights | 16,000 Hz or RATE | 128 |
| `aisfx` | embedding of sound effects | 44,100 Hz | 512 |
| `musicnn` | embedding of music; also 50 tags | 16,000 Hz | 200 |
| `distillmos` | quality of speech, 1 score | 16,000 Hz | 1 |
| `dnsmos` | quality of speech, background, overall | 16,000 Hz | 3 |
| `audiobox` | aesthetics of any sound, 4 scores | 16,000 Hz | 4 |
| `clap:ID` | CLAP by Transformers id or folder | its own (48,000 Hz) | its own (512) |
| `transformers:ID` | Wav2Vec2, WavLM, HuBERT or AST by id or folder | its own | its own |
"""

from __future__ import annotations

import importlib
from typing import Any

from prefalign.interfaces import PrefalignError, unknown_name
from prefalign_audio.encoders.base import SoundEncoder, TextEncoder

#: Module and class of each encoder that needs no further word.
_NAMED = {
    "mel_statistics": ("mel_statistics", "MelStatistics"),
    "aisfx": ("aisfx", "Aisfx"),
    "musicnn": ("musicnn", "Musicnn"),
    "distillmos": ("distillmos", "DistillMOS"),
    "dnsmos": ("dnsmos", "DNSMOS"),
    "audiobox": ("audiobox", "AudioboxAesthetics"),
}

#: What is read of a Transformers id or folder, for sound and for text.
_FAMILIES = {
    "clap": ("clap", "ClapSound", "ClapText"),
    "transformers": ("transformers_models", "TransformersSound", "TransformersText"),
}

NAMES = (*_NAMED, "mel_statistics:RATE", *(f"{family}:ID" for family in _FAMILIES))
TEXT_NAMES = tuple(f"{family}:ID" for family in _FAMILIES)


def load_encoder(name: str, resample: bool = False, downmix: bool = False) -> SoundEncoder:
    """The sound encoder of a name; see the table above.

    Args:
        name: a name of the table.
        resample: bring files of another sample rate to the encoder's; they are refused otherwise.
        downmix: take the mean of several channels; they are refused otherwise.

    Raises:
        PrefalignError: for an unknown name, with near ones; for weights that are not installed or cannot be had, with
            what to install.
    """
    options: dict[str, Any] = {"resample": resample, "downmix": downmix}
    family, _, source = name.partition(":")
    if family in _FAMILIES and source:
        return _class(*_FAMILIES[family][:2])(source, **options)
    if family == "mel_statistics" and source:
        options["rate"] = _rate(name, source)
    elif name not in _NAMED:
        raise _unknown("encoder", name, NAMES)
    return _class(*_NAMED[family])(**options)


def load_text_encoder(name: str) -> TextEncoder:
    """The caption encoder `clap:ID` or `transformers:ID`.

    Raises:
        PrefalignError: for an unknown name, or weights that cannot be had.
    """
    family, _, source = name.partition(":")
    if family not in _FAMILIES or not source:
        raise _unknown("text encoder", name, TEXT_NAMES)
    module, _, text_class = _FAMILIES[family]
    return _class(module, text_class)(source)


def encoder_rate(name: str) -> int:
    """Sample rate in Hz of the encoder of a name, had without loading its weights.

    Raises:
        PrefalignError: for an unknown name, or an extractor that cannot be had.
    """
    family, _, source = name.partition(":")
    if family == "clap" and source:
        from prefalign_audio.encoders.clap import clap_extractor

        return int(clap_extractor(source).sampling_rate)
    if family == "transformers" and source:
        from prefalign_audio.encoders.transformers_models import sound_extractor

        return int(sound_extractor(source).sampling_rate)
    if family == "mel_statistics":
        return _rate(name, source) if source else 16_000
    if name not in _NAMED:
        raise _unknown("encoder", name, NAMES)
    return int(_class(*_NAMED[name]).rate)


def _class(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"prefalign_audio.encoders.{module}"), name)


def _rate(name: str, text: str) -> int:
    if not text.isdecimal() or not 1000 <= int(text) <= 384_000:
        raise PrefalignError(f"encoder {name!r}: expected a sample rate from 1000 to 384000 Hz behind the colon")
    return int(text)


def _unknown(kind: str, name: str, known: tuple[str, ...]) -> PrefalignError:
    family, colon, source = name.partition(":")
    if family in _FAMILIES and not source:
        return PrefalignError(f"{kind} {name!r}: expected the id or folder of a model, as in {family}:ID")
    if family in _NAMED and colon:
        return PrefalignError(f"{kind} {name!r}: {family} takes nothing behind a colon")
    return unknown_name(kind, name, known)
