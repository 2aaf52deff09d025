"""Noise paths: mixture, target, estimates, weights, each against values worked out by hand."""

import math

import pytest
import torch

from prefalign.functional.noise_path import CosinePath, LinearPath, StepPath, mean_squared_error

ALPHAS = torch.tensor([0.99, 0.81, 0.36, 0.04], dtype=torch.float64)
PATHS = {
    "flow": LinearPath(),
    "flow to data": LinearPath(toward_data=True, time_from_noise=True),
    "linear, data": LinearPath(prediction="sample"),
    "linear, noise": LinearPath(prediction="epsilon"),
    "cosine, v": CosinePath(),
    "cosine, noise": CosinePath(prediction="epsilon"),
    "steps, noise": StepPath(alphas_cumprod=ALPHAS),
    "steps, v": StepPath(prediction="v_prediction", alphas_cumprod=ALPHAS),
    "steps, data": StepPath(prediction="sample", alphas_cumprod=ALPHAS),
}


@pytest.mark.parametrize("name", PATHS)
def test_a_perfect_prediction_gives_back_the_data(name):
    path = PATHS[name]
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 64, 3, 5, generator=generator, dtype=torch.float64)
    level = 0.02 + 0.96 * torch.rand(64, generator=generator, dtype=torch.float64)
    noisy, target = path.noisy(clean, noise, level), path.target(clean, noise, level)
    assert torch.allclose(path.clean(target, noisy, level), clean, atol=1e-9)


def one(value):
    return torch.tensor([value], dtype=torch.float64)


def test_rectified_flow_by_hand():
    """x = 3, eps = -1 at u = 1/4: mixture 3/4·3 - 1/4 = 2, velocity -1 - 3 = -4."""
    path, to_data = PATHS["flow"], PATHS["flow to data"]
    assert path.noisy(one(3.0), one(-1.0), one(0.25)).item() == 2.0
    assert path.target(one(3.0), one(-1.0), one(0.25)).item() == -4.0
    assert to_data.target(one(3.0), one(-1.0), one(0.25)).item() == 4.0
    assert (path.model_time(one(0.25)).item(), to_data.model_time(one(0.25)).item()) == (0.25, 0.75)
    assert LinearPath(time_scale=1000).time_of_timestep(one(250.0)).item() == 250.0
    assert to_data.time_of_timestep(one(250.0)).item() == 0.75


def test_cosine_path_by_hand():
    """At u = 1/3 the angle is 30 degrees: v = cos 30° eps - sin 30° x."""
    path = CosinePath()
    assert path.noisy(one(2.0), one(4.0), one(1 / 3)).item() == pytest.approx(math.sqrt(3) + 2)
    assert path.target(one(2.0), one(4.0), one(1 / 3)).item() == pytest.approx(2 * math.sqrt(3) - 1)


def test_steps_by_hand():
    """Four steps, so u = 0.5 is step 2 with alpha² 0.36: 0.6 x + 0.8 eps; u = 1 is the last step."""
    path = PATHS["steps, noise"]
    assert path.noisy(one(5.0), one(10.0), one(0.5)).item() == pytest.approx(11.0)
    assert path.target(one(5.0), one(10.0), one(0.5)).item() == 10.0
    assert path.model_time(torch.tensor([0.0, 0.2499, 0.25, 0.999, 1.0])).tolist() == [0, 0, 1, 3, 3]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # alpha² = 0.36: SNR = 0.5625, below gamma = 5, so 1 for noise and SNR/(SNR + 1) = 0.36 for v.
        ("steps, noise", 1.0),
        ("steps, v", 0.36),
        ("steps, data", 0.5625),
        # u = 1/2: SNR = 1 and the velocity's error is twice the data's.
        ("flow", 0.25),
        ("flow to data", 0.25),
    ],
)
def test_min_snr_below_gamma(name, expected):
    assert PATHS[name].min_snr(one(0.5), 5.0).item() == pytest.approx(expected)


def test_min_snr_above_gamma():
    """alpha² = 0.99: SNR = 99. Noise gets 5/99, v 5/100, the data themselves 5."""
    values = [PATHS[f"steps, {kind}"].min_snr(one(0.0), 5.0).item() for kind in ("noise", "v", "data")]
    assert values == pytest.approx([5 / 99, 5 / 100, 5.0])


def test_mean_squared_error_is_a_mean_over_elements_and_frames():
    prediction = torch.tensor([[[1.0, 2.0, 9.0]], [[0.0, 0.0, 0.0]]])
    target = torch.tensor([[[0.0, 0.0, 0.0]], [[3.0, 0.0, 0.0]]])
    assert mean_squared_error(prediction, target).tolist() == pytest.approx([86 / 3, 3.0])
    # A padded frame counts for nothing, a frame of weight 2 for twice its square but once in the number.
    weights = torch.tensor([[[1.0, 2.0, 0.0]], [[1.0, 1.0, 1.0]]])
    assert mean_squared_error(prediction, target, weights).tolist() == pytest.approx([(1 + 8) / 2, 3.0])


def test_half_precision_is_summed_in_float32():
    prediction = torch.full((1, 4096), 1.001, dtype=torch.bfloat16)
    error = mean_squared_error(prediction, torch.zeros(1, 4096, dtype=torch.bfloat16))
    assert error.dtype == torch.float32
    assert error.item() == pytest.approx(1.0, abs=1e-6)
