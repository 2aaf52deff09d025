"""A real model of 135 million parameters, and conversations to score with it."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "smollm2-135m-instruct"

SYSTEM = {"role": "system", "content": "You answer in one short sentence."}


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


#: TRL's conversational layout: one turn and several, with a system prompt of its own and without, answers of unequal
#: length on either side, letters beyond ASCII.
CONVERSATIONS = [
    {
        "id": "capital",
        "prompt": [user("What is the capital of France?")],
        "chosen": [assistant("The capital of France is Paris.")],
        "rejected": [assistant("I believe that it may be Lyon, or perhaps Marseille; opinions differ a great deal.")],
    },
    {
        "id": "turns",
        "prompt": [
            SYSTEM,
            user("Name a bird."),
            assistant("A robin."),
            user("And one that cannot fly?"),
            assistant("An emu."),
            user("Où vit-il ?"),
        ],
        "chosen": [assistant("Il vit en Australie, où il y en a des centaines de milliers.")],
        "rejected": [assistant("Paris.")],
    },
    {
        "id": "sum",
        "prompt": [SYSTEM, user("2 + 2 = ?")],
        "chosen": [assistant("4")],
        "rejected": [assistant("22")],
    },
    {
        "id": "lines",
        "prompt": [user("Write two lines about the sea.")],
        "chosen": [assistant("The sea is grey;\n\nthe gulls are loud.")],
        "rejected": [assistant("  No. ")],
    },
]

#: TRL's standard layout. The end token that both sides append has the same id as the padding.
PLAIN = [
    {"id": "sky", "prompt": "The sky is", "chosen": " blue today, and wide.", "rejected": " a kind of cheese."},
    {"id": "cat", "prompt": "A cat says", "chosen": " meow.", "rejected": " that the stock market will surely fall."},
]


@pytest.fixture(scope="session", params=["conversations", "plain"])
def rows(request):
    """Rows in both of TRL's layouts."""
    return {"conversations": CONVERSATIONS, "plain": PLAIN}[request.param]


@pytest.fixture
def write_rows(tmp_path):
    """A function that writes rows as JSONL and returns the file."""

    def write(rows):
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture(scope="session")
def conversations():
    """The rows with chat turns."""
    return CONVERSATIONS


@pytest.fixture(scope="session")
def smollm2():
    """The folder of SmolLM2-135M-Instruct."""
    if not (FOLDER / "config.json").exists():
        pytest.skip("the model is not on this machine; scripts/fetch_smollm2.py (or make test-real) brings it")
    return str(FOLDER)
