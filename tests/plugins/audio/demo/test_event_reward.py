"""The reward model, on a codec and events whose bands are known."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from prefalign.interfaces.errors import PrefalignError
from prefalign_audio.demo.codec import ClipCodec
from prefalign_audio.demo.event_reward import EventCurves, EventReward, reward_quality, train_curves, train_head

CLASSES = 4


def made_clips(captions: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(clips, 32, 32): class k is a loud band 8k, the first event in frames 4..9, the second in 18..23."""
    features = 0.2 * torch.randn(len(captions), 32, 32, generator=generator)
    rows = torch.arange(len(captions))
    for slot, start in ((0, 4), (1, 18)):
        for frame in range(start, start + 6):
            features[rows, frame, 8 * captions[:, slot]] += 2.5
    return features


def drawn_captions(clips: int, generator: torch.Generator) -> torch.Tensor:
    first = torch.randint(CLASSES, (clips,), generator=generator)
    return torch.stack([first, (first + torch.randint(1, CLASSES, (clips,), generator=generator)) % CLASSES], 1)


@pytest.fixture(scope="module")
def world() -> tuple[ClipCodec, EventCurves]:
    """A codec fitted to such clips and curves that learnt from captions of which a third are in the wrong order."""
    generator = torch.Generator().manual_seed(0)
    captions = drawn_captions(600, generator)
    played = torch.where((torch.rand(600, 1, generator=generator) < 1 / 3), captions.flip(1), captions)
    features = made_clips(played, generator)
    torch.manual_seed(0)
    curves = EventCurves(32, CLASSES)
    train_curves(curves, features, captions, generator)
    return ClipCodec.fit(features), curves


def groups(codec: ClipCodec, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Groups of five clips, about 60 % of which have the caption's order."""
    generator = torch.Generator().manual_seed(seed)
    captions = drawn_captions(count, generator)
    labels = (torch.rand(count, 5, generator=generator) < 0.6).float()
    asked = captions[:, None].expand(-1, 5, -1)
    played = torch.where(labels[..., None] > 0, asked, asked.flip(2)).flatten(0, 1)
    return codec.encode(made_clips(played, generator)).unflatten(0, (count, 5)), captions, labels


def test_curves_are_high_where_the_event_sounds_although_captions_say_no_times(
    world: tuple[ClipCodec, EventCurves],
) -> None:
    _, curves = world
    captions = torch.tensor([[2, 0]])
    found = curves(made_clips(captions, torch.Generator().manual_seed(3)))[0]
    assert 4 <= int(found[:, 2].argmax()) < 10
    assert 18 <= int(found[:, 0].argmax()) < 24
    with torch.no_grad():
        assert (curves.somewhere(made_clips(captions, torch.Generator().manual_seed(4)))[0] > 0).tolist() == [
            True,
            False,
            True,
            False,
        ]


def test_a_summary_is_eight_maxima_of_each_curve_and_two_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves that are 20 at one frame of 32, else 0: centre frame/31, and the maximum in part frame // 4."""
    curves = EventCurves(32, 3)
    made = torch.zeros(1, 32, 3)
    made[0, 5, 2] = 20.0
    made[0, 31, 0] = 20.0
    monkeypatch.setattr(curves, "forward", lambda features: made)
    summary = curves.summary(torch.zeros(1, 32, 32), torch.tensor([[2, 0]]))[0]
    maxima = summary[:16].reshape(8, 2)
    assert maxima.nonzero().tolist() == [[1, 0], [7, 1]]
    torch.testing.assert_close(summary[16:], torch.tensor([5 / 31, 1.0]), atol=1e-4, rtol=0)


def test_the_head_learns_order_from_labels(world: tuple[ClipCodec, EventCurves]) -> None:
    codec, curves = world
    reward = EventReward(codec, curves)
    before = copy.deepcopy(reward.curves.state_dict())
    quality = train_head(reward, *groups(codec, 60, seed=1), torch.Generator().manual_seed(0))
    assert quality.clips == 60  # 12 of 60 groups are held out
    assert quality.accuracy > 0.95
    assert quality.auc > 0.98
    assert all(torch.equal(value, before[name]) for name, value in reward.curves.state_dict().items())
    latents, captions, labels = groups(codec, 20, seed=2)
    scores = reward.score(latents.flatten(0, 1), captions.repeat_interleave(5, 0))
    assert scores.shape == (100,)
    assert not scores.requires_grad
    assert reward_quality(scores, labels.flatten()).auc > 0.98


def test_the_same_seed_gives_the_same_head(world: tuple[ClipCodec, EventCurves]) -> None:
    codec, curves = world
    made = groups(codec, 10, seed=1)

    def scores() -> torch.Tensor:
        torch.manual_seed(5)
        reward = EventReward(codec, curves)
        train_head(reward, *made, torch.Generator().manual_seed(0))
        return reward.score(made[0].flatten(0, 1), made[1].repeat_interleave(5, 0))

    assert torch.equal(scores(), scores())


def test_quality_by_hand() -> None:
    """Ones at 0.9, 0.4, zeros at 0.4, 0.1: pairs 0.9 above both, 0.4 ties one and beats one, so (2 + 0.5 + 1)/4."""
    quality = reward_quality(torch.tensor([0.9, 0.4, 0.4, 0.1]), torch.tensor([1.0, 1.0, 0.0, 0.0]))
    assert (quality.accuracy, quality.auc, quality.clips) == (0.75, 0.875, 4)
    assert math.isnan(reward_quality(torch.tensor([0.9]), torch.tensor([1.0])).auc)


def test_labels_that_cannot_be_learnt_from_are_refused(world: tuple[ClipCodec, EventCurves]) -> None:
    codec, curves = world
    reward = EventReward(codec, curves)
    latents, captions, labels = groups(codec, 4, seed=1)
    generator = torch.Generator()
    with pytest.raises(PrefalignError, match=r"outside 0\.\.1"):
        train_head(reward, latents, captions, labels + 0.5, generator)
    with pytest.raises(PrefalignError, match=r"outside 0\.\.1"):
        train_head(reward, latents, captions, labels * float("nan"), generator)
    with pytest.raises(PrefalignError, match=r"labels of \(4, 4\)"):
        train_head(reward, latents, captions, labels[:, :4], generator)
    with pytest.raises(PrefalignError, match="two groups"):
        train_head(reward, latents[:1], captions[:1], labels[:1], generator)
