"""Figures of many token streams."""

import pytest

from prefalign_mesh3d.metrics.token_health import TokenHealth
from prefalign_mesh3d.tokenizers.coord9 import Coord9

TOKENIZER = Coord9(levels=8)
BOS, EOS = TOKENIZER.bos_id, TOKENIZER.eos_id
FACE = [0, 0, 0, 0, 0, 1, 0, 1, 0]


def test_many():
    metric = TokenHealth(TOKENIZER)
    metric.update([[BOS, *FACE, EOS], [BOS, *FACE, *FACE], [BOS, 1, 1]])
    found = metric.compute()
    assert found["ended"] == pytest.approx(1 / 3)
    assert found["bad_token_ratio"] == pytest.approx(1 / 3)
    assert found["duplicate_ratio"] == pytest.approx(1 / 4)
    assert found["faces"] == pytest.approx(2 / 3)
    assert found["valid"] == pytest.approx(2 / 3)
    assert found["meshes"] == 3
