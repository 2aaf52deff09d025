"""The token policy against Transformers' own logits, and its reading of records."""

import pytest
import torch

from prefalign.interfaces import (
    Message,
    Pair,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    RecordError,
    Response,
    Segment,
    Unary,
)
from prefalign.models.pretrained import LoraSettings
from prefalign.policies.token import TokenPolicy
from prefalign.testing.tiny import LLAMA, save_tokenizer, word_pairs


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def policy(tokenizer):
    made = TokenPolicy(dict(LLAMA), tokenizer)
    made.configure_model()
    return made


def pair(chosen="yes", rejected="no", prompt="ok? ", **fields):
    first = chosen if isinstance(chosen, Response) else Response(text=chosen)
    second = rejected if isinstance(rejected, Response) else Response(text=rejected)
    prompt = Prompt(text=prompt) if isinstance(prompt, str) else prompt
    return PreferenceRecord(id="r", prompt=prompt, responses=(first, second), verdict=Pair(), **fields)


def brute_force(policy, prompt, completion):
    """Sum of log-probabilities one token at a time, each from its own unpadded forward pass."""
    total, ids = 0.0, list(prompt)
    for token in completion:
        logits = policy.model(input_ids=torch.tensor([ids])).logits[0, -1]
        total += logits.log_softmax(-1)[token].item()
        ids.append(token)
    return total


def test_logps_equal_brute_force(policy):
    """`<bos>ok? ` is the prompt, `yes<eos>` the completion: 4 scored tokens, 3 for `no<eos>`."""
    examples = [policy.encode(pair()), policy.encode(pair("a much longer answer", "b"))]
    scores = policy.scores(policy.collate(examples))
    assert scores.lengths.tolist() == [4, 3, 21, 2]
    rows = [row for example in examples for row in example.rows]
    expected = [brute_force(policy, row.prompt, row.completion) for row in rows]
    torch.testing.assert_close(scores.logps.detach(), torch.tensor(expected), rtol=1e-5, atol=1e-5)


def test_the_end_token_is_scored_and_the_prompt_is_not(policy):
    row = policy.encode(pair()).rows[0]
    assert policy.codec.tokenizer.convert_ids_to_tokens(row.prompt) == ["<bos>", "o", "k", "?", " "]
    assert policy.codec.tokenizer.convert_ids_to_tokens(row.completion) == ["y", "e", "s", "<eos>"]


def test_chat_template_ends_the_turn(policy):
    record = pair(prompt=Prompt(messages=(Message("user", ("hi",)),)))
    row = policy.encode(record).rows[0]
    assert policy.codec.tokenizer.decode(row.prompt) == "<bos><user>hi<eos><assistant>"
    assert policy.codec.tokenizer.decode(row.completion) == "yes<eos>"


