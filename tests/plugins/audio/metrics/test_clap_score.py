"""CLAP score on a tiny CLAP."""

from collections.abc import Callable

import pytest
import torch

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.encoders.clap import ClapSound, ClapText
from prefalign_audio.metrics.clap_score import CLAPScore
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import wav_bytes
from prefalign_audio.sound.waveform import Waveform

CAPTIONS = ["a dog barks", "rain"]


def test_mean_cosine_by_checkpoint(clap: str, noise: Callable[..., Media]) -> None:
    """The mean of the cosines of unit vectors; a trailing slash does not empty the name."""
    sound, text = ClapSound(clap), ClapText(clap)
    sounds = [noise(0), noise(1)]
    cosines = (sound(sounds) * text(CAPTIONS)).sum(1)
    metric = CLAPScore(f"{clap}/", sound=sound, text=text)
    metric.update(sounds[:1], CAPTIONS[:1])
    metric.update(sounds[1:], CAPTIONS[1:])
    found = metric.compute()
    name = clap.rpartition("/")[2]
    assert set(found) == {f"clap_score/{name}", "clips"}
    assert found[f"clap_score/{name}"].item() == pytest.approx(cosines.mean().item(), abs=1e-6)
    assert found["clips"] == 2
    torch.testing.assert_close(metric.scores(sounds, CAPTIONS), cosines)
    assert cosines.min() < cosines.max()


def test_by_folder(clap: str, noise: Callable[..., Media]) -> None:
    """Loaded from its folder, it says the same as its two halves; both share one network."""
    metric = CLAPScore(clap)
    assert metric.sound.network is metric.text.network
    expected = (ClapSound(clap)([noise()]) * ClapText(clap)(CAPTIONS[:1])).sum(1)
    torch.testing.assert_close(metric.scores([noise()], CAPTIONS[:1]), expected)


def test_bad_sounds(clap: str, noise: Callable[..., Media]) -> None:
    """Another rate, two channels, silence, a cut file and a missing caption: refused, and nothing is counted."""
    metric = CLAPScore(clap)
    silence = Media(kind="audio", data=wav_bytes(Waveform(torch.zeros(1, 12_000), 48_000)))
    cut = Media(kind="audio", data=(noise().data or b"")[:-1000])
    for medium, message in {
        noise(rate=16_000): "expected a sample rate of 48000 Hz, got 16000 Hz",
        noise(channels=2): "expected one channel, got 2",
        silence: "the clip is silent",
        cut: "the file is cut off",
    }.items():
        with pytest.raises(SoundError, match=message):
            metric.update([medium], ["rain"])
    with pytest.raises(PrefalignError, match="expected one caption for each of 1 sounds, got 2"):
        metric.update([noise()], CAPTIONS)
    assert metric.clips == 0


def test_told_otherwise(clap: str, noise: Callable[..., Media]) -> None:
    """Resampling and mixing down are decisions of the user's."""
    metric = CLAPScore(clap, resample=True, downmix=True)
    assert metric.scores([noise(rate=16_000, channels=2)], ["rain"]).shape == (1,)


def test_refuses(clap: str) -> None:
    """Half a model, settings that would be ignored, the trainer's own checkpoint, no model."""
    sound, text = ClapSound(clap), ClapText(clap)
    with pytest.raises(PrefalignError, match="both halves"):
        CLAPScore(clap, sound=sound)
    with pytest.raises(PrefalignError, match="set them there"):
        CLAPScore(clap, sound=sound, text=text, resample=True)
    with pytest.raises(PrefalignError, match="is one of the 1 models that training used"):
        CLAPScore(clap, trainers=[sound.fingerprint()])
    assert CLAPScore(clap, trainers=["another"]).source == clap
    with pytest.raises(PrefalignError, match=r"there is no model folder '\./nowhere'"):
        CLAPScore("./nowhere")
