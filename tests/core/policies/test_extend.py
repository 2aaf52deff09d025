"""Answers written piece by piece by a language model, against the same answers drawn whole."""

import pytest
import torch

from prefalign.interfaces import (
    CapabilityError,
    Message,
    Pair,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    Response,
    Unary,
)
from prefalign.models.pretrained import LoraSettings
from prefalign.policies.token import TokenPolicy
from prefalign.testing.tiny import LLAMA, save_tokenizer

EOS = 2
PROMPTS = [Prompt(text="b"), Prompt(text="a much longer prompt: "), Prompt(messages=(Message("user", ("hi",)),))]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def policy(tokenizer):
    made = TokenPolicy(dict(LLAMA), tokenizer)
    made.configure_model()
    return made


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def in_pieces(policy, prompts, pieces, **settings):
    begun = [None] * len(prompts)
    for units in pieces:
        found = policy.extend(prompts, begun, units, **settings)
        begun = [one.response for one in found]
    return found


def drawn_whole(policy, prompt, count, **options):
    """Greedy token ids without any of our code: one unpadded prompt, one call of `generate`."""
    text, special = policy.codec.prompt_text(prompt)
    ids = policy.codec.tokenizer(text, add_special_tokens=special, return_tensors="pt")["input_ids"]
    made = policy.model.generate(
        ids, do_sample=False, max_new_tokens=count, pad_token_id=0, eos_token_id=EOS, **options
    )
    return tuple(made[0, ids.shape[1] :].tolist())


@pytest.mark.parametrize("pieces", [[12], [1] * 12, [5, 4, 3]])
def test_greedy_pieces_are_the_greedy_whole_token_for_token(policy, pieces):
    found = in_pieces(policy, PROMPTS, pieces)
    assert [one.response.token_ids for one in found] == [drawn_whole(policy, prompt, 12) for prompt in PROMPTS]
    sampled = policy.sample(PROMPTS, max_new_tokens=12)
    assert [one.response.text for one in found] == [row[0].text for row in sampled]
    assert [one.ended for one in found] == [one.response.token_ids[-1] == EOS for one in found]
    assert sum(one.ended for one in found) == 1, "with these weights one answer ends by itself"


def test_one_piece_draws_what_sample_draws(policy):
    """The same rows in the same order meet the same random numbers."""
    repeated = [prompt for prompt in PROMPTS for _ in range(3)]
    found = policy.extend(repeated, [None] * 9, 8, generator=seeded(3))
    sampled = policy.sample(PROMPTS, 3, generator=seeded(3), max_new_tokens=8)
    assert [one.response.text for one in found] == [response.text for row in sampled for response in row]
    assert len({one.response.text for one in found}) == 9


