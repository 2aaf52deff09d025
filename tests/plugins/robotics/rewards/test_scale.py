"""Scales are those of all steps met so far, however they came."""

import pytest
import torch

from prefalign_robotics.rewards.scale import ENOUGH_STEPS, Scale


def steps(count, seed, size=3):
    values = torch.randn(count, size, generator=torch.Generator().manual_seed(seed))
    return 5.0 + values * torch.tensor([0.1, 2.0, 30.0])[:size]


def all_there(values):
    return torch.ones(values.shape[:2], dtype=torch.bool)


def test_batches_add_up_to_the_moments_of_all_steps():
    scale, parts = Scale(3), [steps(n, n).unsqueeze(0) for n in (7, 1, 40)]
    for part in parts:
        scale(part, all_there(part))
    whole = torch.cat(parts, 1)[0]
    torch.testing.assert_close(scale.mean, whole.mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scale.deviation, whole.std(0, correction=0), rtol=1e-5, atol=1e-5)
    assert scale.count == 48
    torch.testing.assert_close(scale.eval()(whole[None], None)[0], (whole - whole.mean(0)) / whole.std(0, correction=0))


def test_padding_is_not_measured():
    scale, values = Scale(3), steps(10, 0).reshape(2, 5, 3)
    mask = all_there(values)
    mask[1, 2:] = False
    values[1, 2:] = 1e6
    scale(values, mask)
    assert scale.count == 7
    torch.testing.assert_close(scale.mean, values[mask].mean(0))


def test_evaluation_measures_nothing_and_an_unmeasured_scale_changes_nothing():
    scale, values = Scale(3).eval(), steps(10, 0).unsqueeze(0)
    assert torch.equal(scale(values, all_there(values)), values)
    assert scale.count == 0


def test_it_settles():
    scale = Scale(3)
    first, second = steps(ENOUGH_STEPS, 0).unsqueeze(0), steps(50, 1).unsqueeze(0) + 100
    scale(first, all_there(first))
    mean = scale.mean.clone()
    assert scale.settled
    scale(second, all_there(second))
    assert torch.equal(scale.mean, mean)


def test_what_does_not_vary_is_centred_only():
    values = torch.full((1, 20, 3), 1e3)
    values[0, ::2, 0] += 6.2e-5  # the next number that float32 knows
    assert values[0, 0, 0] != values[0, 1, 0]
    scaled = Scale(3)(values, all_there(values))
    assert scaled.abs().max() < 1e-3


def test_buffers_keep_full_precision():
    scale = Scale(3).half().bfloat16()
    assert {buffer.dtype for buffer in scale.buffers()} == {torch.float32, torch.bool}


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_a_distant_mean_costs_no_precision(offset):
    scale, values = Scale(1), torch.randn(1, 4000, 1, generator=torch.Generator().manual_seed(0))
    for part in (values + offset).split(100, 1):
        scale(part, all_there(part))
    assert scale.deviation.item() == pytest.approx(values.std().item(), rel=2e-3)
