"""Combinations of rewards on numbers small enough to do by hand. NaN stands in every place that must not be read."""

import hashlib
import math
import pickle

import pytest
import torch

from prefalign.interfaces import Batch, PrefalignError, Relations, Reward, RewardOutput
from prefalign.rewards.combine import Ensemble, Gated, Product, Weighted, mixture
from prefalign.rewards.joint import JointCodec
from prefalign.rewards.token import TokenReward
from prefalign.testing.tiny import LLAMA, word_pairs

NAN = math.nan


class LengthCodec:
    """Reads the number of characters of each response."""

    def encode(self, record):
        return record, [float(len(response.text)) for response in record.responses]

    def collate(self, examples, needs=frozenset()):
        lengths = [length for _, row in examples for length in row]
        relations = Relations.from_records([record for record, _ in examples])
        keys = [hashlib.sha256(str(length).encode()).hexdigest() for length in lengths]
        return Batch({"lengths": torch.tensor(lengths)}, relations, keys)

    def fingerprint(self):
        return "lengths"


class Length(Reward):
    """Characters of the response; answers of more than `limit` cannot be judged."""

    def __init__(self, limit=1000):
        super().__init__()
        self.codec, self.limit = LengthCodec(), limit

    def forward(self, batch):
        lengths = batch.inputs["lengths"]
        return RewardOutput(lengths[:, None], lengths <= self.limit)


class Fixed(Reward):
    """Says what it is told to say, whatever the batch."""

    def __init__(self, mean, variance=None, valid=None, mask=None, criteria=("reward",)):
        super().__init__()
        self.codec, self.criteria = LengthCodec(), criteria
        mean = torch.tensor(mean)
        valid = torch.tensor(valid) if valid else torch.ones(len(mean), dtype=torch.bool)
        variance = None if variance is None else torch.tensor(variance)
        self.output = RewardOutput(mean, valid, variance, None if mask is None else torch.tensor(mask))

    def forward(self, batch):
        return self.output


def judged(reward, count=1):
    """The reward's judgement of `count` pairs."""
    return reward(reward.codec.collate([reward.codec.encode(record) for record in word_pairs(count)]))


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-6, atol=1e-6)


def test_an_ensemble_adds_disagreement_to_the_members_own_doubt():
    """Row 0: means 1 and 3, variances 0.5 and 1.5: mean 2, spread ((1-2)² + (3-2)²)/2 = 1, own doubt 1, variance 2.

    Row 1: both say 4 and are certain: variance 0.
    """
    out = judged(Ensemble([Fixed([[1.0], [4.0]], [[0.5], [0.0]]), Fixed([[3.0], [4.0]], [[1.5], [0.0]])]))
    close(out.mean, [[2.0], [4.0]])
    close(out.variance, [[2.0], [0.0]])
    assert out.valid.tolist() == [True, True]


def test_members_without_variance_still_disagree():
    out = judged(Ensemble([Fixed([[1.0], [0.0]]), Fixed([[2.0], [0.0]]), Fixed([[6.0], [0.0]])]))
    close(out.mean, [[3.0], [0.0]])
    close(out.variance, [[14 / 3], [0.0]])  # (4 + 1 + 9) / 3


def test_an_invalid_judgement_is_left_out_of_an_ensemble():
    """Row 0: only the second member counts. Row 1: nobody could judge it."""
    first = Fixed([[NAN], [NAN]], [[NAN], [NAN]], valid=[False, False])
    second = Fixed([[3.0], [NAN]], [[0.25], [NAN]], valid=[True, False])
    third = Fixed([[5.0], [7.0]], [[0.75], [1.0]], valid=[True, False])
    out = judged(Ensemble([first, second, third]))
    assert out.valid.tolist() == [True, False]
    close(out.mean[0], [4.0])
    close(out.variance[0], [1.0 + 0.5])


