"""Diffusion policies keep the contract of denoisers, scale chunks, and come back from their folder."""

import json
import math

import numpy as np
import pytest
import torch

from prefalign.interfaces import PrefalignError, Prompt
from prefalign.testing.denoiser_contract import DenoiserContract
from prefalign_robotics.policies.diffusion.denoiser import ActionDenoiser

SMALL = {"observation": 5, "action": 3, "horizon": 4, "width": 16, "depth": 1, "heads": 2}


def prompt(number):
    seen = np.random.default_rng(number).standard_normal(5)
    return Prompt(text="reach", conditions={"observation": seen.tolist()})


class TestActionDenoiser(DenoiserContract):
    prompts = (prompt(0), prompt(1), prompt(2))
    bound, package = 1.0, "prefalign_robotics"

    @pytest.fixture(params=["sample", "epsilon"])
    def make(self, request):
        return lambda: ActionDenoiser({**SMALL, "prediction": request.param})


def test_the_noise_is_the_squared_cosine_of_a_hundred_steps(small):
    """The product after step s is cos²((u + 0.008)/1.008 · π/2) at u = (s + 1)/100 over its value at 0."""

    def square(u):
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    path = small().path
    assert path.prediction == "sample"
    assert len(path.alphas_cumprod) == 100
    for step in (0, 9, 49, 90):
        expected = square((step + 1) / 100) / square(0)
        assert path.alphas_cumprod[step].item() == pytest.approx(expected, rel=1e-4)
    scheduler = small().scheduler
    scheduler.set_timesteps(10)
    assert scheduler.timesteps.tolist() == [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]


def test_chunks_are_scaled_by_what_was_imitated(small):
    """Between −2 and 4 a number x becomes (x − 1)/3; one that never moves becomes 0, and is not divided by 0."""
    network = small().network
    actions = torch.tensor([[-2.0, 0.5, 1.0], [4.0, 0.5, 3.0]])
    network.set_scales(torch.tensor([[1.0, 2, 3, 4, 5], [3.0, 2, 3, 4, 5]]), actions)
    assert torch.equal(network.scaled(actions), torch.tensor([[-1.0, 0, -1], [1, 0, 1]]))
    assert torch.equal(network.scaled(torch.tensor([2.5, 1.5, 2])), torch.tensor([0.5, 1, 0]))
    assert torch.allclose(network.unscaled(network.scaled(actions)), actions)
    assert network.observation_mean.tolist() == [2, 2, 3, 4, 5]
    assert network.observation_deviation.tolist() == [1, 1, 1, 1, 1]


def test_actions_stay_between_those_that_were_imitated(small):
    denoiser = small()
    denoiser.network.set_scales(torch.zeros(2, 5), torch.tensor([[-2.0, 0, 0], [4.0, 1, 1]]))
    assert denoiser.actions(torch.tensor([[9.0, 0.5, -9]])).tolist() == [[4, 0.75, 0]]


def test_observations_are_standardised(small):
    """Moving and stretching both the observation and the scales leaves predictions as they were."""
    denoiser, noisy, time = small(), torch.randn(2, 4, 3), torch.tensor([3, 60])
    seen = np.random.default_rng(3).standard_normal((2, 5))
    with torch.no_grad():
        before = denoiser.predict(noisy, time, denoiser.observed(seen))
        denoiser.network.observation_mean.fill_(7.0)
        denoiser.network.observation_deviation.fill_(2.0)
        after = denoiser.predict(noisy, time, denoiser.observed(2 * seen + 7))
        assert torch.allclose(after, before, atol=1e-5)
        assert not torch.allclose(denoiser.predict(noisy, time, denoiser.observed(seen)), before, atol=1e-2)


def test_a_folder_gives_the_policy_back_scales_and_all(small, tmp_path):
    made = small(prediction="epsilon")
    made.network.set_scales(torch.randn(9, 5), torch.rand(9, 3))
    made.save_pretrained(tmp_path)
    again = ActionDenoiser(str(tmp_path))
    again.configure_model()
    assert again.path.prediction == "epsilon"
    assert again.form == made.form
    noisy, time, condition = torch.randn(2, 4, 3), torch.tensor([3, 60]), made.observed(np.ones((2, 5)))
    with torch.no_grad():
        assert torch.equal(again.predict(noisy, time, condition), made.predict(noisy, time, condition))
    assert torch.equal(again.encode(noisy), made.encode(noisy))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]


def test_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    first, second, other = (ActionDenoiser(SMALL, init_seed=seed) for seed in (1, 1, 2))
    for denoiser in (first, second, other):
        denoiser.configure_model()
    assert torch.equal(torch.get_rng_state(), state)
    weights = [denoiser.network.enter.weight for denoiser in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_what_is_no_policy_is_refused(tmp_path, small):
    with pytest.raises(PrefalignError, match=r"no config\.json; .*`prefalign robotics candidates` makes"):
        ActionDenoiser(str(tmp_path)).configure_model()
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(PrefalignError, match="cannot be read as JSON"):
        ActionDenoiser(str(tmp_path)).configure_model()
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(PrefalignError, match="expected the config of a policy, got list"):
        ActionDenoiser(str(tmp_path)).configure_model()
    (tmp_path / "config.json").write_text(json.dumps({"observation": 5, "action": True}))
    with pytest.raises(PrefalignError, match="expected action of at least 1 in the config of a policy, got True"):
        ActionDenoiser(str(tmp_path)).configure_model()
    with pytest.raises(PrefalignError, match=r"expected horizon of at least 1 .* got 0"):
        ActionDenoiser({**SMALL, "horizon": 0}).configure_model()
    with pytest.raises(PrefalignError, match="expected prediction sample or epsilon, got 'velocity'"):
        ActionDenoiser({**SMALL, "prediction": "velocity"}).configure_model()
    with pytest.raises(PrefalignError, match="1 <= steps <= train_steps, got 11 and 10"):
        ActionDenoiser(SMALL, train_steps=10, steps=11)
    with pytest.raises(PrefalignError, match="expected 5 numbers under the prompt's conditions, 'observation'; got 2"):
        small().condition([Prompt(conditions={"observation": [1.0, 2.0]})])
