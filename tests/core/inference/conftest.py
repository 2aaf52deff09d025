"""A policy small enough to enumerate, one that follows a script, and a judge that counts what it is asked."""

from collections import Counter

import pytest
import torch

from prefalign.interfaces import Extension, Prompt, Response

LETTERS = "abc"
FIRST = (0.5, 0.3, 0.2, 0.0)
NEXT = {"a": (0.2, 0.3, 0.3, 0.2), "b": (0.5, 0.1, 0.2, 0.2), "c": (0.1, 0.6, 0.1, 0.2)}


class Chain:
    """Words of a Markov chain over a, b, c: the shares above, the last of which is the end's.

    Not a `Policy`, whose scores nobody needs here. The rows of a call share one generator, as in a model's batch.

    Args:
        longest: a word of so many letters has ended.
        ends: whether a shorter one may end.
    """

    def __init__(self, longest=3, ends=True):
        self.longest, self.ends = longest, ends
        self.calls = []

    def sample(self, prompts, n=1, *, generator, **options):
        self.calls.append(("sample", n * len(prompts), self.longest, options))
        rows = [Response(text=text) for text, _ in self.write([""] * n * len(prompts), self.longest, generator)]
        return [rows[i * n : (i + 1) * n] for i in range(len(prompts))]

    def extend(self, prompts, begun, units, *, generator, **options):
        self.calls.append(("extend", len(prompts), units, options))
        assert len(prompts) == len(begun)
        texts = [one.text if one else "" for one in begun]
        return [Extension(Response(text=text), ended) for text, ended in self.write(texts, units, generator)]

    def write(self, texts, units, generator):
        texts, ended = list(texts), [False] * len(texts)
        for _ in range(units):
            shares = torch.tensor([self.shares(text) for text in texts])
            for i, letter in enumerate(torch.multinomial(shares, 1, generator=generator)[:, 0].tolist()):
                if letter == len(LETTERS):
                    ended[i] = True
                elif not ended[i] and len(texts[i]) < self.longest:
                    texts[i] += LETTERS[letter]
        return [(text, end or len(text) == self.longest) for text, end in zip(texts, ended, strict=True)]

    def shares(self, text):
        found = NEXT[text[-1]] if text else FIRST
        return found if self.ends else (*(share / sum(found[:3]) for share in found[:3]), 0.0)

    def probabilities(self):
        """Every word with its probability."""
        found, begun = {}, {"": 1.0}
        while begun:
            text, mass = begun.popitem()
            for letter, share in zip((*LETTERS, None), self.shares(text), strict=True):
                if letter is None or len(text) + 1 == self.longest:
                    found[text + (letter or "")] = mass * share
                else:
                    begun[text + letter] = mass * share
        return {text: mass for text, mass in found.items() if mass}


class Script:
    """Extends the rows of call i by what `lines[i]` says: one string per row; a `.` at its end puts an end to it."""

    def __init__(self, *lines):
        self.lines = list(lines)
        self.seen = []

    def extend(self, prompts, begun, units, *, generator, **options):
        self.seen.append([one.text if one else "" for one in begun])
        line = self.lines.pop(0)
        assert len(line) == len(begun)
        texts = [(one.text if one else "") + added for one, added in zip(begun, line, strict=True)]
        return [Extension(Response(text=text.rstrip(".")), text.endswith(".")) for text in texts]


class Judge:
    """A program that gives `value(text)`, or None, and notes prompt and text of all that it was asked."""

    def __init__(self, value):
        self.value, self.asked = value, []

    def __call__(self, record):
        assert all(response.token_ids is None or response.text is None for response in record.responses)
        self.asked += [(record.prompt.text, response.text) for response in record.responses]
        return [self.value(response.text) for response in record.responses]


@pytest.fixture(scope="session")
def chain():
    return Chain


@pytest.fixture(scope="session")
def script():
    return Script


@pytest.fixture(scope="session")
def judge():
    return Judge


@pytest.fixture(scope="session")
def seeded():
    return lambda seed=0: torch.Generator().manual_seed(seed)


@pytest.fixture(scope="session")
def fits():
    """Whether texts may be draws from a table of probabilities: Pearson's statistic within 5 standard deviations."""

    def check(texts, probabilities):
        assert abs(sum(probabilities.values()) - 1) < 1e-9
        assert set(texts) <= probabilities.keys()
        # Cells too small for Pearson's statistic share one, with the smallest of the others.
        cells = sorted(probabilities, key=probabilities.__getitem__)
        small = next(i for i in range(len(cells)) if len(texts) * probabilities[cells[i]] > 10)
        groups = [cells[: small + 1], *([text] for text in cells[small + 1 :])]
        counts = Counter(texts)
        expected = [len(texts) * sum(probabilities[text] for text in group) for group in groups]
        found = [sum(counts[text] for text in group) for group in groups]
        statistic = sum((f - e) ** 2 / e for f, e in zip(found, expected, strict=True))
        free = len(groups) - 1
        return statistic < free + 5 * (2 * free) ** 0.5

    return check


@pytest.fixture(scope="session")
def prompt():
    return Prompt(text="p")
