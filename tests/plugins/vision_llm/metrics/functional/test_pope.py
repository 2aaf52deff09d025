"""POPE by hand, and the published parsing rule on answers that strain it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefalign_vision_llm.metrics.functional.errors import MetricInputError
from prefalign_vision_llm.metrics.functional.pope import PopeCounts, is_unparsed, parse_answer, pope


@pytest.mark.parametrize(
    ("answer", "reading", "unparsed"),
    [
        ("Yes", "yes", False),
        ("yes, there is a dog.", "yes", False),
        ("YES!", "yes", False),
        ("No", "no", False),
        ("No, there is not", "no", False),
        ("No, sir", "no", False),  # a no only once the comma is gone
        (" no", "no", False),
        ("There is not a dog", "no", False),
        ("Yes. No, wait", "yes", False),
        ("Yes, it is not hidden", "no", False),
        ("no,dog", "yes", True),  # the comma is dropped, not replaced
        ("NO", "yes", True),
        ("No!", "yes", True),
        ("No\n", "yes", True),
        ("I cannot tell", "yes", True),
        ("Nothing, nobody", "yes", True),
        ("Yesterday", "yes", True),
        ("Sure. Yes", "yes", True),
        (". No", "yes", True),
        ("", "yes", True),
    ],
)
def test_published_parsing_rule(answer: str, reading: str, unparsed: bool) -> None:
    """Text before the first full stop, commas dropped, single spaces: no for No, no, not; otherwise yes."""
    assert parse_answer(answer) == reading
    assert is_unparsed(answer) is unparsed


def test_by_hand() -> None:
    """Labels yes x4, no x4; answers: 3 right yes, 1 missed, 2 wrong yes (one of them unparsed), 2 right no.

    Accuracy 5/8; precision 3/5; recall 3/4; F1 = 2*3/(2*3+2+1) = 2/3; yes-ratio 5/8; unparsed 1/8.
    """
    counts = pope(
        ["Yes", "yes", "Yes.", "No", "Yes", "I cannot tell", "no", "There is not"],
        ["yes", "yes", "yes", "yes", "no", "no", "no", "no"],
    )
    assert counts == PopeCounts(3, 2, 2, 1, 1)
    rates = (counts.accuracy, counts.precision, counts.recall, counts.f1, counts.yes_ratio, counts.unparsed)
    assert rates == pytest.approx((62.5, 60, 75, 200 / 3, 62.5, 12.5))
    assert counts.f1 == pytest.approx(2 * counts.precision * counts.recall / (counts.precision + counts.recall))


@pytest.mark.parametrize(
    ("answers", "labels", "expected"),
    [
        ([], [], (0, 0, 0, 0, 0, 0)),
        (["no"], ["yes"], (0, 0, 0, 0, 0, 0)),
        (["no"], ["no"], (100, 0, 0, 0, 0, 0)),
        (["yes"] * 4, ["yes", "yes", "no", "no"], (50, 50, 100, 200 / 3, 100, 0)),
    ],
)
def test_ratios_over_nothing_and_the_constant_model(answers: list, labels: list, expected: tuple) -> None:
    """No answer read as yes: precision is 0. Always yes: accuracy 50, recall 100, F1 two thirds."""
    counts = pope(answers, labels)
    rates = (counts.accuracy, counts.precision, counts.recall, counts.f1, counts.yes_ratio, counts.unparsed)
    assert rates == pytest.approx(expected)


@given(st.lists(st.tuples(st.text(max_size=20) | st.sampled_from(["Yes", "No"]), st.sampled_from(["yes", "no"]))))
def test_halves_add_up(pairs: list[tuple[str, str]]) -> None:
    """Any text at all is read; counts of halves sum to those of the whole, which count every answer once."""
    answers, labels = [a for a, _ in pairs], [b for _, b in pairs]
    half = len(pairs) // 2
    whole = pope(answers, labels)
    assert pope(answers[:half], labels[:half]) + pope(answers[half:], labels[half:]) == whole
    assert whole.answers == len(pairs)
    assert whole.unparsed_answers <= whole.true_positives + whole.false_positives


@pytest.mark.parametrize(
    ("answers", "labels", "message"),
    [
        ("yes", ["yes"], "answers is a single text"),
        (["yes"], "yes", "labels is a single text"),
        (["yes"], ["yes", "no"], "1 answers with 2 labels"),
        (["yes", 1], ["yes", "no"], r"answers\[1\]: expected a text, found int"),
        (["yes"], ["Yes"], r"labels\[0\]: expected 'yes' or 'no', found 'Yes'"),
        (["yes"], [True], r"labels\[0\]: expected a text, found bool"),
    ],
)
def test_refuses(answers: list, labels: list, message: str) -> None:
    """Wrong lengths, types and labels are refused with their place."""
    with pytest.raises(MetricInputError, match=message):
        pope(answers, labels)