def test_an_ensemble_of_step_rewards_knows_that_errors_last():
    """Two members say 1 and 3 at each of two steps (the third does not exist): per step mean 2 and variance 1.

    Over the segment they say 2 and 6: mean 4 and variance 4, not 1 + 1.
    """
    mask = [[True, True, False]] * 2
    ensemble = Ensemble([Fixed([[[1.0], [1.0], [9.0]]] * 2, mask=mask), Fixed([[[3.0], [3.0], [5.0]]] * 2, mask=mask)])
    out = judged(ensemble)
    close(out.mean[0, :2], [[2.0], [2.0]])
    close(out.variance[0, :2], [[1.0], [1.0]])
    close(out.totals().mean, [[4.0], [4.0]])
    close(out.totals().variance, [[4.0], [4.0]])
    assert out.to("meta").totals().variance.is_meta


def test_invalid_rows_of_step_rewards_are_left_out():
    mask = [[True, True]] * 2
    first = Fixed([[[1.0], [2.0]], [[NAN], [NAN]]], valid=[True, False], mask=mask)
    second = Fixed([[[3.0], [4.0]], [[5.0], [6.0]]], mask=mask)
    out = judged(Ensemble([first, second]))
    close(out.mean, [[[2.0], [3.0]], [[5.0], [6.0]]])
    close(out.totals().mean, [[5.0], [11.0]])


def test_ensemble_members_judge_by_the_same_criteria():
    with pytest.raises(PrefalignError, match=r"rewards\[0\] has \['reward'\] and rewards\[1\] \['help'\]"):
        Ensemble([Fixed([[1.0]]), Fixed([[1.0]], criteria=("help",))])


def test_gradients_pass_by_invalid_values():
    value = torch.tensor([[1.0], [NAN]], requires_grad=True)
    part = Fixed([[0.0], [0.0]], valid=[True, False]).output
    part.mean = value
    mixture([part, Fixed([[3.0], [3.0]]).output]).mean.sum().backward()
    close(value.grad, [[0.5], [0.0]])


def test_a_weighted_sum_over_all_criteria():
    """0.5·2 − 1·3 + 2·4 + 1 = 7; variances 0.25·1 + 1·2 + 4·0 = 2.25, the second member being certain."""
    first = Fixed([[2.0, 3.0], [NAN, NAN]], [[1.0, 2.0], [0.0, 0.0]], valid=[True, False], criteria=("a", "b"))
    out = judged(Weighted([first, Fixed([[4.0], [4.0]])], weights=[0.5, -1.0, 2.0], bias=1.0))
    close(out.mean[0], [7.0])
    close(out.variance[0], [2.25])
    assert out.valid.tolist() == [True, False]
    assert judged(Weighted([Fixed([[2.0], [3.0]])])).variance is None


def test_a_product_of_independent_factors():
    """2·3 = 6; E[x²]E[y²] − (E[x]E[y])² = (0.5 + 4)(1 + 9) − 36 = 9. A factor that is no number makes no zero."""
    first = Fixed([[2.0], [0.0]], [[0.5], [0.0]])
    out = judged(Product([first, Fixed([[3.0], [NAN]], [[1.0], [0.0]], valid=[True, False])]))
    close(out.mean[0], [6.0])
    close(out.variance[0], [9.0])
    assert out.valid.tolist() == [True, False]


def test_aspects_count_above_the_gate_only():
    """Gate at 0.5, weight 3: 0.4 gives 1.2; 0.5 gives 1.5 + σ(0) + σ(ln 3) = 1.5 + 0.5 + 0.75."""
    holistic = Fixed([[0.4], [0.5]])
    aspects = [Fixed([[5.0], [0.0]]), Fixed([[5.0], [math.log(3)]])]
    out = judged(Gated(holistic, aspects, threshold=0.5, weight=3.0))
    close(out.mean, [[1.2], [2.75]])
    assert out.variance is None


