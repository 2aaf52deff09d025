"""Figures of one token stream."""

import math

import pytest

from prefalign_mesh3d.metrics.functional.token_health import token_health
from prefalign_mesh3d.tokenizers.coord9 import Coord9

TOKENIZER = Coord9(levels=8)
BOS, EOS = TOKENIZER.bos_id, TOKENIZER.eos_id
FACE = [0, 0, 0, 0, 0, 1, 0, 1, 0]
OTHER = [0, 0, 0, 0, 1, 0, 1, 0, 0]
COLLAPSED = [0, 0, 0, 0, 0, 0, 0, 1, 0]


def health(tokens):
    return token_health(tokens, TOKENIZER, TOKENIZER.decode(tokens))


def test_a_whole_stream():
    found = health([BOS, *FACE, *OTHER, EOS, EOS, EOS])
    assert found == {
        "ended": 1,
        "bad_token_ratio": 0,
        "degenerate_ratio": 0,
        "duplicate_ratio": 0,
        "tokens": 18,
        "faces": 2,
        "tokens_per_face": 9,
    }


def test_a_sick_stream():
    """Four faces, of which one has collapsed and one is there before; three tokens of a fifth, and no end."""
    found = health([*FACE, *COLLAPSED, *FACE, *OTHER, 1, 2, 3])
    assert found["ended"] == 0
    assert found["bad_token_ratio"] == 3 / 39
    assert found["degenerate_ratio"] == found["duplicate_ratio"] == 1 / 4
    assert (found["tokens"], found["faces"], found["tokens_per_face"]) == (39, 2, 19.5)


@pytest.mark.parametrize("tokens", [[], [BOS], [EOS], [BOS, EOS], [BOS, 3, 4]])
def test_streams_without_a_face(tokens):
    found = health(tokens)
    assert found["ended"] == (EOS in tokens)
    assert found["faces"] == 0
    assert found["bad_token_ratio"] == (3 in tokens)
    assert all(math.isnan(found[name]) for name in ("degenerate_ratio", "duplicate_ratio", "tokens_per_face"))
