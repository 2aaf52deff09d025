"""Rewards one after the other, alone and in a loop of sampling, judging and choosing."""

import pytest
import torch
from torch import nn

from prefalign.data.build import derive_seed, run_stages
from prefalign.data.stages import BestWorst, Score, identity
from prefalign.inference.best_of_n import BestOfN
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
from prefalign.rewards.sequence import Staged


class LetterCodec:
    def __init__(self, letter):
        self.letter = letter

    def encode(self, record):
        return record

    def collate(self, examples, needs=frozenset()):
        texts = [response.text for record in examples for response in record.responses]
        counts = torch.tensor([float(text.count(self.letter)) for text in texts])
        return Batch({"counts": counts}, Relations.from_records(examples), texts)

    def fingerprint(self):
        return self.letter


class Letter(Reward):
    """How often a letter occurs; its weight exists once the reward is configured."""

    def __init__(self, letter, criteria=("reward",)):
        super().__init__()
        self.codec, self.criteria, self.scale = LetterCodec(letter), criteria, None

    def configure_model(self):
        if self.scale is None:
            self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, batch):
        found = self.scale * batch.inputs["counts"][:, None]
        return RewardOutput(found, torch.ones(len(found), dtype=torch.bool))

    def compare(self, batch):
        return torch.full((1,), 0.25)


def record(*texts):
    responses = tuple(Response(text=text) for text in texts)
    return PreferenceRecord(id="r", prompt=Prompt(text="p"), responses=responses, verdict=Ranking((0, 1)[: len(texts)]))


@pytest.fixture
def staged():
    return Staged([Letter("a"), Letter("b", criteria=("liked",)), Letter("c")], starts=[0, 2, 3])


@pytest.mark.parametrize(("number", "letter"), [(0, "a"), (1, "a"), (2, "b"), (3, "c"), (50, "c")])
def test_the_member_of_the_round_judges(staged, number, letter):
    found = staged.at(number)
    found.configure_model()
    batch = found.codec.collate([found.codec.encode(record("abc" + letter, "bca"))])
    assert found(batch).mean.tolist() == [[4.0], [2.0]]
    assert found.codec.fingerprint() == letter
    assert found.criteria == (("liked",) if letter == "b" else ("reward",))
    assert found.compare(batch).tolist() == [0.25]


def test_a_config_names_the_round_itself():
    rewards = [Letter("a"), Letter("b")]
    assert Staged(rewards, [0, 1]).current is rewards[0]
    assert Staged(rewards, [0, 1], round=1).current is rewards[1]


def test_only_what_judges_is_loaded(staged):
    later = staged.at(2)
    later.configure_model()
    assert [reward.scale is not None for reward in staged.rewards] == [False, True, False]
    assert [name for name, _ in later.named_parameters()] == ["current.scale"]
    assert list(staged.parameters()) == []
    assert later.at(2).current is later.current


def test_rounds_that_share_a_judge_have_one_identity(staged):
    """Whatever else was loaded in the meantime."""
    first = identity(staged)
    identity(staged.at(3))
    assert identity(staged.at(1)) == first
    assert identity(staged.at(2)) != first


def test_one_config_serves_an_online_loop(staged):
    """Two rounds for a, one for b, one for c: each round's pairs are by its own reward."""
    drawn = record("aab", "bbc")
    winners = []
    for number in range(4):
        stages = [Score(staged.at(number), "s"), BestWorst("s")]
        (pair,) = run_stages([drawn], stages, seed=derive_seed(0, number))
        winners.append(pair.responses[0].text)
    assert winners == ["aab", "aab", "bbc", "bbc"]


def test_best_of_n_asks_the_reward_of_the_round(staged):
    class Both:
        def sample(self, prompts, n, *, generator):
            return [[Response(text="aa"), Response(text="c")] for _ in prompts]

    texts = [
        BestOfN(Both(), staged.at(number), 2).sample([Prompt(text="p")], generator=torch.Generator())[0][0].text
        for number in (0, 3)
    ]
    assert texts == ["aa", "c"]


@pytest.mark.parametrize("starts", [[], [0], [0, 1, 2], [1, 2], [0, 0], [0, -1]])
def test_rounds_without_an_order_are_refused(starts):
    with pytest.raises(PrefalignError, match="expected a start for each of the 2 rewards"):
        Staged([Letter("a"), Letter("b")], starts)


def test_no_reward_and_no_such_round(staged):
    with pytest.raises(PrefalignError, match="each of the 0 rewards"):
        Staged([], [])
    with pytest.raises(PrefalignError, match="round of at least 0, got -1"):
        staged.at(-1)
