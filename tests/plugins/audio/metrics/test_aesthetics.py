"""Means of four scores."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from prefalign.interfaces import Encoder, Media, PrefalignError
from prefalign_audio.metrics.aesthetics import NAMES, Aesthetics


def test_means(floats: Callable[..., Encoder], packed: Callable[[Tensor], list[Media]]) -> None:
    scores = torch.tensor([[1.0, 2, 3, 4], [3, 2, 5, 8], [5, 8, 1, 0]])
    metric = Aesthetics(floats(4))
    metric.update(packed(scores[:1]))
    metric.update(packed(scores[1:]))
    found = metric.compute()
    assert [found[name].item() for name in NAMES] == [3, 4, 3, 4]
    assert found["clips"] == 3
    nothing = Aesthetics(4)
    nothing.update(torch.empty(0, 4))
    assert nothing.compute()["content_enjoyment"].isnan()


def test_refuses(floats: Callable[..., Encoder]) -> None:
    with pytest.raises(PrefalignError, match="expected an encoder of 4 scores, got one of 3 features"):
        Aesthetics(floats(3))
    with pytest.raises(PrefalignError, match="set them there"):
        Aesthetics(4, downmix=True)
    with pytest.raises(PrefalignError, match="is one of the 1 models"):
        Aesthetics(floats(4), trainers=["floats"])
