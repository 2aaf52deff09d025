"""Tags against descriptions."""

import math

import pytest
import torch

from prefalign.interfaces import PrefalignError
from prefalign_audio.metrics.functional.prompt_tags import named_tags, tag_log_odds, tag_similarities

TAGS = ("slow", "vocal", "vocals", "no vocals", "female vocal", "piano", "new age")


@pytest.mark.parametrize(
    ("description", "names"),
    [
        ("Slow piano, with vocals", ["slow", "piano", "vocals"]),
        ("piano without words: no vocals", ["piano", "no vocals"]),
        ("a FEMALE VOCAL over new age", ["female vocal", "new age"]),
        ("piano and female vocal, vocal", ["piano", "female vocal", "vocal"]),
        ("piano, piano", ["piano"]),
        ("pianola and slower vocal", ["vocal"]),
    ],
)
def test_tags_in_a_description(description: str, names: list[str]) -> None:
    assert [TAGS[index] for index in named_tags(description, TAGS)] == names


def test_a_description_without_tags_is_refused_with_near_ones() -> None:
    with pytest.raises(PrefalignError, match=r"'grand pianos' names none .*did you mean 'piano'\?"):
        named_tags("grand pianos", TAGS)
    with pytest.raises(PrefalignError, match="known: slow, vocal,"):
        named_tags("xyzzy", TAGS)


def test_log_odds_by_hand() -> None:
    """log(0.8/0.2) = log 4 and log(0.5/0.5) = 0: their mean is log 2."""
    found = tag_log_odds(torch.tensor([[0.8, 0.5, 0.1], [0.5, 0.5, 0.9]]), [[0, 1], [2]])
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx([math.log(2), math.log(9)], abs=1e-6)
    sure = tag_log_odds(torch.tensor([[0.0, 1.0]]), [[0]])
    assert sure.item() == pytest.approx(math.log(1e-6), abs=1e-3)


def test_similarities_by_hand() -> None:
    """Above the mean by 0.3 and below it by 0.4: the sound's vector is (0.3, -0.4), of length 0.5."""
    vectors = torch.eye(2)
    found = tag_similarities(
        torch.tensor([[0.8, 0.1], [0.8, 0.1]]),
        vectors,
        torch.tensor([[1.0, 0.0], [0.0, 2.0]]),
        torch.tensor([0.5, 0.5]),
    )
    assert found.tolist() == pytest.approx([0.6, -0.8])


def test_what_every_sound_has_does_not_count() -> None:
    """A tag at 0.9 everywhere, and one that only the first sound has."""
    probabilities = torch.tensor([[0.9, 0.6], [0.9, 0.1]])
    texts = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    found = tag_similarities(probabilities, torch.eye(2), texts, probabilities.mean(0))
    assert found.tolist() == pytest.approx([1.0, -1.0])


def test_bad_numbers() -> None:
    for wrong in (torch.tensor([0.5]), torch.tensor([[1.5]]), torch.tensor([[float("nan")]])):
        with pytest.raises(PrefalignError, match=r"expected \(N, K\) probabilities in \[0, 1\]"):
            tag_log_odds(wrong, [[0]])
    for wanted in ([], [[]], [[0], [0]]):
        with pytest.raises(PrefalignError, match="at least one tag for each of 1 sounds"):
            tag_log_odds(torch.tensor([[0.5]]), wanted)
    with pytest.raises(PrefalignError, match="expected vectors of 1 tags, 1 descriptions"):
        tag_similarities(torch.tensor([[0.5]]), torch.eye(2), torch.ones(1, 2), torch.ones(1))
