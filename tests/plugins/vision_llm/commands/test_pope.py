"""`prefalign vision_llm pope` from files to what it prints."""

import gzip
import json
import random
from pathlib import Path

import pytest

from prefalign_vision_llm.commands.pope import main

LABELS = ["yes", "yes", "yes", "yes", "no", "no", "no", "no"]
SAID = ["Yes", "yes", "Yes.", "No", "Yes", "I cannot tell", "no", "There is not"]
QUESTIONS = [{"question_id": n, "text": f"Is there a {n}?", "label": label} for n, label in enumerate(LABELS, 1)]
ANSWERS = [{"question_id": n, "answer": answer} for n, answer in enumerate(SAID, 1)]


class Folder:
    """Writes the two files and runs the command on them."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.answers, self.questions, self.capsys = path / "answers.jsonl", path / "questions.jsonl", capsys

    def run(self, *flags: str, answers: object = ANSWERS, questions: object = QUESTIONS) -> tuple[int, str, str]:
        for path, content in ((self.answers, answers), (self.questions, questions)):
            text = content if isinstance(content, str) else "\n".join(map(json.dumps, content))  # type: ignore[call-overload]
            path.write_text(text, encoding="utf-8")
        code = main([str(self.answers), "--questions", str(self.questions), *flags])
        out, err = self.capsys.readouterr()
        return code, out, err


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Folder:
    return Folder(tmp_path, capsys)


@pytest.mark.parametrize(
    "answers",
    [
        ANSWERS,
        list(reversed(ANSWERS)),
        [{"question_id": str(row["question_id"]), "text": row["answer"]} for row in ANSWERS],
        [{**row, "text": "Is there a dog?"} for row in ANSWERS],
    ],
    ids=["answer", "any order", "text and ids as texts", "answer goes before text"],
)
def test_json(folder: Folder, answers: list[dict[str, object]]) -> None:
    """3 right yes, 1 missed, 2 wrong yes (1 unparsed), 2 right no: 62.5, 60, 75, 66.7, yes 62.5, unparsed 12.5."""
    code, out, err = folder.run("--json", answers=answers)
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report.pop("unit") == "percent"
    assert report == pytest.approx(
        {
            "accuracy": 62.5, "precision": 60, "recall": 75, "f1": 200 / 3, "yes_ratio": 62.5, "unparsed": 12.5,
            "answers": 8, "true_positives": 3, "false_positives": 2, "true_negatives": 2, "false_negatives": 1,
            "unparsed_answers": 1,
        }
    )  # fmt: skip


def test_text(folder: Folder) -> None:
    """The same for people; unparsed answers are spelled out."""
    code, out, _ = folder.run()
    assert code == 0
    assert out.splitlines() == [
        "accuracy    62.50 %",
        "precision   60.00 %",
        "recall      75.00 %",
        "f1          66.67 %",
        "yes_ratio   62.50 %",
        "unparsed    12.50 %",
        "",
        "8 answers: 3 right and 2 wrong yes, 2 right and 1 wrong no",
        "1 answers say neither yes nor no; as published, they count as yes.",
    ]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("", "{answers}: the file is empty"),
        ('{"question_id": 1, "answer": "y', "{answers}:1: broken or half a JSON record"),
        ([{"answer": "yes"}], "{answers}:1, field 'question_id': missing; there is 'answer'"),
        ([{"question_id": 1, "anwser": "yes"}], "{answers}:1, field 'answer': missing; did you mean 'anwser'"),
        ([{"question_id": 1, "answer": True}], "{answers}:1, field 'answer': expected a text, found true"),
        ([{"question_id": 1, "text": None}], "{answers}:1, field 'text': expected a text, found null"),
        (
            [{"question_id": None, "answer": "yes"}],
            "{answers}:1, field 'question_id': expected a whole number or a text",
        ),
        (["yes"], '{answers}:1: expected a JSON object, found "yes"'),
        ([*ANSWERS, ANSWERS[2]], "{answers}:9, field 'question_id': 3 stands at {answers}:3 already"),
        ([{"question_id": 9, "answer": "no"}], "{answers}:1, field 'question_id': no question 9 in {questions}"),
        (QUESTIONS, "{answers}:1, field 'text': the answer is the question itself ('Is there a 1?')"),
        (
            ANSWERS[:6],
            "{answers} answers 6 of 8 questions; expected an answer to each\n"
            "  {questions}:7: question 7\n  {questions}:8: question 8\n",
        ),
    ],
)
def test_bad_answers(folder: Folder, answers: object, message: str) -> None:
    """File, line, field, what was found and what was expected; nothing on the output."""
    code, out, err = folder.run("--json", answers=answers)
    assert (code, out) == (1, "")
    assert message.format(answers=folder.answers, questions=folder.questions) in err


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ("[]", "{questions}: the file is empty"),
        ([{"question_id": 1}], "{questions}:1, field 'label': missing"),
        ([{"question_id": 1, "label": "Yes"}], "{questions}:1, field 'label': expected 'yes' or 'no', found 'Yes'"),
        ([{"question_id": 1, "label": 1}], "{questions}:1, field 'label': expected a text, found 1"),
        ([*QUESTIONS, QUESTIONS[0]], "{questions}:9, field 'question_id': 1 stands at {questions}:1 already"),
    ],
)
def test_bad_questions(folder: Folder, questions: object, message: str) -> None:
    """The same for the questions."""
    code, out, err = folder.run(questions=questions)
    assert (code, out) == (1, "")
    assert message.format(questions=folder.questions) in err


@pytest.mark.parametrize("split", ["random", "popular", "adversarial"])
def test_real_questions(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str) -> None:
    """A model that is wrong where a coin says so has the rates of the coin; one that always says yes has 50 %."""
    source = shared_data / f"coco_pope_{split}.jsonl.gz"
    rows = [json.loads(line) for line in gzip.decompress(source.read_bytes()).decode().splitlines()]
    coin = random.Random(0)
    wrong = {row["question_id"] for row in rows if coin.random() < 0.1}
    other = {"yes": "No, there is not.", "no": "Yes, there is."}
    right = {"yes": "Yes.", "no": "no"}
    answers = tmp_path / "answers.jsonl.gz"
    lines = [
        {"question_id": row["question_id"], "answer": (other if row["question_id"] in wrong else right)[row["label"]]}
        for row in rows
    ]
    answers.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    assert main([str(answers), "--questions", str(source), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["accuracy"] == pytest.approx(100 * (1 - len(wrong) / 3000))
    missed = sum(row["label"] == "yes" for row in rows if row["question_id"] in wrong)
    assert report["recall"] == pytest.approx(100 * (1500 - missed) / 1500)
    assert report["unparsed"] == 0

    answers.write_text("\n".join(json.dumps({"question_id": row["question_id"], "text": "yes"}) for row in rows))
    assert main([str(answers), "--questions", str(source), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["accuracy"], report["yes_ratio"], report["recall"]) == (50, 100, 100)
