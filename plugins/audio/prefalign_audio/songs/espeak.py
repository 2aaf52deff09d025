"""Syllables spoken by espeak-ng at a constant pitch, through the package espeakng_loader (extra `songs`).

espeak-ng is under the GPL-3. It is neither shipped nor linked: a process of its own loads it where the user has
installed it.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefalign.interfaces.errors import unknown_name
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.song import Syllable

RATE = 22_050  # Hz, espeak-ng's own
#: Whole Hz that espeak-ng keeps to exactly; below, formants blur into a rattle, above, no vowel can be told.
LOWEST, HIGHEST = 50, 1100

#: The language whose phonemes are known by their IPA.
GERMAN = "de"

_LONGEST = 60.0  # seconds that a song's worth of syllables may take; it is a matter of milliseconds


def _table(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split())


#: German phonemes: IPA, as espeak-ng and as dictionaries write it, to espeak-ng's own name.
VOWELS = _table(
    "a=a ɑ=a aː=A: ɑː=A: ɛ=E ɛː=E: e=e: eː=e: ə=@ ɐ=3 ɜ=3 ɐ̯=3 ɪ=I i=i: iː=i: ɔ=O o=o: oː=o: ʊ=U u=u: uː=u: ʏ=y "
    "y=y: yː=y: œ=W ø=Y: øː=Y: aɪ=aI aɪ̯=aI aʊ=aU aʊ̯=aU ɔʏ=OY ɔʏ̯=OY ɔɪ=OY ɔø=OY ʊɐ=UR"
)
CONSONANTS = _table(
    "b=b ç=C d=d dʒ=dZ d͡ʒ=dZ f=f g=g ɡ=g h=h j=j k=k l=l m=m n=n ŋ=N p=p pf=pF p͡f=pF r=r ɾ=r ʁ=r ʀ=r s=s ʃ=S "
    "t=t ts=ts t͡s=ts tʃ=tS t͡ʃ=tS v=v w=w x=x z=z ʒ=Z ʔ=?"
)
PHONEMES = VOWELS | CONSONANTS

#: What is sung where no syllable is asked for.
OPEN = Syllable("a", ("aː",))


class VoiceMissing(SongError):
    """espeak-ng is not installed; the message holds the command that installs it."""


@dataclass(frozen=True)
class Utterance:
    """What one call of espeak-ng speaks.

    Attributes:
        text: words, or names of espeak-ng's phonemes in double square brackets.
        phonemes: whether it is such names.
        hertz: constant pitch, whole Hz from 50 to 1100.
        speed: words per minute, 80 to 450.
    """

    text: str
    phonemes: bool
    hertz: int
    speed: int


@dataclass(frozen=True, eq=False)
class Spoken:
    """One syllable as it was spoken.

    Attributes:
        samples: (frames,) float32 at 22,050 Hz.
        hertz: pitch, to which its voiced frames keep.
        nucleus: first frame of its vowel, and the one behind it.
    """

    samples: Tensor
    hertz: int
    nucleus: tuple[int, int]


def utterance(syllable: Syllable, hertz: float, speed: int, language: str = GERMAN) -> Utterance:
    """How a syllable is spoken: in German by its phonemes if it has any; in other languages as it is written.

    Raises:
        SongError: for a phoneme that is not known, with near ones; a syllable of nothing; or a pitch that no voice has.
    """
    if not LOWEST <= round(hertz) <= HIGHEST:
        raise SongError(f"no voice sings {hertz:.1f} Hz; expected {LOWEST} to {HIGHEST} Hz (MIDI pitch 32 to 84)")
    if language == GERMAN and syllable.phonemes:
        for phoneme in syllable.phonemes:
            if phoneme not in PHONEMES:
                raise SongError(f"syllable {syllable.text!r}: {unknown_name('phoneme', phoneme, PHONEMES)}")
        # The bar keeps neighbours apart that would be one name together, such as t and s.
        names = "|".join(PHONEMES[phoneme] for phoneme in syllable.phonemes)
        return Utterance(f"[[{names}]]", True, round(hertz), speed)
    if not any(character.isalnum() for character in syllable.text):
        raise SongError(f"syllable {syllable.text!r} has neither phonemes nor letters; nothing of it can be sung")
    return Utterance(syllable.text, False, round(hertz), speed)


def speak(utterances: Sequence[Utterance], language: str = GERMAN) -> list[Spoken]:
    """Speak utterances one after the other; the same list always gives the same samples.

    Args:
        utterances: what.
        language: name of one of espeak-ng's voices.

    Raises:
        VoiceMissing: espeakng_loader is not installed.
        SongError: for an unknown language, an utterance that gives no sound, or a library that does not run.
    """
    if not utterances:
        return []
    ensure_voice()
    request = json.dumps({"language": language, "utterances": [vars(one) for one in utterances]})
    command = [sys.executable, "-m", "prefalign_audio.songs.espeak_process"]
    try:
        ended = subprocess.run(command, input=request.encode(), capture_output=True, timeout=_LONGEST, check=True)
        found = json.loads(ended.stdout)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        said = (getattr(error, "stderr", None) or b"").decode("utf-8", "replace").strip()[-300:]
        raise SongError(f"espeak-ng does not run here ({error}) {said}".rstrip()) from None
    if "error" in found:
        raise SongError(f"{found['error']}; expected one such as 'de' or 'en-us'")
    if found["rate"] != RATE:
        raise SongError(f"expected espeak-ng to speak at {RATE} Hz, and it does at {found['rate']} Hz")
    return [_spoken(asked, one) for asked, one in zip(utterances, found["utterances"], strict=True)]


def voice_installed() -> bool:
    """Whether espeakng_loader is there."""
    return importlib.util.find_spec("espeakng_loader") is not None


def ensure_voice() -> None:
    """Raises:
    VoiceMissing: espeakng_loader is not installed."""
    if not voice_installed():
        raise VoiceMissing(
            "espeakng_loader, whose espeak-ng sings the syllables, is not installed: "
            'pip install "prefalign-audio[songs]"; or ask for the voice choir'
        )


def _spoken(asked: Utterance, found: dict[str, Any]) -> Spoken:
    data = np.frombuffer(base64.b64decode(found["samples"]), dtype="<i2")
    ends = [*(frame for frame, _ in found["events"][1:]), len(data)]
    spans = [(name, start, stop) for (start, name), stop in zip(found["events"], ends, strict=True)]
    spans = [span for span in spans if not span[0].startswith("_")]  # pauses
    if not spans:
        raise SongError(f"espeak-ng gives no sound for {asked.text!r}; expected a syllable that can be spoken")
    vowels = [span for span in spans if span[0].lstrip("',%=")[:1] in tuple("aeiouyAEIOUVWY@0123&")]
    # A whole word as one syllable is held on its stressed vowel; without any vowel the longest sound is held.
    stressed = [span for span in vowels if span[0].startswith("'")]
    _, start, stop = (stressed or vowels or [max(spans, key=lambda span: span[2] - span[1])])[0]
    return Spoken(torch.from_numpy(data.astype(np.float32) / 32768), asked.hertz, (start, stop))
