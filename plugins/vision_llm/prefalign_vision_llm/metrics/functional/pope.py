"""POPE: yes/no questions about the objects of an image (Li et al. 2023, arXiv 2305.10355)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from prefalign_vision_llm.metrics.functional.chair import checked_texts, percent
from prefalign_vision_llm.metrics.functional.errors import MetricInputError

YesNo = Literal["yes", "no"]
_NO = frozenset(("No", "no", "not"))
_LETTERS = re.compile(r"[a-z]+")


def _first_sentence(answer: str) -> str:
    return answer.partition(".")[0]


def parse_answer(answer: str) -> YesNo:
    """Read an answer by POPE's published rule: no, if `No`, `no` or `not` is a word of it; yes in every other case.

    Only the text before the first full stop is read, commas are dropped, and words are what single spaces separate. So
    `NO`, `no!` and `I cannot tell` are read as yes; `is_unparsed` finds them.
    """
    words = _first_sentence(answer).replace(",", "").split(" ")
    return "yes" if _NO.isdisjoint(words) else "no"


def is_unparsed(answer: str) -> bool:
    """Whether `parse_answer` says yes only for want of anything else: the part that it reads holds no word `yes`."""
    return parse_answer(answer) == "yes" and "yes" not in _LETTERS.findall(_first_sentence(answer).lower())


@dataclass
class PopeCounts:
    """Answers by label and reading. Positive is yes. Counts of disjoint sets add up to those of their union.

    Attributes:
        true_positives: label yes, read as yes.
        false_positives: label no, read as yes.
        true_negatives: label no, read as no.
        false_negatives: label yes, read as no.
        unparsed_answers: answers that were read as yes without saying so; they are among the positives.
    """

    true_positives: int = 0
    false_positives: int = 0
    true_negatives: int = 0
    false_negatives: int = 0
    unparsed_answers: int = 0

    def add(self, answer: str, label: str) -> None:
        """Count one answer against its label, `yes` or `no`."""
        said_yes, is_yes = parse_answer(answer) == "yes", label == "yes"
        self.true_positives += said_yes and is_yes
        self.false_positives += said_yes and not is_yes
        self.true_negatives += not said_yes and not is_yes
        self.false_negatives += not said_yes and is_yes
        self.unparsed_answers += is_unparsed(answer)

    def __add__(self, other: PopeCounts) -> PopeCounts:
        return PopeCounts(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))

    @property
    def answers(self) -> int:
        """All answers counted."""
        return self.true_positives + self.false_positives + self.true_negatives + self.false_negatives

    @property
    def accuracy(self) -> float:
        """Answers that agree with their label, in percent."""
        return percent(self.true_positives + self.true_negatives, self.answers)

    @property
    def precision(self) -> float:
        """Label yes among those read as yes, in percent."""
        return percent(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Read as yes among those with label yes, in percent."""
        return percent(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, in percent."""
        return percent(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)

    @property
    def yes_ratio(self) -> float:
        """Answers read as yes, in percent; it exposes a model that always says the same."""
        return percent(self.true_positives + self.false_positives, self.answers)

    @property
    def unparsed(self) -> float:
        """Answers that were read as yes without saying so, in percent."""
        return percent(self.unparsed_answers, self.answers)


def pope(answers: Sequence[str], labels: Sequence[str]) -> PopeCounts:
    """Score N answers against N labels, each `yes` or `no`.

    Raises:
        MetricInputError: N differs, an answer is not text, or a label is neither `yes` nor `no`; the place is named.
    """
    answers, labels = checked_texts(answers, "answers"), checked_texts(labels, "labels")
    if len(answers) != len(labels):
        raise MetricInputError(f"{len(answers)} answers with {len(labels)} labels; expected one label an answer")
    counts = PopeCounts()
    for place, (answer, label) in enumerate(zip(answers, labels, strict=True)):
        if label not in ("yes", "no"):
            raise MetricInputError(f"labels[{place}]: expected 'yes' or 'no', found {label!r}")
        counts.add(answer, label)
    return counts
