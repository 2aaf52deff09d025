"""The denoising policy: scores, shared noise, references, sampling."""

import copy
import math

import numpy as np
import pytest
import torch

from prefalign.functional.levels import Levels
from prefalign.functional.noise_path import CosinePath, StepPath
from prefalign.functional.replay import replayed_noise
from prefalign.interfaces import (
    CapabilityError,
    Group,
    Pair,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    RecordError,
    Response,
    Segment,
)
from prefalign.models.pretrained import LoraSettings
from prefalign.objectives.dpo import DPO
from prefalign.objectives.unary import KTO
from prefalign.policies.cached import Cached
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.policies.reference import AdapterOff, Frozen, Moving
from prefalign.testing.denoisers import SmallDenoiser


def latents(seed, frames=4):
    return np.random.default_rng(seed).standard_normal((3, frames)).astype(np.float32)


def pair(number, frames=(4, 4), **options):
    responses = tuple(Response(arrays={"latents": latents(10 * number + i, n)}) for i, n in enumerate(frames))
    return PreferenceRecord(
        id=f"r{number}", prompt=Prompt(text=f"word {number}"), responses=responses, verdict=Pair(0, 1), **options
    )


def ready(**options):
    policy = DenoisingPolicy(SmallDenoiser(), **options)
    policy.configure_model()
    return policy


def batch_of(policy, records, needs=frozenset(), visits=None):
    batch = policy.collate([policy.encode(record) for record in records], needs)
    batch.visits = None if visits is None else torch.tensor(visits)
    return batch


def disturb(policy, size=0.1, seed=1):
    """Move the trainable weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.add_(size * torch.randn(parameter.shape, generator=generator))


def test_the_score_is_minus_half_the_error_at_the_records_draw():
    """The same number, worked out step by step from the record's noise."""
    policy = ready()
    record = pair(0)
    scores = policy.scores(batch_of(policy, [record], visits=[5]))
    uniform, noise = replayed_noise(0, ["r0"], [5], (3, 4), 1)
    level = uniform.float()
    for row in range(2):
        clean = torch.from_numpy(record.responses[row].arrays["latents"])
        noisy = (1 - level) * clean + level * noise[0]
        predicted = policy.denoiser.predict(noisy[None], level, policy.denoiser.condition([record.prompt]))
        error = ((predicted[0] - (noise[0] - clean)) ** 2).mean()
        assert scores.errors[row].item() == pytest.approx(error.item(), rel=1e-5)
        assert scores.logps[row].item() == pytest.approx(-error.item() / 2, rel=1e-5)
    assert scores.units == "mse/2"
    assert scores.lengths.tolist() == [1.0, 1.0]


def test_the_whole_error_is_twice_the_half():
    batch = batch_of(ready(), [pair(0)])
    half, whole = (ready(score=score).scores(batch) for score in ("half_mse", "mse"))
    assert torch.allclose(whole.logps, 2 * half.logps)
    assert whole.units == "mse"


def test_the_two_dialects_of_diffusion_dpo_agree():
    """With the half and beta 5000 as without and 2500 (Salesforce's code and Diffusers' example)."""
    losses = []
    for score, beta in (("half_mse", 5000.0), ("mse", 2500.0)):
        policy = ready(score=score)
        reference = Frozen()
        reference.configure(policy)
        disturb(policy, 1e-3)
        batch = batch_of(policy, [pair(0), pair(1)])
        out = DPO(beta=beta)(policy.scores(batch), reference.scores(policy, batch), batch.relations)
        losses.append(out.loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] != pytest.approx(math.log(2), rel=1e-3)


def test_responses_of_a_record_share_their_noise_and_records_do_not():
    policy = ready()
    noised = policy.noised(batch_of(policy, [pair(0), pair(1)]))
    assert noised.time[0] == noised.time[1] != noised.time[2]
    clean = torch.stack([torch.from_numpy(r.arrays["latents"]) for r in pair(0).responses])
    level = noised.time[:2, None, None]
    noise = (noised.noisy[:2] - (1 - level) * clean) / level
    assert torch.allclose(noise[0], noise[1], atol=1e-4)


