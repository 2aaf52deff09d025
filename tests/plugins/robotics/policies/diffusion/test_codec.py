"""Records of chunks are read as they say, and refused with the record's name."""

import dataclasses

import numpy as np
import pytest
import torch

from prefalign.data.sources import open_records
from prefalign.data.store import write_records
from prefalign.interfaces import Group, Prompt, RecordError, Unary
from prefalign.objectives.dpo import DPO
from prefalign.objectives.reward_weighted import RewardWeighted
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.policies.reference import Frozen
from prefalign_robotics.policies.diffusion.codec import chunk_record


def record(count=2, returns=(1.0, 2.0), name="r"):
    generator = np.random.default_rng(0)
    returns = None if returns is None else np.array(returns)
    return chunk_record(name, "reach", generator.standard_normal(5), generator.uniform(-1, 1, (count, 4, 3)), returns)


def changed(found, **arrays):
    first, *others = found.responses
    kept = {name: value for name, value in {**first.arrays, **arrays}.items() if value is not None}
    return dataclasses.replace(found, responses=(dataclasses.replace(first, arrays=kept), *others))


@pytest.fixture
def policy(small):
    made = DenoisingPolicy(small(), score="mse", replays=4)
    made.configure_model()
    made.denoiser.network.set_scales(torch.randn(9, 5), torch.tensor([[-1.0, -1, -1], [1, 3, 1]]))
    return made


def scores(policy, *records):
    return policy.scores(policy.collate([policy.encode(one) for one in records])).logps


def test_returns_rank_and_demonstrations_are_desirable():
    assert record().verdict == Group((1.0, 2.0))
    assert [response.scores for response in record().responses] == [{"return": 1.0}, {"return": 2.0}]
    assert record(3, None).verdict == Unary((True,) * 3)
    for wrong in ((1.0,), (1.0, 2.0, 3.0), (1.0, np.nan)):
        with pytest.raises(RecordError, match=r"record 'r'.*a finite return for each of 2 chunks, got \[1\.0"):
            record(2, wrong)


def test_records_come_through_their_file(tmp_path):
    write_records([record(), record(3, None, "s")], tmp_path / "a.parquet")
    source = open_records(str(tmp_path / "a.parquet"))
    assert [source[0], source[1]] == [record(), record(3, None, "s")]


def test_scaled_chunks_and_observations_of_prompts_mean_the_same(policy):
    """`latents` are (2x − low − high)/(high − low); an observation may stand among the prompt's conditions."""
    plain = record()
    seen = plain.responses[0].arrays["condition/observation"]
    said = tuple(
        dataclasses.replace(one, arrays={"latents": (one.arrays["actions"] - [0, 1, 0]) / np.float32([1, 2, 1])})
        for one in plain.responses
    )
    other = dataclasses.replace(
        plain, prompt=Prompt(text="reach", conditions={"observation": seen.tolist()}), responses=said
    )
    assert torch.allclose(scores(policy, other), scores(policy, plain), rtol=1e-4)
    moved = changed(plain, **{"condition/observation": seen + 1})
    assert not torch.allclose(scores(policy, moved)[0], scores(policy, plain)[0], rtol=1e-3)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        (
            {"actions": None, "other": np.zeros(2)},
            r"field 'responses\[0\]\.arrays': expected an array 'actions' \(H, A\)",
        ),
        ({"actions": np.zeros((5, 3))}, r"arrays\.actions': expected finite numbers \(4, 3\).*got \(5, 3\)"),
        ({"actions": np.full((4, 3), np.inf)}, r"arrays\.actions': expected finite numbers \(4, 3\)"),
        ({"latents": np.zeros((4, 2))}, r"arrays\.latents': expected finite numbers \(4, 3\).*got \(4, 2\)"),
        ({"condition/observation": np.zeros(4)}, r"condition/observation': expected finite numbers \(5,\).*got \(4,\)"),
        ({"condition/observation": np.full(5, np.nan)}, r"condition/observation': expected finite numbers \(5,\)"),
        ({"condition/goal": np.zeros(2)}, "the condition 'condition/observation' alone, got condition/goal, cond"),
        ({"condition/observation": None}, "expected 5 numbers under the prompt's conditions, 'observation'; got none"),
    ],
)
def test_what_does_not_fit_the_policy_is_refused_by_name(policy, arrays, match):
    with pytest.raises(RecordError, match=f"record 'r', .*{match}"):
        policy.encode(changed(record(), **arrays))


