"""Guard-rails and ranges by hand. NaN stands in every place that must not be read."""

import math

import pytest
import torch

from prefalign.data.build import run_stages
from prefalign.data.stages import BestWorst, Score, identity
from prefalign.interfaces import (
    Batch,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    Ranking,
    Relations,
    Response,
    Reward,
    RewardOutput,
)
from prefalign.rewards.combine import Weighted
from prefalign.rewards.guards import Guarded
from prefalign.rewards.scales import Rescaled

NAN = math.nan


class TextCodec:
    """Reads the responses' texts."""

    def encode(self, record):
        return record

    def collate(self, examples, needs=frozenset()):
        texts = [response.text for record in examples for response in record.responses]
        return Batch({"texts": texts}, Relations.from_records(examples), texts)

    def fingerprint(self):
        return "texts"


class Fixed(Reward):
    """Says what it is told to say, whatever the batch."""

    def __init__(self, mean, variance=None, valid=None, mask=None, criteria=("reward",)):
        super().__init__()
        self.codec, self.criteria = TextCodec(), criteria
        mean = torch.tensor(mean)
        valid = torch.tensor(valid) if valid else torch.ones(len(mean), dtype=torch.bool)
        variance = None if variance is None else torch.tensor(variance)
        self.output = RewardOutput(mean, valid, variance, None if mask is None else torch.tensor(mask))

    def forward(self, batch):
        return self.output


class Share(Reward):
    """Share of a letter among those of the text."""

    def __init__(self, letter):
        super().__init__()
        self.codec, self.letter = TextCodec(), letter

    def forward(self, batch):
        shares = torch.tensor([text.count(self.letter) / len(text) for text in batch.inputs["texts"]])
        return RewardOutput(shares[:, None], torch.ones(len(shares), dtype=torch.bool))


def record(*texts):
    responses = tuple(Response(text=text) for text in texts)
    return PreferenceRecord(id="r", prompt=Prompt(text="p"), responses=responses, verdict=Ranking((0,) * len(texts)))


def judged(reward, *texts):
    return reward(reward.codec.collate([reward.codec.encode(record(*(texts or ("a", "b"))))]))


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-6, atol=1e-6)


# Guarded


def test_below_a_floor_nothing_is_said():
    """Rows: passes, passes at the floor itself, just below it, no number."""
    target = Fixed([[1.0], [2.0], [3.0], [4.0]], [[0.1], [0.2], [0.3], [0.4]])
    out = judged(Guarded(target, [Fixed([[0.9], [0.7], [0.6999], [NAN]])], floors=[0.7]))
    assert out.valid.tolist() == [True, True, False, False]
    close(out.mean[:2], [[1.0], [2.0]])
    close(out.variance[:2], [[0.1], [0.2]])


def test_below_a_floor_a_row_is_worth_the_value():
    """Every criterion becomes the value, and is certain; the target need not have judged such a row."""
    target = Fixed(
        [[1.0, 5.0], [NAN, NAN], [3.0, 7.0], [NAN, NAN]],
        [[0.1, 0.5], [NAN, NAN], [0.3, 0.7], [NAN, NAN]],
        valid=[True, False, True, False],
        criteria=("fits", "pleases"),
    )
    guarded = Guarded(target, [Fixed([[1.0], [0.0], [0.0], [1.0]])], floors=[0.5], value=-2.0)
    out = judged(guarded)
    assert guarded.criteria == ("fits", "pleases")
    close(out.mean[:3], [[1.0, 5.0], [-2.0, -2.0], [-2.0, -2.0]])
    close(out.variance[:3], [[0.1, 0.5], [0.0, 0.0], [0.0, 0.0]])
    assert out.valid.tolist() == [True, True, True, False]


@pytest.mark.parametrize("value", [None, -2.0])
def test_what_no_guard_could_examine_is_not_valid(value):
    """Rows: no number, a number that is not valid, neither judged, both judged."""
    guard = Fixed([[NAN], [9.0], [9.0], [9.0]], valid=[False, False, False, True])
    target = Fixed([[1.0], [2.0], [NAN], [3.0]], valid=[True, True, False, True])
    out = judged(Guarded(target, [guard], [0.5], value))
    assert out.valid.tolist() == [False, False, False, True]
    close(out.mean[3], [3.0])