def test_a_closed_gate_needs_no_valid_aspect():
    """Rows: closed with invalid aspect, open with invalid aspect, invalid holistic."""
    holistic = Fixed([[0.0], [1.0], [NAN], [1.0]], valid=[True, True, False, True])
    aspect = Fixed([[NAN], [NAN], [1.0], [1.0]], valid=[False, False, True, True])
    out = judged(Gated(holistic, [aspect]), count=2)
    assert out.valid.tolist() == [True, False, False, True]
    close(out.mean[0], [0.0])


def test_steps_and_whole_responses_meet_at_the_response():
    """Steps 1 and 2 sum to 3 before they meet the reward 10 of the whole response."""
    steps = Fixed([[[1.0], [2.0], [9.0]]] * 2, mask=[[True, True, False]] * 2)
    close(judged(Weighted([steps, Fixed([[10.0], [20.0]])])).mean, [[13.0], [23.0]])
    both = judged(Weighted([steps, steps]))
    close(both.mean[0], [[2.0], [4.0], [18.0]])
    close(both.totals().mean, [[6.0], [6.0]])


def test_impossible_combinations_are_refused():
    with pytest.raises(PrefalignError, match="at least one reward"):
        Product([])
    with pytest.raises(PrefalignError, match=r"expected 2 weights, one each for \['a', 'b'\]; got 1"):
        Weighted([Fixed([[1.0, 1.0]], criteria=("a", "b"))], weights=[1.0])
    with pytest.raises(PrefalignError, match="finite"):
        Weighted([Fixed([[1.0]])], weights=[NAN])
    with pytest.raises(PrefalignError, match="at least one aspect"):
        Gated(Fixed([[1.0]]), [])


@pytest.fixture
def mixed(tokenizer):
    """A language model less a hundredth of the length, two kinds of input."""
    reward = Weighted([TokenReward(dict(LLAMA), tokenizer), Length(limit=5)], weights=[1.0, -0.01])
    reward.configure_model()
    return reward


def test_members_that_read_records_differently_share_a_batch(mixed):
    records = word_pairs(5)
    batch = mixed.codec.collate([mixed.codec.encode(record) for record in records])
    token = mixed.rewards[0]
    alone = token(token.codec.collate([token.codec.encode(record) for record in records])).mean[:, 0]
    lengths = torch.tensor([float(len(response.text)) for record in records for response in record.responses])
    out = mixed(batch)
    torch.testing.assert_close(out.mean[:, 0], alone - 0.01 * lengths)
    assert out.valid.tolist() == (lengths <= 5).tolist()
    assert not out.valid.all()
    assert batch.relations.chosen.tolist() == [0, 2, 4, 6, 8]
    moved = pickle.loads(pickle.dumps(mixed.codec)).collate([mixed.codec.encode(record) for record in records])
    assert moved.to("cpu").inputs.keys() == batch.inputs.keys()
    assert len(set(batch.keys)) == 10


def test_equal_codecs_encode_once(tokenizer, mixed):
    members = [TokenReward(dict(LLAMA), tokenizer, init_seed=seed) for seed in range(3)]
    ensemble = Ensemble(members)
    assert len(ensemble.codec.codecs) == 1
    assert len(ensemble.codec.encode(word_pairs(1)[0])) == 1
    assert len(mixed.codec.encode(word_pairs(1)[0])) == 2
    assert ensemble.codec.fingerprint() != mixed.codec.fingerprint()
    assert ensemble.codec.fingerprint() == JointCodec([members[0].codec]).fingerprint()
    ensemble.configure_model()
    means = torch.stack([output.mean for output in ensemble.members(batch_of(ensemble))])
    close(judged(ensemble).mean, means.mean(0).tolist())
    close(judged(ensemble).variance, means.var(0, unbiased=False).tolist())
    assert (judged(ensemble).variance > 0).all()


def batch_of(reward):
    return reward.codec.collate([reward.codec.encode(record) for record in word_pairs(1)])


def test_members_with_weights_are_saved(mixed, tmp_path):
    mixed.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    again = TokenReward.from_pretrained(tmp_path / "0")
    again.configure_model()
    torch.testing.assert_close(judged(again).mean, judged(mixed.rewards[0]).mean)
