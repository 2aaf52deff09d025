"""The delay pattern: what is applied is reverted, and where each code stands."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prefalign.interfaces import PrefalignError
from prefalign_audio.streams.pattern import DelayPattern

delays = st.lists(st.integers(0, 6), min_size=1, max_size=4).map(lambda found: [d - min(found) for d in found])


def test_the_picture():
    """Frames 1 to 3 of three streams, delayed by 0, 1 and 2 steps."""
    codes = torch.tensor([[[1, 2, 3], [4, 5, 6], [7, 8, 9]]])
    expected = [[1, 2, 3, -1, -1], [-2, 4, 5, 6, -2], [-3, -3, 7, 8, 9]]
    assert DelayPattern([0, 1, 2]).apply(codes, torch.tensor([-1, -2, -3])).tolist() == [expected]


@given(delays, st.integers(1, 7), st.integers(0, 2**31))
def test_codes_logits_and_log_probabilities_come_back(lags, frames, seed):
    pattern, generator = DelayPattern(lags), torch.Generator().manual_seed(seed)
    codes = torch.randint(100, (2, len(lags), frames), generator=generator)
    steps = pattern.apply(codes, 100)
    assert steps.shape == (2, len(lags), frames + max(lags))
    assert torch.equal(pattern.revert(steps), codes)
    logits = torch.randn(*steps.shape, 5, generator=generator)
    reverted = pattern.revert(logits)
    for k, lag in enumerate(lags):
        for frame in range(frames):
            assert torch.equal(reverted[:, k, frame], logits[:, k, frame + lag])
    assert torch.equal(pattern.revert(logits.log_softmax(-1)), reverted.log_softmax(-1))
    filled = pattern.apply(pattern.revert(steps), 100)
    assert torch.equal(filled, steps)


@given(delays, st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(0, 3))
def test_the_mask_marks_the_codes_of_each_song(lags, frames, more):
    pattern = DelayPattern(lags)
    steps = pattern.steps(max(frames)) + more
    mask = pattern.mask(torch.tensor(frames), steps)
    assert mask.shape == (len(frames), len(lags), steps)
    for row, length in enumerate(frames):
        ones = pattern.apply(torch.ones(1, len(lags), length, dtype=torch.bool), 0)[0]
        assert torch.equal(mask[row, :, : ones.shape[-1]], ones)
        assert not mask[row, :, ones.shape[-1] :].any()
    assert torch.equal(pattern.mask(torch.tensor(frames)), mask[..., : pattern.steps(max(frames))])


@pytest.mark.parametrize("wrong", [[], [1, 2], [0, -1]])
def test_delays_that_are_none(wrong):
    with pytest.raises(PrefalignError, match="at least one of them 0"):
        DelayPattern(wrong)


def test_fewer_steps_than_the_delays_take():
    with pytest.raises(PrefalignError, match="2 steps are fewer"):
        DelayPattern([0, 3]).revert(torch.zeros(1, 2, 2))
