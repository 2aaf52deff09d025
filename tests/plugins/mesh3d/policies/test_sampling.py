"""Drawing meshes: the same distribution that is scored, ends, settings."""

import math

import pytest
import torch
from tests.plugins.mesh3d.policies.conftest import a_cloud, a_record

from prefalign.interfaces import Media, PrefalignError, Prompt
from prefalign_mesh3d.mesh.clouds import cloud_bytes
from prefalign_mesh3d.policies.sampling import SamplingSettings, _chosen


def prompts(count: int) -> list[Prompt]:
    return [Prompt(media=(Media(kind="points", data=cloud_bytes(a_cloud(seed))),)) for seed in range(count)]


@pytest.mark.parametrize("windows", [{}, {"window": 12, "stride": 6}], ids=["whole", "sliding"])
def test_greedy_tokens_are_the_likeliest_under_the_context_they_are_scored_under(make_policy, windows) -> None:
    # These weights write forty different enough tokens; others repeat one for ever, whatever stands before it.
    policy = make_policy(max_tokens=40, init_seed=2, **windows)
    (drawn,) = policy.sample(prompts(1))
    ids = drawn[0].token_ids
    assert len(set(ids)) >= 10
    record = a_record("drawn", (5, 5), prompt=prompts(1)[0])
    record = type(record)(
        id="d", prompt=record.prompt, responses=(drawn[0], record.responses[1]), verdict=record.verdict
    )
    batch = policy.collate([policy.encode(record)])
    found = policy.scores(batch).token_logps[0]
    ids_in, condition = batch.inputs["input_ids"], policy.network.condition(batch.inputs["points"])
    for position, token in enumerate(ids):
        start = 0 if position < 12 or not windows else ((position - 12) // 6 + 1) * 6
        logits = policy.network.head(policy.network.hidden(ids_in[:, start : position + 1], condition, start))[0, -1]
        logits[policy.tokenizer.bos_id] = -math.inf
        assert logits.argmax() == token
        # The score counts the id that sampling never draws.
        assert found[position] <= logits.log_softmax(-1)[token]


def test_sampled_tokens_follow_the_models_probabilities(make_policy) -> None:
    policy = make_policy()
    generator = torch.Generator().manual_seed(0)
    (drawn,) = policy.sample(prompts(1), 4000, generator=generator, max_tokens=1)
    counts = torch.bincount(torch.tensor([one.token_ids[0] for one in drawn]), minlength=policy.tokenizer.vocab_size)
    points = torch.from_numpy(a_cloud(0))[None]
    bos = torch.tensor([[policy.tokenizer.bos_id]])
    logits = policy.model(bos, points)[0, 0]
    # No sequence begins twice.
    logits[policy.tokenizer.bos_id] = -math.inf
    expected = 4000 * logits.softmax(-1)
    assert counts[policy.tokenizer.bos_id] == 0
    seen = expected > 0
    # Pearson's statistic over 89 cells has mean 88 and standard deviation 13.
    assert ((counts - expected).square() / expected)[seen].sum() < 88 + 4 * math.sqrt(2 * 88)


def test_equal_generators_give_equal_meshes_and_rows_do_not_disturb_each_other(make_policy) -> None:
    policy = make_policy(max_tokens=25)

    def draw(seed: int) -> list:
        return [
            [one.token_ids for one in drawn]
            for drawn in policy.sample(prompts(3), 2, generator=torch.Generator().manual_seed(seed))
        ]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert [len(drawn) for drawn in draw(1)] == [2, 2, 2]
    greedy = [drawn[0].token_ids for drawn in policy.sample(prompts(3))]
    assert greedy == [policy.sample([prompt])[0][0].token_ids for prompt in prompts(3)]


def test_a_mesh_that_ends_has_the_end_id_last_and_the_others_go_on(make_policy) -> None:
    policy = make_policy(max_tokens=60)
    eos = policy.tokenizer.eos_id
    with torch.no_grad():
        # About every tenth token is the end.
        policy.model.head.weight[eos] *= 0
        policy.model.head.weight.mul_(0.2)
        policy.model.get_output_embeddings().register_forward_hook(
            lambda m, i, out: out.index_add(
                -1, torch.tensor([eos]), torch.full((*out.shape[:-1], 1), 2.3, dtype=out.dtype)
            )
        )
    (drawn,) = policy.sample(prompts(1), 200, generator=torch.Generator().manual_seed(0))
    lengths = [len(one.token_ids) for one in drawn]
    assert len(set(lengths)) > 10
    assert all(eos not in one.token_ids[:-1] for one in drawn)
    assert all(one.token_ids[-1] == eos or len(one.token_ids) == 60 for one in drawn)


def test_training_mode_and_random_state_are_left_as_they_were(make_policy) -> None:
    policy = make_policy(max_tokens=5)
    state = torch.get_rng_state()
    policy.sample(prompts(1), generator=torch.Generator().manual_seed(0))
    assert policy.network.training
    assert torch.equal(torch.get_rng_state(), state)


def test_processors_decide_what_can_come_next(make_policy) -> None:
    policy = make_policy(max_tokens=9)
    seen = []

    def only_small(tokens: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        seen.append(tokens.shape[1])
        allowed = torch.full_like(logits, -torch.inf)
        allowed[:, :4] = 0
        return logits + allowed

    (drawn,) = policy.sample(prompts(1), 3, generator=torch.Generator().manual_seed(0), processors=[only_small])
    assert all(token < 4 for one in drawn for token in one.token_ids)
    assert seen == list(range(1, 10))


def test_temperature_top_k_and_top_p_by_hand() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, 3.0]], dtype=torch.float64).expand(20_000, 4)

    def shares(**options: float) -> torch.Tensor:
        drawn = _chosen(logits, SamplingSettings(**options), torch.Generator().manual_seed(0))
        return torch.bincount(drawn, minlength=4) / len(drawn)

    def close(found: torch.Tensor, expected: list[float]) -> None:
        torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=0.012)

    close(shares(), [0.0321, 0.0871, 0.2369, 0.6439])
    # At temperature 1/2 the odds are squared.
    close(shares(temperature=0.5), [0.0021, 0.0158, 0.1171, 0.8650])
    close(shares(top_k=2), [0.0, 0.0, 0.2689, 0.7311])
    # 0.644 does not reach 0.7, so the second one stays as well.
    close(shares(top_p=0.7), [0.0, 0.0, 0.2689, 0.7311])
    close(shares(top_p=0.6), [0.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -1}, {"max_tokens": 0}]
)
def test_settings_out_of_range_are_refused(options) -> None:
    with pytest.raises(PrefalignError, match="expected temperature > 0"):
        SamplingSettings(**options)
