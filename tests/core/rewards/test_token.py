"""The token reward against Transformers' own sequence classifiers."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from prefalign.interfaces import PrefalignError
from prefalign.models.pretrained import LoraSettings
from prefalign.rewards.token import TokenReward
from prefalign.testing.tiny import LLAMA, character_tokenizer, word_pairs

GPT2 = {"model_type": "gpt2", "vocab_size": 104, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}
BERT = {"model_type": "bert", "vocab_size": 104, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
BERT |= {"intermediate_size": 64, "pad_token_id": 0}


@pytest.fixture(scope="module")
def base(tmp_path_factory, tokenizer):
    """A saved causal language model, to start rewards from."""
    folder = tmp_path_factory.mktemp("base")
    TokenReward(dict(LLAMA), tokenizer).codec.tokenizer.save_pretrained(folder)
    from transformers import AutoConfig

    torch.manual_seed(3)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**LLAMA)).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def make(tokenizer):
    """A function that makes a configured reward."""

    def build(model=None, **options):
        reward = TokenReward(model or dict(LLAMA), None if isinstance(model, str) else tokenizer, **options)
        reward.configure_model()
        return reward

    return build


def encoded(reward, count=4):
    """A batch of pairs whose rows differ in length."""
    return reward.codec.collate([reward.codec.encode(record) for record in word_pairs(count)])


@pytest.mark.parametrize("family", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_rewards_are_the_head_at_each_rows_own_last_token(make, family):
    """Row by row without padding: the head applied to the last of the trunk's hidden states."""
    reward = make(dict(family))
    batch = encoded(reward)
    expected = []
    for row in (row for record in word_pairs(4) for row in reward.codec.encode(record).rows):
        hidden = reward.model.base_model(input_ids=torch.tensor([[*row.prompt, *row.completion]])).last_hidden_state
        expected.append(hidden[0, -1] @ reward.model.score.weight[0])
    out = reward(batch)
    assert out.mean.shape == (8, 1)
    assert out.valid.all()
    assert out.variance is None
    torch.testing.assert_close(out.mean[:, 0], torch.stack(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", [LLAMA, GPT2, BERT], ids=["llama", "gpt2", "bert"])
def test_transformers_reads_the_saved_model_alike(make, family, tmp_path):
    reward = make(dict(family))
    reward.save_pretrained(tmp_path)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.config.id2label == {0: "reward"}
    batch = encoded(reward)
    logits = theirs(input_ids=batch.inputs["input_ids"], attention_mask=batch.inputs["attention_mask"]).logits
    torch.testing.assert_close(reward.eval()(batch).mean, logits, rtol=1e-5, atol=1e-6)
    texts = [r.prompt.text + a.text + "<eos>" for r in word_pairs(4) for a in r.responses]
    padded = tokenizer(texts, padding=True, return_tensors="pt")
    assert torch.equal(padded["input_ids"], batch.inputs["input_ids"])


def test_a_tokenizer_without_padding_is_read_alike_too(tmp_path):
    """Padding is then the end token, and both sides read the token before the end."""
    plain = character_tokenizer()
    plain.pad_token = None
    plain.save_pretrained(tmp_path / "tokenizer")
    reward = TokenReward({**LLAMA, "pad_token_id": None}, str(tmp_path / "tokenizer"))
    reward.configure_model()
    reward.save_pretrained(tmp_path / "saved")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").pad_token == "<eos>"
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    batch = encoded(reward)
    inputs = {name: batch.inputs[name] for name in ("input_ids", "attention_mask")}
    torch.testing.assert_close(reward(batch).mean, theirs(**inputs).logits, rtol=1e-5, atol=1e-6)
    row = reward.codec.encode(word_pairs(1)[0]).rows[0]
    alone = reward.model.base_model(input_ids=torch.tensor([[*row.prompt, *row.completion]])).last_hidden_state
    torch.testing.assert_close(reward(batch).mean[0], alone[0, -2] @ reward.model.score.weight.T, rtol=1e-5, atol=1e-6)


def test_gaussian_heads_give_means_before_log_variances(make):
    """The head's three rows of weights for log-variances follow the three for means; variance = exp(third and on)."""
    reward = make(criteria=["helpful", "harmless", "short"], gaussian=True)
    batch = encoded(reward)
    logits = reward.head_outputs(batch)
    out = reward(batch)
    assert logits.shape == (8, 6)
    torch.testing.assert_close(out.mean, logits[:, :3])
    torch.testing.assert_close(out.variance, logits[:, 3:].exp())
    assert reward.model.config.id2label[4] == "harmless_log_variance"
    with torch.no_grad():
        reward.model.score.weight[3:] *= 1e6
    variance = reward(batch).variance
    assert variance.isfinite().all()
    assert (variance > 0).all()


def test_a_gaussian_reward_comes_back_from_its_folder(make, tmp_path):
    reward = make(criteria=["a", "b"], gaussian=True)
    reward.save_pretrained(tmp_path)
    again = TokenReward.from_pretrained(tmp_path, max_length=64)
    again.configure_model()
    assert (again.criteria, again.gaussian) == (("a", "b"), True)
    batch = encoded(reward)
    torch.testing.assert_close(again(batch).mean, reward(batch).mean)
    torch.testing.assert_close(again(batch).variance, reward(batch).variance)


def test_lora_trains_adapter_and_head_and_peft_reads_it(make, base, tmp_path):
    reward = make(base, lora=LoraSettings(r=4), gaussian=True)
    trained = [name for name, parameter in reward.named_parameters() if parameter.requires_grad]
    assert any("lora_A" in name for name in trained)
    assert [name for name in trained if "lora" not in name] == [
        "model.base_model.model.score.modules_to_save.default.weight"
    ]
    with torch.no_grad():
        for name, parameter in reward.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(len(name)))
    reward.save_pretrained(tmp_path)
    batch = encoded(reward)
    import peft

    inputs = {name: batch.inputs[name] for name in ("input_ids", "attention_mask")}
    theirs = peft.AutoPeftModelForSequenceClassification.from_pretrained(str(tmp_path), num_labels=2)
    theirs.config.pad_token_id = 0
    torch.testing.assert_close(theirs(**inputs).logits, reward.head_outputs(batch), rtol=1e-4, atol=1e-5)
    again = TokenReward.from_pretrained(tmp_path)
    again.configure_model()
    torch.testing.assert_close(again(batch).mean, reward(batch).mean, rtol=1e-4, atol=1e-5)


def test_the_head_works_in_float32_above_a_half_precision_trunk(make):
    """bfloat16 has 8 bits: two rewards about 1 that differ by 1/1000 would be the same number."""
    reward = make(dtype="bfloat16")
    assert reward.model.base_model.embed_tokens.weight.dtype == torch.bfloat16
    out = reward(encoded(reward)).mean
    assert out.dtype == torch.float32
    assert not torch.equal(out, out.bfloat16().float())
    full = make()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = full(encoded(full)).mean
    assert mixed.dtype == torch.float32
    assert not torch.equal(mixed, mixed.bfloat16().float())
    torch.testing.assert_close(mixed, full(encoded(full)).mean, rtol=0.05, atol=0.02)


def test_a_fresh_head_depends_on_its_seed_only(base, make):
    heads = []
    for global_seed, init_seed in ((1, 0), (2, 0), (2, 1)):
        torch.manual_seed(global_seed)
        heads.append(make(base, init_seed=init_seed).model.score.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_the_trunk_is_the_base_models(base, make):
    theirs = AutoModelForCausalLM.from_pretrained(base).model
    mine = make(base).model.base_model
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(mine.state_dict()[name], tensor), name


def test_gradient_checkpointing_gives_the_same_gradients(make):
    plain, saving = make(), make(gradient_checkpointing=True)
    for reward in (plain, saving):
        reward.train()
        reward(encoded(reward)).mean.square().sum().backward()
    for mine, theirs in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_compare_is_bradley_terry_and_probit(make):
    """sigma(r_w - r_l); with variances 1 and 1 the difference is divided by sqrt(1 + pi/4)."""
    reward = make(gaussian=True)
    with torch.no_grad():
        reward.model.score.weight[1] = 0.0
    batch = encoded(reward)
    mean = reward(batch).mean[:, 0]
    difference = mean[0::2] - mean[1::2]
    torch.testing.assert_close(reward.compare(batch), torch.sigmoid(difference / (1 + torch.pi / 4) ** 0.5))
    reward.gaussian = False
    torch.testing.assert_close(reward.compare(batch), torch.sigmoid(difference))


def test_a_classifier_with_other_outputs_is_refused(make, tmp_path):
    make(criteria=["a", "b", "c"]).save_pretrained(tmp_path)
    with pytest.raises(PrefalignError, match="classifier with 3 outputs, but 1 criteria with variance need 2"):
        make(str(tmp_path), gaussian=True)
    make(criteria=["a", "b"]).save_pretrained(tmp_path / "two")
    with pytest.raises(PrefalignError, match="classifier with 2 outputs, but 1 criteria without variance need 1"):
        make(str(tmp_path / "two"))


def test_impossible_settings_are_refused(tokenizer, base):
    with pytest.raises(PrefalignError, match="needs a tokenizer"):
        TokenReward(dict(LLAMA))
    for criteria in ([], ["a", "a"]):
        with pytest.raises(PrefalignError, match="at least one criterion"):
            TokenReward(dict(LLAMA), tokenizer, criteria=criteria)
    with pytest.raises(PrefalignError, match=r"no reward_head\.json"):
        TokenReward.from_pretrained(base)
