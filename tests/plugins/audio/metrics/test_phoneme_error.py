"""Phoneme error rate on sounds."""

import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.encoders.phone_recogniser import PhoneRecogniser
from prefalign_audio.metrics.phoneme_error import PhonemeErrorRate
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import wav_bytes
from prefalign_audio.sound.waveform import Waveform

needs_hama = pytest.mark.skipif(importlib.util.find_spec("hama") is None, reason="hama is not installed")


class Counter(PhoneRecogniser):
    """Hears one "a" in every tenth of a second."""

    def hear(self, samples: Tensor) -> list[str]:
        return ["a"] * (len(samples) // 1_600)

    def fingerprint(self) -> str:
        return "counter"


class Speller(Counter):
    """The same with a G2P that spells."""

    def __init__(self) -> None:
        super().__init__()
        self.g2p = list


def sound(seconds: float, rate: int = 16_000, channels: int = 1, scale: float = 0.1) -> Media:
    samples = scale * torch.randn(channels, round(seconds * rate), generator=torch.Generator().manual_seed(0))
    return Media(kind="audio", data=wav_bytes(Waveform(samples, rate)))


def test_utterances_are_summed() -> None:
    """ "aaa" heard as aa: 1 deletion of 3. "ba" heard as aaaa: b for a and 2 more, 3 errors of 2."""
    metric = PhonemeErrorRate(Speller())
    metric.update([sound(0.2)], ["aaa"])
    metric.update([sound(0.4)], [["b", "a"]])
    found = metric.compute()
    assert found["phoneme_error_rate"].item() == pytest.approx(4 / 5)
    assert found["substitutions"].item() == pytest.approx(1 / 5)
    assert found["deletions"].item() == pytest.approx(1 / 5)
    assert found["insertions"].item() == pytest.approx(2 / 5)
    assert (found["phonemes"], found["clips"], found["invalid"]) == (5, 2, 0)


def test_silence_and_snippets_are_counted_apart_and_are_no_success() -> None:
    metric = PhonemeErrorRate(Speller())
    metric.update([sound(0.5, scale=0.0), sound(0.09), sound(0.2)], ["aa", "aa", "aa"])
    found = metric.compute()
    assert found["invalid"].item() == pytest.approx(2 / 3)
    assert (found["phoneme_error_rate"], found["phonemes"], found["clips"]) == (0, 2, 3)
    only = PhonemeErrorRate(Speller())
    only.update([sound(0.5, scale=0.0)], ["aa"])
    assert only.compute()["phoneme_error_rate"].isnan()
    assert only.compute()["invalid"] == 1


def test_what_does_not_fit_is_refused_and_nothing_counted() -> None:
    metric = PhonemeErrorRate(Speller())
    for medium, message in {
        sound(0.2, rate=22_050): "expected a sample rate of 16000 Hz, got 22050 Hz; set resample",
        sound(0.2, channels=2): "expected one channel, got 2",
        Media(kind="audio", data=b"RIFF"): "no readable sound|cut off",
    }.items():
        with pytest.raises(SoundError, match=message):
            metric.update([medium], ["a"])
    with pytest.raises(PrefalignError, match="expected one lyric for each of 1 sounds, got 2"):
        metric.update([sound(0.2)], ["a", "b"])
    for empty in ("", ()):
        with pytest.raises(PrefalignError, match="lyric 0: no phoneme"):
            metric.update([sound(0.2)], [empty])
    with pytest.raises(PrefalignError, match="has no G2P; give g2p, or phonemes"):
        PhonemeErrorRate(Counter()).update([sound(0.2)], ["a"])
    assert metric.clips == 0


def test_settings() -> None:
    with pytest.raises(PrefalignError, match=r"unknown phone recogniser 'hma'.*hama"):
        PhonemeErrorRate("hma")
    with pytest.raises(PrefalignError, match="unknown phone recogniser 'ctc'"):
        PhonemeErrorRate("ctc")
    with pytest.raises(PrefalignError, match="set them there"):
        PhonemeErrorRate(Counter(), resample=True)
    with pytest.raises(PrefalignError, match="is one of the 1 models that training used"):
        PhonemeErrorRate(Counter(), trainers=["counter"])
    metric = PhonemeErrorRate(Counter(), g2p=list)
    metric.update([sound(0.1)], ["a"])
    assert metric.compute()["phoneme_error_rate"] == 0


@needs_hama
def test_resampling_is_a_decision_of_the_user_s() -> None:
    metric = PhonemeErrorRate("hama", resample=True, downmix=True)
    metric.update([sound(0.5, rate=22_050, channels=2)], ["a cat"])
    assert metric.compute()["phonemes"] == 4


@needs_hama
@pytest.mark.skipif(importlib.util.find_spec("espeakng_loader") is None, reason="espeakng_loader is not installed")
def test_it_tells_the_lyric_that_was_spoken_from_another(tmp_path: Path) -> None:
    """Two sentences in espeak-ng's voice, under their own text and under each other's."""
    from prefalign_audio.songs.espeak import RATE, Utterance, speak

    texts = ["we hold these truths to be self evident", "he was not an ill disposed young man"]
    spoken = speak([Utterance(text, False, 110, 150) for text in texts], "en-us")
    sounds = [Media(kind="audio", data=wav_bytes(Waveform(one.samples[None], RATE))) for one in spoken]
    right, wrong = (PhonemeErrorRate("hama", resample=True) for _ in range(2))
    right.update(sounds, texts)
    wrong.update(sounds, texts[::-1])
    assert right.compute()["phoneme_error_rate"] < 0.4
    assert wrong.compute()["phoneme_error_rate"] > 0.7


@pytest.mark.real
@needs_hama
def test_real_speech() -> None:
    """Debian's pocketsphinx-testdata, unpacked into PREFALIGN_POCKETSPHINX: 20 errors of 323 phonemes, 0.062."""
    folder = os.environ.get("PREFALIGN_POCKETSPHINX")
    if not folder:
        pytest.skip("PREFALIGN_POCKETSPHINX does not name the unpacked usr/share/pocketsphinx/test/data")
    metric = PhonemeErrorRate("hama")
    for part, transcript in (("librivox", "transcription"), ("cards", "cards.transcription")):
        lines = (Path(folder) / part / transcript).read_text("utf-8").splitlines()
        found = [match for line in lines if (match := re.match(r"(?:<s>)?(.*?)(?:</s>)?\s*\((\S+)\)", line))]
        paths = [Path(folder) / part / f"{match[2]}.wav" for match in found]
        metric.update([Media(kind="audio", path=str(path)) for path in paths], [match[1] for match in found])
    figures = metric.compute()
    assert (figures["clips"], figures["phonemes"], figures["invalid"]) == (10, 323, 0)
    assert 0.05 < figures["phoneme_error_rate"] < 0.075


def test_processes_share_their_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every state is a sum, so that two processes' states add up to one's."""
    reductions: dict[str, Callable[..., object] | None] = PhonemeErrorRate(Counter())._reductions
    assert set(reductions) == {"counts", "clips", "invalid"}
    assert all(torch.equal(reduce(torch.ones(2, 3)), torch.tensor(2.0).expand(3)) for reduce in reductions.values())  # type: ignore[misc]