def test_every_floor_must_be_reached():
    """Three criteria of two guards, the second of which is no guard and may be anything."""
    first = Fixed([[1.0, NAN], [1.0, -9.0], [0.0, 9.0], [1.0, 9.0]], criteria=("sounds", "pleases"))
    second = Fixed([[1.0], [1.0], [1.0], [0.0]])
    out = judged(Guarded(Fixed([[1.0]] * 4), [first, second], floors=[0.5, None, 0.5], value=0.0))
    close(out.mean, [[1.0], [1.0], [0.0], [0.0]])
    assert out.valid.tolist() == [True] * 4


def test_a_floor_means_the_same_in_every_precision():
    """Neither is a binary fraction: rounded to float32, 0.7 is less and 0.1 more than in float64."""
    for dtype in (torch.float32, torch.float64):
        guard = Fixed([[0.7], [0.1]], criteria=("g",))
        guard.output.mean = torch.tensor([[0.7], [0.1]], dtype=dtype)
        assert judged(Guarded(Fixed([[1.0]] * 2), [guard], [0.7])).valid.tolist() == [True, False]
        assert judged(Guarded(Fixed([[1.0]] * 2), [guard], [0.1])).valid.tolist() == [True, True]


def test_steps_are_summed_before_the_floor():
    """Steps 1 + 1 reach the floor of 2, steps 1 + 0.5 do not; the third step does not exist."""
    mask = [[True, True, False]] * 2
    guard = Fixed([[[1.0], [1.0], [0.0]], [[1.0], [0.5], [9.0]]], mask=mask)
    target = Fixed([[[1.0], [2.0], [9.0]], [[1.0], [2.0], [9.0]]], mask=mask)
    out = judged(Guarded(target, [guard], floors=[2.0], value=-1.0))
    close(out.mean, [[3.0], [-1.0]])
    assert out.mask is None


def test_a_policy_cannot_buy_the_target_with_quality():
    """The target is the share of a, the guard that of b. A sum pays for `aaa`; the guard does not."""
    texts = ("aaa", "aab", "abb", "bbb")
    bought = judged(Weighted([Share("a"), Share("b")], [2.0, 1.0]), *texts).mean[:, 0]
    assert bought.argmax() == 0
    out = judged(Guarded(Share("a"), [Share("b")], floors=[0.3], value=-1.0), *texts)
    assert out.mean[:, 0].argmax() == 1
    assert out.mean[:, 0].argmin() == 0


def pairs(reward):
    """Winner and loser of best against worst among `aaa` (broken), `aab` and `bbb`."""
    stages = [Score(reward, "s"), BestWorst("s")]
    return [tuple(r.text for r in pair.responses) for pair in run_stages([record("aaa", "aab", "bbb")], stages, seed=0)]


def test_with_a_value_what_is_broken_loses_and_without_it_is_never_met():
    assert pairs(Share("a")) == [("aaa", "bbb")]
    assert pairs(Guarded(Share("a"), [Share("b")], floors=[0.3])) == [("aab", "bbb")]
    assert pairs(Guarded(Share("a"), [Share("b")], floors=[0.3], value=-1.0)) == [("aab", "aaa")]


def test_the_target_may_be_differentiable_whatever_the_guards_are():
    target, guard = Share("a"), Share("b")
    target.differentiable = True
    assert Guarded(target, [guard], [0.5]).differentiable
    assert not Guarded(guard, [target], [0.5]).differentiable


def test_gradients_pass_the_guard_where_the_response_does():
    target = Fixed([[1.0], [2.0]])
    target.output.mean.requires_grad_()
    judged(Guarded(target, [Fixed([[1.0], [0.0]])], [0.5], value=0.0)).mean.sum().backward()
    close(target.output.mean.grad, [[1.0], [0.0]])


def test_guards_that_guard_nothing_are_refused():
    with pytest.raises(PrefalignError, match=r"expected 2 floors, one each for \['a', 'b'\]; got 1"):
        Guarded(Share("a"), [Fixed([[1.0, 1.0]], criteria=("a", "b"))], [0.5])
    for guards, floors in (([], []), ([Share("b")], [None])):
        with pytest.raises(PrefalignError, match="at least one guard with a floor"):
            Guarded(Share("a"), guards, floors)
    for floors, value in (([NAN], None), ([math.inf], None), ([0.5], NAN), ([0.5], -math.inf)):
        with pytest.raises(PrefalignError, match="finite floors and value"):
            Guarded(Share("a"), [Share("b")], floors, value)


