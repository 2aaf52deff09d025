"""Several records judged at once: the numbers go to whom they are about, and none is lost or left over."""

import math

import pytest
import torch
from torch import nn

from prefalign.interfaces import (
    Batch,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    Ranking,
    RecordError,
    Relations,
    Response,
    Reward,
    RewardOutput,
)
from prefalign.models.judging import column_of, identity, inference, is_blank, judgements, with_scores
from prefalign.models.sampler import Sampler


class TextCodec:
    def encode(self, record):
        return record

    def collate(self, examples, needs=frozenset()):
        texts = [response.text for record in examples for response in record.responses]
        return Batch({"texts": texts}, Relations.from_records(examples), texts)

    def fingerprint(self):
        return "texts"


class Length(Reward):
    """Length and minus the length; texts with `?` cannot be judged. `off` rows too many or too few are given."""

    criteria = ("long", "short")

    def __init__(self, off=0):
        super().__init__()
        self.codec, self.off, self.batches = TextCodec(), off, []

    def forward(self, batch):
        texts = [*batch.inputs["texts"], "extra"][: len(batch.inputs["texts"]) + self.off]
        self.batches.append(len(texts))
        lengths = torch.tensor([float(len(text)) for text in texts])
        return RewardOutput(torch.stack([lengths, -lengths], 1), torch.tensor(["?" not in text for text in texts]))


def record(name, *texts):
    responses = tuple(Response(text=text) for text in texts)
    return PreferenceRecord(id=name, prompt=Prompt(text="p"), responses=responses, verdict=Ranking((0,) * len(texts)))


RECORDS = [record("one", "a", "bb"), record("two", "ccc"), record("three", "?", "dddd", "e")]


def by_program(record):
    return [None if "?" in response.text else float(len(response.text)) for response in record.responses]


def test_numbers_go_to_the_responses_that_they_are_about():
    reward = Length()
    assert judgements(reward, RECORDS, name="n") == [[1.0, 2.0], [3.0], [None, 4.0, 1.0]]
    assert judgements(reward, RECORDS, column_of(reward, "short"), name="n") == [
        [-1.0, -2.0],
        [-3.0],
        [None, -4.0, -1.0],
    ]
    assert reward.batches == [6, 6]
    assert judgements(by_program, RECORDS, name="n") == [[1.0, 2.0], [3.0], [None, 4.0, 1.0]]


def test_nothing_is_judged_for_nothing():
    reward = Length()
    assert judgements(reward, [], name="n") == judgements(by_program, [], name="n") == []
    assert reward.batches == []


@pytest.mark.parametrize(
    ("off", "problem"), [(1, "gave 4 scores for 3 responses"), (-1, "gave 2 scores for 3"), (-4, "gave 0 scores for 1")]
)
def test_a_number_too_many_or_too_few_is_an_error(off, problem):
    with pytest.raises(RecordError, match=f"the judge 'n' {problem}"):
        judgements(Length(off), RECORDS, name="n")


def test_scores_are_noted_where_there_is_a_number():
    found = with_scores(RECORDS[2], [None, 4.0, -1.0], "n")
    assert [response.scores for response in found.responses] == [{}, {"n": 4.0}, {"n": -1.0}]
    with pytest.raises(RecordError, match="record 'two', field 'responses': the judge 'n'"):
        with_scores(RECORDS[1], [math.inf], "n")


def test_a_criterion_is_one_of_the_judges_own():
    assert column_of(Length(), None) == column_of(by_program, None) == 0
    with pytest.raises(PrefalignError, match="unknown criterion 'shrot'; did you mean 'short'"):
        column_of(Length(), "shrot")
    with pytest.raises(PrefalignError, match="unknown criterion 'long'"):
        column_of(by_program, "long")


def test_every_part_is_back_in_its_mode():
    model = nn.Sequential(nn.Dropout(), nn.Linear(1, 1))
    model[0].eval()
    seen = []

    def failing():
        with inference(model):
            seen.append((model[1].training, torch.is_grad_enabled()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert seen == [(False, False)]
    assert (model.training, model[0].training, model[1].training) == (True, False, True)
    assert torch.is_grad_enabled()


def test_a_sampler_says_itself_what_it_is():
    class Fixed(Sampler):
        def configure_model(self):
            pass

        def sample(self, prompts, k=1, /, *, generator=None, **options):
            return [[] for _ in prompts]

        def identity(self):
            return {"class": "mine", "n": 3}

    assert identity(Fixed()) == {"class": "mine", "n": 3}


def test_blank_is_a_text_without_a_word():
    assert [is_blank(Response(text=text)) for text in ("", " \n", "a")] == [True, True, False]
    assert not is_blank(Response(token_ids=()))