def test_sampled_pieces_are_reproducible(policy):
    first, again, other = (
        [one.response for one in in_pieces(policy, PROMPTS, [4, 4], generator=seeded(seed))] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_options_reach_the_model(policy):
    """At a temperature near 0 sampling is greedy."""
    cold = in_pieces(policy, PROMPTS, [6, 6], generator=seeded(0), temperature=1e-4)
    assert [one.response.token_ids for one in cold] == [drawn_whole(policy, prompt, 12) for prompt in PROMPTS]


@pytest.fixture
def ending(policy):
    """What greedy answers give away: ids of which one ends row 0 after its third token, row 1 later or never."""
    rows = [drawn_whole(policy, prompt, 12) for prompt in PROMPTS[:2]]
    end = rows[0][2]
    stops = [row.index(end) + 1 if end in row else len(row) for row in rows]
    assert stops[0] < stops[1], "the two answers must end apart for the test to see anything"
    return rows, end, stops


def test_the_end_token_ends_a_row_and_leaves_the_others_alone(policy, ending):
    rows, end, stops = ending
    for pieces in ([12], [4, 8]):
        found = in_pieces(policy, PROMPTS[:2], pieces, eos_token_id=end)
        assert [one.response.token_ids for one in found] == [row[:stop] for row, stop in zip(rows, stops, strict=True)]
        assert [one.ended for one in found] == [True, stops[1] < 12 or rows[1][-1] == end]


def test_what_has_ended_is_not_extended(policy):
    """Only the row that goes on is drawn, so that it meets the numbers it would meet alone."""
    done = Response(text="ab", token_ids=(10, 11, EOS))
    both = policy.extend(PROMPTS[:2], [done, None], 5, generator=seeded(4))
    alone = policy.extend(PROMPTS[1:2], [None], 5, generator=seeded(4))
    assert both[0].ended
    assert both[0].response.token_ids == (10, 11, EOS)
    assert both[1] == alone[0]
    generator = seeded(4)
    before = generator.get_state()
    assert policy.extend(PROMPTS[:1], [done], 5, generator=generator)[0].ended
    assert torch.equal(generator.get_state(), before)


def test_a_response_reads_as_its_text_without_special_tokens(policy):
    tokenizer = policy.codec.tokenizer
    ids = tuple(tokenizer("abc", add_special_tokens=False)["input_ids"])
    (found,) = policy.extend(PROMPTS[:1], [Response(text="-", token_ids=(*ids, EOS))], 1)
    assert (found.response.text, found.response.source) == ("abc", "llama")


def test_the_codec_reads_the_tokens_that_were_drawn(policy):
    """An answer that stops in the middle is scored without an end, one that has ended with it."""
    tokenizer = policy.codec.tokenizer
    ids = tuple(tokenizer("abc", add_special_tokens=False)["input_ids"])
    cut, ended = Response(text="abc", token_ids=ids), Response(text="abc", token_ids=(*ids, EOS))
    record = PreferenceRecord(id="r", prompt=PROMPTS[0], responses=(ended, cut), verdict=Pair())
    assert [row.completion for row in policy.encode(record).rows] == [[*ids, EOS], [*ids]]
    plain = PreferenceRecord(id="p", prompt=PROMPTS[0], responses=(Response(text="abc"),), verdict=Unary((True,)))
    scores = policy.scores(policy.collate([policy.encode(record), policy.encode(plain)])).logps
    torch.testing.assert_close(scores[0], scores[2])


def test_the_model_keeps_its_mode_and_gets_no_gradient(policy):
    policy.model.train()
    policy.extend(PROMPTS[:1], [None], 2)
    assert policy.model.training
    assert all(parameter.grad is None for parameter in policy.parameters())
    policy.model.eval()


def test_an_adapter_extends_too(tokenizer):
    policy = TokenPolicy(dict(LLAMA), tokenizer, lora=LoraSettings(r=4))
    policy.configure_model()
    (found,) = in_pieces(policy, PROMPTS[:1], [2, 3])
    assert found.response.text == policy.sample(PROMPTS[:1], max_new_tokens=5)[0][0].text


@pytest.mark.parametrize(
    ("prompts", "begun", "units", "options", "message"),
    [
        (PROMPTS[:2], [None], 1, {}, "2 prompts, 1 answers"),
        (PROMPTS[:1], [None], 0, {}, "units 0"),
        (PROMPTS[:1], [None], 1, {"max_new_tokens": 3}, "leave out 'max_new_tokens'"),
        (PROMPTS[:1], [None], 1, {"num_return_sequences": 3}, "leave out 'num_return_sequences'"),
        (PROMPTS[:2], [None, Response(text="a")], 1, {}, r"begun\[1\] has no token_ids"),
    ],
)
def test_what_cannot_be_extended_is_refused(policy, prompts, begun, units, options, message):
    with pytest.raises(PrefalignError, match=message):
        policy.extend(prompts, begun, units, **options)


def test_a_subclass_with_its_own_sampling_does_not_inherit_extend(tokenizer):
    class Barred(TokenPolicy):
        def sample(self, prompts, n=1, *, generator=None, **options):
            return super().sample(prompts, n, generator=generator, suppress_tokens=[5], **options)

    policy = Barred(dict(LLAMA), tokenizer)
    with pytest.raises(CapabilityError, match="Barred samples in a way of its own"):
        policy.extend(PROMPTS[:1], [None], 1)
