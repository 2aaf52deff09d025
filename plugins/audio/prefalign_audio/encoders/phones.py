"""Recognisers of phonemes: what is sung, as IPA; and G2P, what should be.

| name | what | needs |
|---|---|---|
| `hama` | a small CTC phone recogniser with a G2P for English and Korean (Apache-2.0) | `prefalign-audio[phones]` |
| `ctc:ID` | Wav2Vec2, WavLM or HuBERT with a CTC head over phonemes or letters, by id or folder | Transformers' model |
| `whisper:ID` | Whisper by id or folder; its words go through a G2P | Transformers' model |
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

from torch import Tensor

from prefalign.interfaces import PrefalignError, unknown_name
from prefalign_audio.encoders.packages import PackagedFile
from prefalign_audio.encoders.phone_recogniser import G2P, PhoneRecogniser

NAMES = ("hama", "ctc:ID", "whisper:ID")

ASR = PackagedFile(
    "hama",
    "hama==1.7.0",
    "assets/asr_waveform.hama",
    "a9fcfe73e179ca48e399cd76a90a6b3e1887bf5037ecc52b778d13a149563328",
)

_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


class HamaPhones(PhoneRecogniser):
    """hama's phone recogniser, of 4.7 MB, and its G2P.

    16,000 Hz. Trained on speech: long notes are heard worse. Its G2P knows English and Korean.

    Args:
        resample, downmix: as for `PhoneRecogniser`.

    Raises:
        PrefalignError: if hama is not installed, or in another release.
    """

    def __init__(self, resample: bool = False, downmix: bool = False) -> None:
        super().__init__(resample, downmix)
        self._model: Any = _hama().ASRModel()
        self.g2p = hama_g2p()

    def hear(self, samples: Tensor) -> list[str]:
        """The phonemes without boundaries of words."""
        found = self._model.transcribe_waveform(samples.cpu().numpy(), sample_rate=self.rate).phonemes
        return [str(name) for name in found if name != "<wb>"]

    def fingerprint(self) -> str:
        """The hash of the weights' file."""
        return ASR.sha256


def hama_g2p() -> G2P:
    """hama's G2P, for English and Korean.

    Raises:
        PrefalignError: if hama is not installed.
    """
    model: Any = _hama().G2PModel()

    def phonemes(text: str) -> list[str]:
        return [str(one.phoneme) for word in words(text) for one in model.predict(word).alignments if one.phoneme]

    return phonemes


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    Raises:
        PrefalignError: for digits, which every language reads in its own way.
    """
    if any(character.isdigit() for character in text):
        raise PrefalignError(f"{text[:60]!r}: no G2P reads digits; write numbers as words")
    return [word.lower().replace("’", "'") for word in _WORDS.findall(text)]


def load_recogniser(
    name: str, *, g2p: G2P | None = None, resample: bool = False, downmix: bool = False
) -> PhoneRecogniser:
    """The recogniser of a name of the table above.

    Args:
        name: a name of the table.
        g2p: what turns the words of a recogniser of words into phonemes.
        resample, downmix: as for `PhoneRecogniser`.

    Raises:
        PrefalignError: for an unknown name, with near ones; or a model that cannot be had.
    """
    family, _, source = name.partition(":")
    if name == "hama":
        found: PhoneRecogniser = HamaPhones(resample, downmix)
    elif family in ("ctc", "whisper") and source:
        from prefalign_audio.encoders import transformers_phones

        kind = transformers_phones.CTCPhones if family == "ctc" else transformers_phones.WhisperPhones
        found = kind(source, g2p=g2p, resample=resample, downmix=downmix)
    else:
        raise unknown_name("phone recogniser", name, NAMES)
    return found


def _hama() -> ModuleType:
    try:
        import hama
    except ImportError:
        raise PrefalignError(
            'hama, which hears phonemes, is not installed: pip install "prefalign-audio[phones]"'
        ) from None
    ASR.find()
    return hama