# Rescaled


def test_an_opinion_score_comes_to_one():
    """[1, 5] to [0, 1]: (x − 1) / 4; a variance of 0.16 becomes 0.16 / 16."""
    out = judged(Rescaled(Fixed([[1.0], [3.0], [5.0]], [[0.16], [0.0], [0.16]]), source=(1.0, 5.0)))
    close(out.mean, [[0.0], [0.5], [1.0]])
    close(out.variance, [[0.01], [0.0], [0.01]])
    assert out.valid.tolist() == [True] * 3


def test_less_may_become_more():
    """Word error rates in [0, 2] as marks in [-1, 1], the best first: 1 − x, for both criteria."""
    reward = Rescaled(Fixed([[0.0, 0.5], [2.0, 1.0]], criteria=("a", "b")), source=(0.0, 2.0), target=(1.0, -1.0))
    close(judged(reward).mean, [[1.0, 0.5], [-1.0, 0.0]])
    assert reward.criteria == ("a", "b")


def test_beyond_the_range_is_clamped_or_invalid():
    rows = [[0.5], [1.0], [5.0], [5.5]]
    out = judged(Rescaled(Fixed(rows), (1.0, 5.0)))
    close(out.mean, [[0.0], [0.0], [1.0], [1.0]])
    assert out.valid.tolist() == [True] * 4
    out = judged(Rescaled(Fixed([*rows, [3.0]], valid=[True] * 4 + [False]), (1.0, 5.0), outside="invalid"))
    assert out.valid.tolist() == [False, True, True, False, False]
    close(out.mean[1:3], [[0.0], [1.0]])


def test_steps_that_do_not_exist_are_in_no_range():
    mask = [[True, False], [True, True]]
    out = judged(Rescaled(Fixed([[[0.5], [NAN]], [[0.5], [2.0]]], mask=mask), (0.0, 1.0), outside="invalid"))
    assert out.valid.tolist() == [True, False]
    assert out.mask.tolist() == mask


@pytest.mark.parametrize(
    ("source", "target"),
    [((1.0, 1.0), (0.0, 1.0)), ((5.0, 1.0), (0.0, 1.0)), ((0.0, math.inf), (0.0, 1.0)), ((0.0, 1.0), (2.0, 2.0))],
)
def test_ranges_that_are_none_are_refused(source, target):
    with pytest.raises(PrefalignError, match="a source of a lower and a higher number"):
        Rescaled(Share("a"), source, target)


def test_an_unknown_way_out_is_refused():
    with pytest.raises(PrefalignError, match="unknown outside 'clip'; did you mean 'clamp'"):
        Rescaled(Share("a"), (0.0, 1.0), outside="clip")


def test_similarity_and_quality_add_up_as_in_musicrl():
    """Similarity −0.2 and 0.6, opinion 5 and 2: −0.2 + 1 = 0.8 and 0.6 + 0.25 = 0.85."""
    quality = Rescaled(Fixed([[5.0], [2.0]]), (1.0, 5.0))
    close(judged(Weighted([Fixed([[-0.2], [0.6]]), quality])).mean, [[0.8], [0.85]])


def test_other_numbers_are_another_judge():
    """What a builder's manifest says of them."""
    made = [
        Guarded(Share("a"), [Share("b")], [0.5]),
        Guarded(Share("a"), [Share("b")], [0.6]),
        Guarded(Share("a"), [Share("b")], [0.5], value=0.0),
        Guarded(Share("a"), [Share("b")], [0.5], value=-1.0),
        Rescaled(Share("a"), (0.0, 1.0)),
        Rescaled(Share("a"), (0.0, 2.0)),
        Rescaled(Share("a"), (0.0, 1.0), (0.0, 2.0)),
    ]
    assert len({str(identity(reward)) for reward in made}) == len(made)
    assert identity(made[0]) == identity(Guarded(Share("a"), [Share("b")], [0.5]))
