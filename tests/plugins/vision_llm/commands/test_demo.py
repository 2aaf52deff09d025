"""The parts of the demonstration's command that need no training."""

import pytest

from prefalign.interfaces import PrefalignError
from prefalign_vision_llm.commands import demo


def test_an_unknown_arm_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(PrefalignError, match="unknown arm 'dpoo'; did you mean 'dpo'"):
        demo.main(["--out", str(tmp_path / "out"), "--arms", "dpoo"])
    assert not (tmp_path / "out").exists()


def test_without_real_captions_nothing_is_scored(tmp_path):
    assert demo.score_real_captions(tmp_path) == {}
    assert "--captions FOLDER" in demo._spoken(tmp_path, [0], "table", {})


def test_a_figure_that_differs_is_said():
    row = {"ours": [1.0, 2.0, 3.0], "published": [9.0, 2.0, 3.0], "agrees": False}
    assert "DIFFERS" in demo._spoken(demo.Path("out"), [0], "table", {"x": row})


def test_real_captions_agree_with_the_published_figures(shared_data):
    """Within 0.3 points on all four files of captions that real models wrote."""
    found = demo.score_real_captions(shared_data)
    assert list(found) == list(demo.PUBLISHED)
    assert all(row["agrees"] for row in found.values()), found