def test_visits_draw_anew_and_replays_come_round():
    free, three = ready(), ready(replays=3)
    times = [[p.noised(batch_of(p, [pair(0)], visits=[v])).time[0].item() for v in range(6)] for p in (free, three)]
    assert len(set(times[0])) == 6
    assert times[1] == times[0][:3] * 2


def test_policy_equal_to_reference_costs_log_2_and_its_gradient_is_the_winners_descent():
    policy = ready()
    reference = Frozen()
    reference.configure(policy)
    batch = batch_of(policy, [pair(0), pair(1)])
    out = DPO()(policy.scores(batch), reference.scores(policy, batch), batch.relations)
    assert out.loss.item() == pytest.approx(math.log(2), rel=1e-6)
    out.loss.backward()
    found = [p.grad.clone() for p in policy.parameters() if p.grad is not None]
    policy.zero_grad()
    # At equality σ'(0)-weighting gives β/2 · ½ of the difference of both errors' gradients.
    scores = policy.scores(batch)
    expected = 2000 / 4 * (scores.errors[0::2] - scores.errors[1::2]).mean()
    expected.backward()
    for one, two in zip(found, [p.grad for p in policy.parameters() if p.grad is not None], strict=True):
        assert torch.allclose(one, two, rtol=1e-4, atol=1e-4)


def test_padded_frames_take_no_part():
    policy = ready()
    alone = policy.scores(batch_of(policy, [pair(0, (4, 2))]))
    padded = policy.scores(batch_of(policy, [pair(0, (4, 2)), pair(1, (7, 7))]))
    # The network works frame by frame, so nothing of the padding may reach the first record's scores.
    assert torch.allclose(padded.logps[:2], alone.logps, rtol=1e-5)
    single = PreferenceRecord(
        id="r0", prompt=pair(0).prompt, responses=(pair(0, (4, 2)).responses[1],), verdict=Group((1.0,))
    )
    assert policy.scores(batch_of(policy, [single])).logps[0].item() == pytest.approx(alone.logps[1].item(), rel=1e-5)


def test_frame_segments_weigh_the_error():
    policy = ready()
    plain = pair(0)
    weighted = copy.copy(plain.responses[0])
    weighted = Response(arrays=weighted.arrays, segments=(Segment(1, 3, 3.0, axis="frame"),))
    record = PreferenceRecord(
        id="r0", prompt=plain.prompt, responses=(weighted, plain.responses[1]), verdict=plain.verdict
    )
    batch = batch_of(policy, [record])
    noised = policy.noised(batch)
    predicted = policy.denoiser.predict(noised.noisy, noised.time, noised.condition)
    square = ((predicted - noised.target) ** 2)[0].mean(0)  # per frame
    expected = (square[0] + 3 * square[1] + 3 * square[2] + square[3]) / 4
    assert policy.scores(batch).errors[0].item() == pytest.approx(expected.item(), rel=1e-5)


def test_min_snr_weighs_each_row():
    plain, weighted = ready(), ready(min_snr_gamma=5.0)
    batches = [batch_of(policy, [pair(0)]) for policy in (plain, weighted)]
    level = plain.noised(batches[0]).time[0].item()
    factor = min(((1 - level) / level) ** 2, 5.0) * level**2
    ratio = weighted.scores(batches[1]).errors[0] / plain.scores(batches[0]).errors[0]
    assert ratio.item() == pytest.approx(factor, rel=1e-4)


def test_own_levels_replace_the_familys():
    policy = ready(levels=Levels("fixed", values=(0.25,)))
    assert policy.noised(batch_of(policy, [pair(0), pair(1)])).time.tolist() == [0.25] * 4


