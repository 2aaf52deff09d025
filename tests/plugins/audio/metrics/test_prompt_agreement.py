"""Prompt agreement with a tagger and a text encoder whose numbers are known."""

import importlib.util
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.encoders.base import TextEncoder
from prefalign_audio.metrics.prompt_agreement import PromptAgreement

NAMES = ("piano", "choir", "drums")


class Tags:
    """Reads the probabilities of three tags from a medium's bytes: hundredths."""

    def tags(self, media: Sequence[Media]) -> Tensor:
        return torch.tensor([[byte / 100 for byte in medium.data or b""] for medium in media])

    def fingerprint(self) -> str:
        return "tags"


class Words(TextEncoder):
    """Counts the three names in a text."""

    width = 3

    def forward(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([[float(text.count(name)) for name in NAMES] for text in texts])

    def fingerprint(self) -> str:
        return "words"


def sound(*hundredths: int) -> Media:
    return Media(kind="audio", data=bytes(hundredths))


def test_mean_log_odds_of_the_named_tags() -> None:
    """log 4; and the mean of log 9 and log 1."""
    metric = PromptAgreement(Tags(), NAMES)
    metric.update([sound(80, 1, 1)], ["a piano"])
    metric.update([sound(1, 90, 50)], ["drums under a choir"])
    found = metric.compute()
    assert set(found) == {"tag_log_odds", "clips"}
    assert found["tag_log_odds"].item() == pytest.approx((math.log(4) + math.log(9) / 2) / 2, abs=1e-6)
    assert found["clips"] == 2
    assert metric.scores([sound(20, 1, 1)], ["piano"]).item() == pytest.approx(-math.log(4), abs=1e-6)


def test_similarity_is_centred_over_all_sounds_of_the_metric() -> None:
    """The mean is (0.5, 0.5, 0.5): the sounds are (0.3, 0, 0) and (-0.3, 0, 0) beside it, whatever the batches."""
    sounds, texts = [sound(80, 50, 50), sound(20, 50, 50)], ["piano", "piano choir"]
    expected = (1 - 1 / math.sqrt(2)) / 2
    for batches in ([slice(0, 2)], [slice(0, 1), slice(1, 2)]):
        metric = PromptAgreement(Tags(), NAMES, text=Words())
        for batch in batches:
            metric.update(sounds[batch], texts[batch])
        assert metric.compute()["tag_similarity"].item() == pytest.approx(expected)
    assert metric.scores(sounds, texts).tolist() == pytest.approx([1, -1 / math.sqrt(2)])
    fixed = PromptAgreement(Tags(), NAMES, text=Words(), centre=torch.tensor([0.8, 0.4, 0.5]))
    assert fixed.scores(sounds[:1], ["choir"]).item() == pytest.approx(1.0)


def test_what_does_not_fit_is_refused() -> None:
    metric = PromptAgreement(Tags(), NAMES)
    with pytest.raises(PrefalignError, match="expected one description for each of 1 sounds, got 2"):
        metric.update([sound(1, 1, 1)], ["piano", "choir"])
    with pytest.raises(PrefalignError, match=r"names none of the tagger's tags; did you mean 'piano'"):
        metric.update([sound(1, 1, 1)], ["pianoo"])
    with pytest.raises(PrefalignError, match="expected probabilities of 1 sounds and 3 tags"):
        metric.update([sound(1, 1)], ["piano"])
    assert metric.clips == 0
    with pytest.raises(PrefalignError, match="names of the tagger's tags"):
        PromptAgreement(Tags())
    with pytest.raises(PrefalignError, match="set them there"):
        PromptAgreement(Tags(), NAMES, resample=True)
    with pytest.raises(PrefalignError, match="centre plays a part with a text encoder only"):
        PromptAgreement(Tags(), NAMES, centre=torch.zeros(3))
    with pytest.raises(PrefalignError, match="is one of the 1 models"):
        PromptAgreement(Tags(), NAMES, trainers=["tags"])
    with pytest.raises(PrefalignError, match="unknown text encoder 'words'"):
        PromptAgreement(Tags(), NAMES, text="words")


@pytest.mark.real
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("musicnn", "tinysoundfont", "pretty_midi")),
    reason="musicnn, tinysoundfont or pretty_midi is not installed",
)
def test_musicnn_agrees_with_what_plays(tmp_path: Path, random_song: Callable) -> None:
    """Piano, choir and drums under their own description and under the two others'."""
    from prefalign_audio.songs.rendering import RATE, play
    from prefalign_audio.sound.files import write_sound
    from prefalign_audio.sound.waveform import Waveform

    song, sounds = random_song(0), []
    for name, program in (("piano", 0), ("choir", 52), ("sitar", 104)):
        samples = play(song.vocal, song, program)
        path = tmp_path / f"{name}.wav"
        write_sound(path, Waveform((0.8 * samples / samples.abs().max())[None], RATE).resampled(16_000))
        sounds.append(Media(kind="audio", path=str(path)))
    metric = PromptAgreement()
    texts = ["solo piano", "a choir", "indian sitar"]
    table = torch.stack([metric.scores(sounds, [text] * 3) for text in texts])
    assert table.argmax(0).tolist() == table.argmax(1).tolist() == [0, 1, 2]
