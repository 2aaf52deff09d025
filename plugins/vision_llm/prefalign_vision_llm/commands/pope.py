"""`prefalign vision_llm pope`: yes/no answers about objects against their labels."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

from prefalign_vision_llm.commands.documents import Document, read_documents
from prefalign_vision_llm.metrics.functional.errors import MetricInputError, hint
from prefalign_vision_llm.metrics.functional.pope import PopeCounts

_RATES = ("accuracy", "precision", "recall", "f1", "yes_ratio", "unparsed")
_LISTED = 10  # of many like mistakes, so many are shown


@dataclass(frozen=True)
class Question:
    """A question's label, its wording where the file has it, and its place."""

    label: str
    text: str | None
    where: str


def read_questions(path: str) -> dict[str, Question]:
    """Read questions, each with `question_id` and `label` (yes or no), from a POPE file.

    Raises:
        MetricInputError: a record lacks a field, has another type or label in it, or repeats an id.
    """
    questions: dict[str, Question] = {}
    for document in read_documents(path):
        identifier, label = document.identifier("question_id"), document.text("label")
        if label not in ("yes", "no"):
            raise MetricInputError(f"{document.where}, field 'label': expected 'yes' or 'no', found {label!r}")
        if identifier in questions:
            raise _repeated(document, identifier, questions[identifier].where)
        text = document.mapping().get("text")
        questions[identifier] = Question(label, text if isinstance(text, str) else None, document.where)
    return questions


def score_answers(path: str, questions: dict[str, Question], questions_path: str) -> PopeCounts:
    """Score a file of answers, each with `question_id` and `answer` (or `text`): exactly one to every question.

    Raises:
        MetricInputError: a record lacks a field or has another type in it, repeats an id or has an unknown one, a
            question has no answer, or the file holds the questions themselves.
    """
    counts = PopeCounts()
    answered: dict[str, str] = {}
    for document in read_documents(path):
        identifier = document.identifier("question_id")
        key = "text" if "text" in document.mapping() and "answer" not in document.mapping() else "answer"
        answer = document.text(key)
        if identifier in answered:
            raise _repeated(document, identifier, answered[identifier])
        if identifier not in questions:
            raise MetricInputError(
                f"{document.where}, field 'question_id': no question {identifier} in {questions_path}; "
                f"{hint(identifier, questions)}"
            )
        question = questions[identifier]
        if answer == question.text:
            raise MetricInputError(
                f"{document.where}, field {key!r}: the answer is the question itself ({answer!r}); "
                "is this a file of questions?"
            )
        answered[identifier] = document.where
        counts.add(answer, question.label)
    open_questions = [f"  {item.where}: question {name}" for name, item in questions.items() if name not in answered]
    if open_questions:
        more = f"\n  and {len(open_questions) - _LISTED} more" if len(open_questions) > _LISTED else ""
        listed = "\n".join(open_questions[:_LISTED])
        raise MetricInputError(
            f"{path} answers {len(answered)} of {len(questions)} questions; expected an answer to each\n{listed}{more}"
        )
    return counts


def _repeated(document: Document, identifier: str, first: str) -> MetricInputError:
    return MetricInputError(
        f"{document.where}, field 'question_id': {identifier} stands at {first} already; expected every id once"
    )


def _as_json(counts: PopeCounts) -> dict[str, Any]:
    rates = {name: getattr(counts, name) for name in _RATES}
    return {**rates, "unit": "percent", "answers": counts.answers, **asdict(counts)}


def _as_text(counts: PopeCounts) -> str:
    lines = [f"{name:10}{getattr(counts, name):7.2f} %" for name in _RATES]
    lines += [
        "",
        f"{counts.answers} answers: {counts.true_positives} right and {counts.false_positives} wrong yes, "
        f"{counts.true_negatives} right and {counts.false_negatives} wrong no",
    ]
    if counts.unparsed_answers:
        lines.append(f"{counts.unparsed_answers} answers say neither yes nor no; as published, they count as yes.")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign vision_llm pope",
        description="Score yes/no answers about the objects of images (POPE); yes is the positive class.",
    )
    parser.add_argument(
        "answers", metavar="ANSWERS", help="JSON or JSON Lines, plain or gzipped: question_id and answer (or text)"
    )
    parser.add_argument("--questions", required=True, help="JSON or JSON Lines, plain or gzipped: question_id, label")
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of a table")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns the exit code: 0, or 1 after an input that cannot be scored."""
    args = _parser().parse_args(argv)
    try:
        counts = score_answers(args.answers, read_questions(args.questions), args.questions)
    except MetricInputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(_as_json(counts), indent=2) if args.json else _as_text(counts))
    return 0
