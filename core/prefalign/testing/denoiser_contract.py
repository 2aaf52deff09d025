"""What every denoiser family must do, as a class of tests: derive from it and give a fixture `make`."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from prefalign.data.encoding import EncodeLatents
from prefalign.functional.noise_path import LinearPath, NoisePath, StepPath
from prefalign.interfaces import Pair, PrefalignError, PreferenceRecord, Prompt, Response, StageReport
from prefalign.models.condition import Condition
from prefalign.models.denoiser import Denoiser
from prefalign.models.pretrained import LoraSettings
from prefalign.objectives.dpo import DPO
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.policies.reference import AdapterOff, Frozen

Make = Callable[[], Denoiser]

#: Prompts of several lengths.
TEXTS = ("a dog barks", "rain falls on a tin roof while a bell rings", "wind")
PROMPTS = tuple(Prompt(text=text) for text in TEXTS)


def level_of(path: NoisePath, time: Tensor) -> Tensor:
    """The noise level whose `model_time` is `time`."""
    if isinstance(path, StepPath):
        return (time.double() + 0.5) / len(path.alphas_cumprod)
    if isinstance(path, LinearPath):
        level = time.double() / path.time_scale
        return 1 - level if path.time_from_noise else level
    return time.double()


class Oracle:
    """Stands in for a denoiser's `predict`: knows the data `clean` (N, …), and keeps what it was asked."""

    def __init__(self, path: NoisePath, clean: Tensor) -> None:
        self.path, self.clean = path, clean
        self.asked: list[Tensor] = []

    def __call__(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """What a perfect network predicts."""
        clean = self.clean.repeat(len(noisy) // len(self.clean), *(1 for _ in self.clean.shape[1:])).double()
        self.asked.append(noisy[: len(self.clean)].double())
        level = level_of(self.path, time)
        alpha, sigma = (v.reshape(-1, *(1 for _ in noisy.shape[1:])) for v in self.path.mixture(level))
        noise = (noisy.double() - alpha * clean) / sigma
        return self.path.target(clean, noise, level).to(noisy.dtype)


def scored(make: Make, **options: Any) -> DenoisingPolicy:
    """A policy on a new denoiser, ready to score."""
    policy = DenoisingPolicy(make(), **options)
    policy.configure_model()
    return policy


def records_of(
    policy: DenoisingPolicy, numbers: tuple[int, ...] = (0, 1), prompts: Sequence[Prompt] = PROMPTS
) -> list[PreferenceRecord]:
    """Pairs with random latents of the family's shape."""
    records = []
    for number in numbers:
        prompt = prompts[number]
        generator = torch.Generator().manual_seed(number)
        shape = policy.denoiser.latent_shape(prompt)
        responses = tuple(
            Response(arrays={"latents": torch.randn(shape, generator=generator).numpy()}) for _ in range(2)
        )
        records.append(PreferenceRecord(id=f"r{number}", prompt=prompt, responses=responses, verdict=Pair(0, 1)))
    return records


def batch_of(policy: DenoisingPolicy, numbers: tuple[int, ...] = (0, 1), prompts: Sequence[Prompt] = PROMPTS) -> Any:
    """The pairs as a batch."""
    return policy.collate([policy.encode(record) for record in records_of(policy, numbers, prompts)])


def disturbed(policy: DenoisingPolicy, size: float = 0.02) -> DenoisingPolicy:
    """The policy after moving all that it trains, so that no zero weights of the start hide a mistake."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return policy


class DenoiserContract:
    """The contract. The fixture `make` gives tiny denoisers, the same one at each call."""

    #: Families whose networks in Diffusers cannot recompute activations.
    without_checkpointing: tuple[str, ...] = ()
    #: How far from the data the family's scheduler may end with a perfect network.
    landing: float = 0.05
    #: Three prompts that the family answers, for families that are not conditioned on text.
    prompts: Sequence[Prompt] = PROMPTS
    #: Bound of the family's data, to which its scheduler holds what it samples.
    bound: float = math.inf
    #: Package whose class reads the saved network.
    package: str = "diffusers"

    def batch(self, policy: DenoisingPolicy, numbers: tuple[int, ...] = (0, 1)) -> Any:
        """Pairs on the family's prompts as a batch."""
        return batch_of(policy, numbers, self.prompts)

    def test_the_target_gives_back_the_data(self, make: Make) -> None:
        """(1)"""
        policy = scored(make)
        path = policy.denoiser.path
        generator = torch.Generator().manual_seed(0)
        shape = policy.denoiser.latent_shape(self.prompts[0])
        clean, noise = (torch.randn(16, *shape, generator=generator, dtype=torch.float64) for _ in range(2))
        level = policy.levels.quantile(torch.rand(16, generator=generator)).double()
        found = path.clean(path.target(clean, noise, level), path.noisy(clean, noise, level), level)
        assert (found - clean).abs().max() < 1e-5

    @pytest.mark.parametrize("guidance", [1.0, 3.0])
    def test_sampling_with_a_perfect_network_walks_to_the_data(self, make: Make, guidance: float) -> None:
        """(2, 3) Every step of the family's own scheduler comes closer, and the last one arrives."""
        policy = scored(make)
        denoiser = policy.denoiser
        prompts = self.prompts[:2]
        generator = torch.Generator().manual_seed(0)
        shape = denoiser.latent_shape(prompts[0])
        clean, noise = (torch.randn(2, *shape, generator=generator) for _ in range(2))
        clean = clean.clamp(-self.bound, self.bound)
        oracle = Oracle(denoiser.path, clean)
        denoiser.predict = oracle  # type: ignore[method-assign]  # in the place of the family's own network
        found = policy.generate(noise, denoiser.condition(prompts), 1, 10, guidance, generator)
        distances = [(asked - clean).norm().item() for asked in oracle.asked]
        assert len(distances) >= 10
        assert all(later < earlier for earlier, later in itertools.pairwise(distances))
        assert (found - clean).norm() < self.landing * noise.norm()
        assert (found - clean).norm() < distances[-1]

    def test_equality_costs_log_2_and_gradients_are_finite(self, make: Make) -> None:
        """(4)"""
        policy, reference = scored(make), Frozen()
        reference.configure(policy)
        batch = self.batch(policy)
        out = DPO()(policy.scores(batch), reference.scores(policy, batch), batch.relations)
        assert out.loss.item() == pytest.approx(math.log(2), rel=1e-5)
        out.loss.backward()
        gradients = [p.grad for p in policy.denoiser.network.parameters() if p.grad is not None]
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)
        assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0

    def test_scores_do_not_depend_on_the_rest_of_the_batch(self, make: Make) -> None:
        """Prompts of other lengths pad the condition, and what is padded must not be seen."""
        policy = disturbed(scored(make))
        together = policy.scores(self.batch(policy, (0, 1, 2))).errors
        alone = [policy.scores(self.batch(policy, (number,))).errors for number in range(3)]
        assert together is not None
        assert torch.allclose(together, torch.cat([a for a in alone if a is not None]), rtol=1e-4)

    def test_the_prompt_matters(self, make: Make) -> None:
        """Another prompt gives another prediction."""
        policy = disturbed(scored(make), 0.1)
        denoiser = policy.denoiser
        noised = policy.noised(self.batch(policy, (0,)))
        other = denoiser.condition([self.prompts[1]]).select(torch.zeros(2, dtype=torch.long))
        with torch.no_grad():
            one, two = (denoiser.predict(noised.noisy, noised.time, c) for c in (noised.condition, other))
        assert one.shape == noised.noisy.shape
        assert not torch.allclose(one, two, rtol=1e-4)

    def test_an_adapter_is_all_that_is_trained_and_off_is_the_base(self, make: Make) -> None:
        """(5)"""
        policy, bare, reference = scored(make, lora=LoraSettings(r=2, alpha=4)), scored(make), AdapterOff()
        trained = [name for name, parameter in policy.named_parameters() if parameter.requires_grad]
        assert trained
        assert all("lora_" in name for name in trained)
        reference.configure(policy)
        disturbed(policy, 0.1)
        batch = self.batch(policy)
        base = bare.scores(self.batch(bare)).logps
        assert torch.allclose(reference.scores(policy, batch).logps, base, rtol=1e-4)
        scores = policy.scores(batch)
        assert not torch.allclose(scores.logps, base, rtol=1e-4)
        scores.logps.sum().backward()
        assert all(p.grad is None for name, p in policy.named_parameters() if "lora_" not in name)

    def test_the_null_condition_fits_beside_the_condition(self, make: Make) -> None:
        """(6)"""
        policy = scored(make)
        denoiser = policy.denoiser
        condition = denoiser.condition(self.prompts)
        null = denoiser.null_condition(condition)
        assert list(null.tensors) == list(condition.tensors)
        for name, value in condition.tensors.items():
            assert len(null.tensors[name]) == len(value) == 3
            assert null.tensors[name].shape[2:] == value.shape[2:]
            assert null.tensors[name].dtype == value.dtype
        both = Condition.cat([null, condition])
        assert len(both) == 6
        assert any(not torch.equal(v[:3], v[3:]) for v in both.tensors.values())
        assert not any(value.requires_grad for value in condition.tensors.values())

    def test_recomputing_activations_changes_nothing(self, make: Make) -> None:
        """(7)"""
        if type(make()).__name__ in self.without_checkpointing:
            with pytest.raises(ValueError, match="gradient checkpointing"):
                scored(make, gradient_checkpointing=True)
            return
        found = []
        for wanted in (False, True):
            policy = disturbed(scored(make, gradient_checkpointing=wanted))
            policy.scores(self.batch(policy)).logps.sum().backward()
            found.append([p.grad for p in policy.parameters() if p.grad is not None])
        assert len(found[0]) == len(found[1])
        assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(*found, strict=True))

    def test_copies_share_what_is_frozen_and_checkpoints_leave_it_out(self, make: Make) -> None:
        """(8, 9)"""
        policy = scored(make)
        made = copy.deepcopy(policy)
        assert policy.denoiser.shared
        for name in policy.denoiser.shared:
            assert getattr(made.denoiser, name) is getattr(policy.denoiser, name)
        assert made.denoiser.network is not policy.denoiser.network
        kept = policy.state_dict()
        assert {name.removeprefix("denoiser.network.") for name in kept} == set(policy.denoiser.network.state_dict())
        assert len(list(policy.parameters())) == len(list(policy.denoiser.network.parameters()))

    def test_the_saved_network_is_diffusers_own(self, make: Make, tmp_path: Path) -> None:
        """(10) Or its package's own, by the same call."""
        policy = disturbed(scored(make))
        policy.save_pretrained(tmp_path)
        expected, network = policy.scores(self.batch(policy)).logps, policy.denoiser.network
        policy.denoiser.network = type(network).from_pretrained(tmp_path)
        assert type(network).__module__.startswith(f"{self.package}.")
        assert torch.equal(policy.scores(self.batch(policy)).logps, expected)

    def test_the_saved_adapter_is_diffusers_or_pefts_own(self, make: Make, tmp_path: Path) -> None:
        """(10)"""
        import peft
        from safetensors.torch import load_file

        policy, plain = disturbed(scored(make, lora=LoraSettings(r=2, alpha=4)), 0.1), scored(make)
        policy.save_pretrained(tmp_path)
        expected, network = policy.scores(self.batch(policy)).logps, plain.denoiser.network
        assert not torch.allclose(plain.scores(self.batch(plain)).logps, expected, rtol=1e-4)
        if hasattr(network, "load_lora_adapter"):
            network.load_lora_adapter(tmp_path, prefix=None, use_safetensors=True)
        else:
            linear = [name for name, part in network.named_modules() if isinstance(part, torch.nn.Linear)]
            peft.inject_adapter_in_model(peft.LoraConfig(r=2, lora_alpha=4, target_modules=linear), network)
            peft.set_peft_model_state_dict(network, load_file(tmp_path / "pytorch_lora_weights.safetensors"))
        assert torch.allclose(plain.scores(self.batch(plain)).logps, expected, rtol=1e-5)

    @pytest.mark.parametrize("lora", [None, LoraSettings(r=2, alpha=4)])
    def test_an_export_starts_the_next_run(self, make: Make, tmp_path: Path, lora: LoraSettings | None) -> None:
        """(10) The reference of the next round is then the policy of this one."""
        policy, denoiser = disturbed(scored(make, lora=lora), 0.1), make()
        policy.save_pretrained(tmp_path)
        denoiser.network_weights = str(tmp_path)  # type: ignore[assignment]  # as the constructor does
        following = DenoisingPolicy(denoiser)
        if lora is not None and not hasattr(policy.denoiser.network, "load_lora_adapter"):
            with pytest.raises(PrefalignError, match="reads no adapters"):
                following.configure_model()
            return
        following.configure_model()
        plain = scored(make)
        assert following.state_dict().keys() == plain.state_dict().keys()
        expected = policy.scores(self.batch(policy)).logps
        assert torch.allclose(following.scores(self.batch(following)).logps, expected, rtol=1e-5)
        assert not torch.allclose(plain.scores(self.batch(plain)).logps, expected, rtol=1e-4)

    def test_latents_of_records_come_through(self, make: Make) -> None:
        """(11)"""
        policy = scored(make)
        batch = self.batch(policy)
        latents = batch.inputs["latents"]
        assert tuple(latents.shape) == (4, *policy.denoiser.latent_shape(self.prompts[0]))
        assert policy.scores(batch).logps.shape == (4,)

    def test_conditions_that_records_bring_are_those_of_their_prompts(self, make: Make) -> None:
        """(12) So that the frozen parts can be run once, before training."""
        policy = disturbed(scored(make))
        plain = self.batch(policy)
        encode = EncodeLatents(policy.denoiser)
        encoded = list(encode(iter(records_of(policy, prompts=self.prompts)), 0, StageReport()))
        batch = policy.collate([policy.encode(record) for record in encoded])
        assert "condition" in batch.inputs
        assert torch.allclose(policy.scores(batch).logps, policy.scores(plain).logps, rtol=1e-5)