@pytest.mark.parametrize("said", ["far away", [1.0, 2, 3, 4, "5"], [1.0, 2, 3, 4, float("nan")], 7])
def test_observations_of_prompts_are_numbers(policy, said):
    bare = changed(record(1, (1.0,)), **{"condition/observation": None})
    told = dataclasses.replace(bare, prompt=Prompt(text="reach", conditions={"observation": said}))
    with pytest.raises(RecordError, match="under the prompt's conditions"):
        policy.encode(told)


def test_records_are_checked_before_weights_are_loaded(small, tmp_path):
    small().save_pretrained(tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    codec = type(small())(str(tmp_path)).codec()
    assert codec.encode(record()).rows[0].data.shape == (4, 3)
    with pytest.raises(RecordError, match="expected finite numbers"):
        codec.encode(changed(record(), actions=np.zeros((1, 3))))
    assert codec.fingerprint() == small().codec().fingerprint() != small(horizon=5).codec().fingerprint()


# Preferences ----------------------------------------------------------------------------------------------------------


def test_diffusion_dpo_is_what_the_paper_says(policy, small):
    """D = (e_w − e_ref,w) − (e_l − e_ref,l) at a shared step and noise; −σ(−βD), or −log σ(−βD)."""
    reference = Frozen()
    reference.configure(policy)
    batch = policy.collate([policy.encode(record())])
    with torch.no_grad():
        for parameter in policy.denoiser.network.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    mine, theirs = policy.scores(batch), reference.scores(policy, batch)
    noised = policy.noised(batch)
    assert noised.time[0] == noised.time[1]
    clean = policy.denoiser.encode(batch.inputs["media"])
    drawn = policy.denoiser.path.mixture((noised.time[:1].double() + 0.5) / 100)
    noise = (noised.noisy - drawn[0].float() * clean) / drawn[1].float()
    assert torch.allclose(noise[0], noise[1], atol=1e-3)
    e, e_ref = mine.errors.double(), theirs.errors.double()
    d = (e[1] - e_ref[1]) - (e[0] - e_ref[0])  # the second chunk earned more
    assert abs(d.item()) > 1e-4
    for link, expected in (
        ("negative_sigmoid", -torch.sigmoid(-100 * d)),
        ("sigmoid", -torch.log(torch.sigmoid(-100 * d))),
    ):
        loss = DPO(beta=100.0, loss_type=link)(mine, theirs, batch.relations).loss
        assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
        equal = DPO(beta=100.0, loss_type=link)(theirs, theirs, batch.relations).loss
        assert equal.item() == pytest.approx({"negative_sigmoid": -0.5, "sigmoid": np.log(2)}[link], rel=1e-6)


@pytest.mark.parametrize(("link", "moves"), [("negative_sigmoid", False), ("sigmoid", True)])
def test_equal_returns_pull_only_with_the_logarithm(policy, link, moves):
    """−σ(x) and −σ(−x) add up to −1, so a tie has no gradient; −log σ(x) − log σ(−x) has one away from 0."""
    reference = Frozen()
    reference.configure(policy)
    batch = policy.collate([policy.encode(record(2, (3.0, 3.0)))])
    with torch.no_grad():
        for parameter in policy.denoiser.network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    loss = DPO(beta=100.0, loss_type=link)(policy.scores(batch), reference.scores(policy, batch), batch.relations).loss
    loss.backward()
    pull = max(float(p.grad.abs().max()) for p in policy.denoiser.network.parameters() if p.grad is not None)
    assert (pull > 1e-2) == moves
    assert moves or pull < 1e-4


def test_all_candidates_of_a_state_are_compared_at_one_draw(policy):
    batch = policy.collate([policy.encode(record(4, (1.0, 3.0, 2.0, 3.0)))])
    assert len(batch.relations.chosen) == 6
    assert batch.relations.tie.sum() == 1
    assert len(policy.noised(batch).time.unique()) == 1


def test_demonstrations_cost_their_denoising_error(policy):
    batch = policy.collate([policy.encode(record(3, None)), policy.encode(record(1, None, "s"))])
    found = policy.scores(batch)
    assert RewardWeighted()(found, None, batch.relations).loss.item() == pytest.approx(found.errors.mean().item())