def test_adapter_off_is_the_network_without_adapter_and_full_training_has_none():
    policy = ready(lora=LoraSettings(r=2, alpha=4))
    bare = ready()
    batch = batch_of(policy, [pair(0)])
    trained = [name for name, p in policy.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    before = bare.scores(batch_of(bare, [pair(0)])).logps
    assert torch.allclose(policy.scores(batch).logps, before)
    disturb(policy)
    reference = AdapterOff()
    reference.configure(policy)
    assert torch.allclose(reference.scores(policy, batch).logps, before)
    assert not torch.allclose(policy.scores(batch).logps, before)
    with pytest.raises(CapabilityError, match="adapter_off"):
        AdapterOff().configure(bare)


def test_cached_errors_equal_recomputed_ones(tmp_path):
    policy, frozen, cached = ready(replays=3), Frozen(), Cached(str(tmp_path))
    records = [pair(0), pair(1, (4, 2))]
    frozen.configure(policy)
    cached.configure(policy)
    cached.prepare(policy, [[batch_of(policy, records)]], None)
    disturb(policy)
    for visit in range(5):
        batch = batch_of(policy, records, visits=[visit, visit + 1])
        looked_up, computed = cached.scores(policy, batch), frozen.scores(policy, batch)
        assert torch.equal(looked_up.logps, computed.logps.float())
        assert torch.equal(looked_up.errors, computed.errors)
        assert looked_up.units == "mse/2"


def test_endless_noise_cannot_be_cached(tmp_path):
    policy, cached = ready(), Cached(str(tmp_path))
    cached.configure(policy)
    with pytest.raises(CapabilityError, match="set replays on the policy"):
        cached.prepare(policy, [[batch_of(policy, [pair(0)])]], None)


def test_a_change_of_what_decides_the_noise_changes_the_keys():
    batch = batch_of(ready(), [pair(0)])
    seen = {
        tuple(ready(replays=4, **options).keys(batch)) for options in ({}, {"noise_seed": 1}, {"min_snr_gamma": 5.0})
    }
    assert len(seen) == 3
    steps = [StepPath(alphas_cumprod=torch.tensor([0.9, last])) for last in (0.5, 0.4)]
    policies = [DenoisingPolicy(SmallDenoiser(path=path), replays=4) for path in steps]
    assert policies[0].keys(batch) != policies[1].keys(batch)
    policies[0].denoiser.frozen_parts = lambda: [torch.nn.Linear(1, 1)]  # as if the text encoder were another one
    policies[0]._frozen_key, before = None, policies[0].keys(batch)
    assert policies[0].keys(batch) != before
    visited = batch_of(ready(), [pair(0)], visits=[1])
    assert ready(replays=4).keys(visited) != ready(replays=4).keys(batch)


def test_a_moving_reference_follows():
    policy, moving = ready(), Moving(mixup=1.0, every=1)
    moving.configure(policy)
    disturb(policy)
    batch = batch_of(policy, [pair(0)])
    assert not torch.allclose(moving.scores(policy, batch).logps, policy.scores(batch).logps)
    moving.after_step(policy, 1)
    assert torch.allclose(moving.scores(policy, batch).logps, policy.scores(batch).logps)


def test_a_frozen_copy_shares_the_batchs_noise_and_nothing_else():
    policy, frozen = ready(), Frozen()
    frozen.configure(policy)
    batch = batch_of(policy, [pair(0)])
    policy.scores(batch)
    held = batch.inputs["noised"][1]
    frozen.scores(policy, batch)
    assert batch.inputs["noised"][1] is held
    other = ready(noise_seed=3)
    other.scores(batch)
    assert batch.inputs["noised"][1] is not held


def test_mismatched_rows_answer_another_prompt_under_its_noise():
    policy = ready()
    batch = batch_of(policy, [pair(0), pair(1)], needs=frozenset({"mismatched"}))
    noised = policy.noised(batch)
    assert len(noised.noisy) == 6
    assert noised.time[4] == noised.time[0]
    assert noised.time[5] == noised.time[2]
    assert torch.equal(noised.condition.tensors["words"][[4, 5]], noised.condition.tensors["words"][[0, 2]])
    reference = Frozen()
    reference.configure(policy)
    assert KTO()(policy.scores(batch), reference.scores(policy, batch), batch.relations).loss.item() == 0.5


@pytest.mark.parametrize(
    ("response", "match"),
    [
        (Response(text="a sound"), "reads latents only"),
        (Response(arrays={"latents": np.full((3, 4), np.nan, np.float32)}), "not finite"),
        (Response(arrays={"latents": np.zeros((3, 0), np.float32)}), "empty"),
        (Response(arrays={"latents": latents(0)}, segments=(Segment(0, 1, 2.0),)), "axis 'frame'"),
        (Response(arrays={"latents": latents(0)}, segments=(Segment(4, 5, 2.0, "frame"),)), "within 4 frames"),
    ],
)
def test_what_cannot_be_denoised_is_refused_with_the_records_id(response, match):
    record = PreferenceRecord(id="bad", prompt=Prompt(text="x"), responses=(response,), verdict=Group((1.0,)))
    with pytest.raises(RecordError, match=match) as caught:
        ready().encode(record)
    assert "bad" in str(caught.value)


def test_latents_of_other_shapes_cannot_stand_in_one_batch():
    odd = PreferenceRecord(
        id="odd",
        prompt=Prompt(text="x"),
        responses=(Response(arrays={"latents": np.zeros((2, 4), np.float32)}),),
        verdict=Group((1.0,)),
    )
    with pytest.raises(RecordError, match=r"odd.*shape \(2, -1\).*beside latents of shape \(3, -1\).*r0"):
        batch_of(ready(), [pair(0), odd])


def test_encoded_conditions_take_the_place_of_the_encoder():
    policy = ready()
    record = pair(0)
    numbers = policy.denoiser.condition([record.prompt]).tensors["words"]
    given = tuple(
        Response(arrays={**r.arrays, "condition/words": np.asarray(numbers[0].item())}) for r in record.responses
    )
    same = PreferenceRecord(id="r0", prompt=Prompt(text="something else"), responses=given, verdict=record.verdict)
    assert torch.equal(policy.scores(batch_of(policy, [same])).logps, policy.scores(batch_of(policy, [record])).logps)


def test_sampling_is_repeatable_guided_and_follows_the_scheduler():
    policy = ready()
    prompts = [Prompt(text="word 0"), Prompt(text="word 1")]

    def drawn(**options):
        found = policy.sample(prompts, 2, generator=torch.Generator().manual_seed(3), **options)
        return np.stack([r.arrays["latents"] for group in found for r in group])

    assert drawn().shape == (4, 3, 4)
    assert np.array_equal(drawn(), drawn())
    assert not np.allclose(drawn(guidance=1.0), drawn(guidance=3.0))
    # Euler by hand: from u = 1 in equal steps, x moves against the velocity; guidance 1 leaves the prediction alone.
    noise = torch.randn(4, 3, 4, generator=torch.Generator().manual_seed(3))
    condition = policy.denoiser.condition([prompts[0], prompts[0], prompts[1], prompts[1]])
    expected = noise
    with torch.no_grad():
        for step in range(5):
            level = torch.full((4,), 1 - step / 5)
            expected = expected - policy.denoiser.predict(expected, level, condition) / 5
    assert np.allclose(drawn(guidance=1.0, steps=5), expected.numpy(), atol=1e-5)


def test_sampling_refuses_what_it_does_not_know():
    with pytest.raises(PrefalignError, match="temperature"):
        ready().sample([Prompt(text="x")], temperature=1.0)
    with pytest.raises(PrefalignError, match="steps >= 1"):
        ready().sample([Prompt(text="x")], steps=0)


def test_settings_out_of_range_are_refused():
    for wrong in ({"replays": 0}, {"min_snr_gamma": 0.0}):
        with pytest.raises(PrefalignError, match=next(iter(wrong))):
            DenoisingPolicy(SmallDenoiser(), **wrong)
    with pytest.raises(PrefalignError, match="no parameter of SmallNetwork has decoder"):
        ready(frozen=["decoder"])


def test_another_path_needs_no_change():
    policy = DenoisingPolicy(SmallDenoiser(path=CosinePath()))
    policy.configure_model()
    assert policy.scores(batch_of(policy, [pair(0)])).errors.isfinite().all()


def test_the_adapter_is_saved_as_safetensors_and_the_network_too(tmp_path):
    ready(lora=LoraSettings(r=2)).save_pretrained(tmp_path / "adapter")
    ready().save_pretrained(tmp_path / "whole")
    assert [file.name for file in (tmp_path / "adapter").iterdir()] == ["pytorch_lora_weights.safetensors"]
    assert [file.name for file in (tmp_path / "whole").iterdir()] == ["model.safetensors"]