def test_gradients_equal_the_plain_path(policy):
    batch = policy.collate([policy.encode(r) for r in word_pairs(3)])
    weights = torch.randn(6)
    fast = torch.autograd.grad((policy.scores(batch).logps * weights).sum(), list(policy.parameters()))
    policy._plain_head = True
    plain = torch.autograd.grad((policy.scores(batch).logps * weights).sum(), list(policy.parameters()))
    for mine, theirs in zip(fast, plain, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_padding_and_order_do_not_matter(policy):
    records = word_pairs(4)
    examples = [policy.encode(r) for r in records]
    together = policy.scores(policy.collate(examples)).logps.detach()
    alone = torch.cat([policy.scores(policy.collate([e])).logps.detach() for e in examples])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_statistics_and_prompt(policy):
    example = policy.encode(pair())
    batch = policy.collate([example])
    scores = policy.scores(batch, frozenset({"collision", "entropy", "prompt_logps"}))
    logits = policy.model(input_ids=batch.inputs["input_ids"], attention_mask=batch.inputs["attention_mask"]).logits
    logs = logits[:, :-1].log_softmax(-1)
    torch.testing.assert_close(scores.entropy[0, 4:8], -(logs.exp() * logs).sum(-1)[0, 4:8], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scores.collision[0, 4:8], (2 * logs).logsumexp(-1)[0, 4:8], rtol=1e-4, atol=1e-5)
    ids = example.rows[0].prompt
    expected = sum(logs[0, i, ids[i + 1]] for i in range(4))
    torch.testing.assert_close(scores.prompt_logps[0], expected, rtol=1e-4, atol=1e-5)
    assert scores.prompt_lengths.tolist() == [4, 4]


def test_segments_become_token_weights(policy):
    """One character is one token: [1, 3) of `yes` weighs 5, the end token keeps 1."""
    chosen = Response(text="yes", segments=(Segment(1, 3, 5.0),))
    rejected = Response(text="no", segments=(Segment(2, 3, 2.0, axis="token"),))
    example = policy.encode(pair(chosen, rejected))
    assert example.rows[0].weights == [1, 5, 5, 1]
    assert example.rows[1].weights == [1, 1, 2]
    scores = policy.scores(policy.collate([example]))
    logps = scores.token_logps[0][scores.mask[0]]
    torch.testing.assert_close(scores.logps[0], (logps * torch.tensor([1.0, 5, 5, 1])).sum())


def test_segments_of_a_chat_answer(policy):
    """The prompt holds the answer's text too, so a search from the start would mark the wrong place."""
    prompt = Prompt(messages=(Message("user", ("yes yes",)),))
    row = policy.encode(pair(Response(text="yes", segments=(Segment(0, 1, 3.0),)), "no", prompt)).rows[0]
    assert row.weights == [3, 1, 1, 1]


def test_a_segment_behind_the_last_character_marks_the_end_token(policy):
    record = pair(Response(text="yes", segments=(Segment(3, 4, 7.0),)))
    assert policy.encode(record).rows[0].weights == [1, 1, 1, 7]


@pytest.mark.parametrize(
    ("segment", "message"),
    [(Segment(7, 9, 2.0), "past the end"), (Segment(0, 1, 2.0, axis="face"), "axes 'char' and 'token'")],
)
def test_segments_that_fit_nothing_are_refused(policy, segment, message):
    with pytest.raises(RecordError, match=message) as caught:
        policy.encode(pair(Response(text="yes", segments=(segment,))))
    assert caught.value.record_id == "r"


def test_prompts_are_never_cut_and_completions_are(tokenizer):
    policy = TokenPolicy(dict(LLAMA), tokenizer, max_length=7)
    assert [len(row.completion) for row in policy.encode(pair("a long answer", "no")).rows] == [2, 2]
    with pytest.raises(RecordError, match="never cut"):
        policy.encode(pair(prompt="seven!!"))


def test_tokens_that_merge_across_the_border():
    """The response starts where prompt and row part, for both responses alike."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from prefalign.models.tokens import TextCodec

    vocabulary = {t: i for i, t in enumerate(["<pad>", "<eos>", "a", "b", "c", "bc"])}
    inner = Tokenizer(models.BPE(vocabulary, [("b", "c")]))
    inner.pre_tokenizer = pre_tokenizers.Split(" ", "isolated")
    codec = TextCodec(PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>"))
    rows = codec.encode(pair("c", "a", "ab")).rows
    assert [codec.tokenizer.convert_ids_to_tokens(row.prompt) for row in rows] == [["a"], ["a"]]
    assert [codec.tokenizer.convert_ids_to_tokens(row.completion) for row in rows] == [
        ["bc", "<eos>"],
        ["b", "a", "<eos>"],
    ]


def test_keys_follow_what_the_model_sees(policy):
    plain, other = policy.encode(pair()), policy.encode(pair("yes!"))
    weighted = policy.encode(pair(Response(text="yes", segments=(Segment(0, 1, 9.0),))))
    assert plain.rows[0].key == weighted.rows[0].key
    assert len({plain.rows[0].key, plain.rows[1].key, other.rows[0].key}) == 3
    assert policy.encode(pair(prompt="ok?")).rows[0].key != plain.rows[0].key


def test_mismatched_rows_pair_a_prompt_with_the_next_answer(policy):
    examples = [policy.encode(r) for r in word_pairs(3)]
    batch = policy.collate(examples, frozenset({"mismatched"}))
    assert batch.relations.mismatched.tolist() == [6, 7, 8]
    assert batch.relations.record.tolist() == [0, 0, 1, 1, 2, 2, -1, -1, -1]
    ids = batch.inputs["input_ids"][8]
    expected = [*examples[2].rows[0].prompt, *examples[0].rows[0].completion]
    assert ids[: len(expected)].tolist() == expected


def test_lora_starts_as_its_own_reference_and_trains_only_the_adapter(tokenizer):
    policy = TokenPolicy(dict(LLAMA), tokenizer, lora=LoraSettings(r=4))
    policy.configure_model()
    batch = policy.collate([policy.encode(r) for r in word_pairs(2)])
    with policy.adapter_disabled():
        off = policy.scores(batch).logps
    torch.testing.assert_close(policy.scores(batch).logps, off, rtol=0, atol=0)
    assert all("lora" in name for name, p in policy.named_parameters() if p.requires_grad)


def test_random_weights_depend_on_their_seed_only(tokenizer):
    first, second = TokenPolicy(dict(LLAMA), tokenizer), TokenPolicy(dict(LLAMA), tokenizer)
    torch.manual_seed(1)
    first.configure_model()
    torch.manual_seed(2)
    second.configure_model()
    for mine, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_capped_logits_take_the_plain_path(tokenizer):
    """Gemma 2 caps its logits after the head; hidden states times head would be wrong."""
    config = {**LLAMA, "model_type": "gemma2", "head_dim": 8, "final_logit_softcapping": 0.05}
    policy = TokenPolicy(config, tokenizer)
    policy.configure_model()
    assert policy._plain_head
    batch = policy.collate([policy.encode(pair())])
    rows = policy.encode(pair()).rows
    expected = [brute_force(policy, row.prompt, row.completion) for row in rows]
    torch.testing.assert_close(policy.scores(batch).logps.detach(), torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_sampling_is_reproducible_and_reads_back(policy, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    prompts = [Prompt(text="say a: "), Prompt(text="b")]
    draws = [policy.sample(prompts, 2, generator=torch.Generator().manual_seed(7), max_new_tokens=5) for _ in range(2)]
    assert [[r.text for r in row] for row in draws[0]] == [[r.text for r in row] for row in draws[1]]
    assert [len(row) for row in draws[0]] == [2, 2]
    policy.save_pretrained(tmp_path / "out")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ids = AutoTokenizer.from_pretrained(tmp_path / "out")("say a: ", return_tensors="pt")["input_ids"]
    assert torch.equal(again(input_ids=ids).logits, policy.model(input_ids=ids).logits)


def test_greedy_sampling_ignores_left_padding(policy):
    alone = policy.sample([Prompt(text="b")], max_new_tokens=6)[0][0].text
    beside = policy.sample([Prompt(text="a long prompt: "), Prompt(text="b")], max_new_tokens=6)[1][0].text
    assert alone == beside


def test_media_are_refused_with_the_record(policy):
    from prefalign.interfaces import Media

    record = pair(prompt=Prompt(text="what?", media=(Media(kind="image", path="a.png"),)))
    with pytest.raises(RecordError, match="text only"):
        policy.encode(record)


def test_a_config_needs_a_tokenizer():
    with pytest.raises(PrefalignError, match="needs a tokenizer"):
        TokenPolicy(dict(LLAMA))


def test_unary_records_have_one_row(policy):
    record = PreferenceRecord(id="u", prompt=Prompt(text="q"), responses=(Response(text="a"),), verdict=Unary((True,)))
    batch = policy.collate([policy.encode(record), policy.encode(pair())])
    assert batch.relations.unpaired.tolist() == [True, False, False]
    assert batch.relations.chosen.tolist() == [1]
