"""Similarity under an encoder."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from prefalign.interfaces import Encoder, Media, PrefalignError
from prefalign_audio.metrics.similarity import SoundSimilarity


def test_mean_cosine(floats: Callable[..., Encoder], packed: Callable[[Tensor], list[Media]]) -> None:
    """3-4-5: (3, 4) has cosine 0.6 with (1, 0); (1, 1) has −1 with (−2, −2); zeros have none, which counts as 0."""
    sounds, references = torch.tensor([[3.0, 4], [1, 1], [0, 0]]), torch.tensor([[1.0, 0], [-2, -2], [1, 1]])
    metric = SoundSimilarity(floats(2))
    metric.update(packed(sounds[:2]), packed(references[:2]))
    metric.update(packed(sounds[2:]), packed(references[2:]))
    found = metric.compute()
    assert found["sound_similarity"].item() == pytest.approx((0.6 - 1 + 0) / 3)
    assert found["clips"] == 3
    torch.testing.assert_close(SoundSimilarity(2).scores(sounds, references), torch.tensor([0.6, -1, 0]).double())


def test_by_name(noise: Callable[..., Media]) -> None:
    """A sound is most like itself."""
    metric = SoundSimilarity("mel_statistics", resample=True)
    same, other = metric.scores([noise(0), noise(0)], [noise(0), noise(1)]).tolist()
    assert same == pytest.approx(1.0)
    assert other < same


def test_refuses(floats: Callable[..., Encoder]) -> None:
    with pytest.raises(PrefalignError, match=r"unknown encoder 'muscinn'.*musicnn"):
        SoundSimilarity("muscinn")
    with pytest.raises(PrefalignError, match="set them there"):
        SoundSimilarity(floats(2), resample=True)
    with pytest.raises(PrefalignError, match="a cosine needs at least two"):
        SoundSimilarity(1)
    with pytest.raises(PrefalignError, match="is one of the 1 models"):
        SoundSimilarity(floats(2), trainers=["floats"])
    with pytest.raises(PrefalignError, match="one reference for each of 2 sounds, got 1"):
        SoundSimilarity(2).update(torch.ones(2, 2), torch.ones(1, 2))
