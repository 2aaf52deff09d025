"""What the pictures show, read back from their axes."""

import io

import numpy as np
import pytest
from PIL import Image

from prefalign_robotics.demo import charts
from prefalign_robotics.demo.charts import confidence_chart, coupling_chart, reward_chart


@pytest.fixture
def drawn(monkeypatch):
    """The figures, in place of their pictures."""
    figures = []
    monkeypatch.setattr(charts, "_png", lambda figure: figures.append(figure) or b"")
    return figures


def test_a_coupling_is_in_the_order_of_returns_and_in_units_of_chance(drawn):
    """Source rows by return: 2, 0, 1; target columns: 1, 0. The whole mass is 12, so a uniform cell holds 2."""
    coupling_chart(np.array([[1.0, 2.0], [3.0, 0.0], [4.0, 2.0]]), np.array([5.0, 9.0, 1.0]), np.array([7.0, 3.0]))
    axes = drawn[0].axes[0]
    assert axes.images[0].get_array().tolist() == [[1.0, 2.0], [1.0, 0.5], [0.0, 1.5]]
    assert axes.images[0].origin == "lower"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("target windows, by return", "source windows, by return")


def test_rewards_of_episodes_share_their_scales_and_success_is_marked(drawn):
    mean, deviation = np.array([[0.0, 1.0, 2.0], [5.0, 5.0, 5.0]]), np.array([[1.0, 1.0, 1.0], [0.5, 0.5, 0.5]])
    success = np.array([[False, True, True], [False, False, False]])
    reward_chart(mean, deviation, 10 * mean, success, ["good", "bad"])
    above, above_bad, below, below_bad = drawn[0].axes
    assert above.get_title() == "good"
    assert above.lines[0].get_xydata().tolist() == [[1, 0], [2, 1], [3, 2]]
    band = above.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (-1, 3)
    assert above.lines[1].get_xdata() == [2, 2]
    assert below.lines[0].get_ydata().tolist() == [0, 10, 20]
    assert len(above_bad.lines) == len(below_bad.lines) == 1
    assert above.get_ylim() == above_bad.get_ylim()
    assert below.get_ylim() == below_bad.get_ylim()


def test_confidence_beside_accuracy(drawn):
    confidence_chart([0.4, 0.7, 1.0])
    confidence_chart([0.8])
    axes = drawn[0].axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[1, 0.4], [2, 0.7], [3, 1.0]]
    assert axes.get_ylim()[0] <= 0.4
    assert [label.get_text() for label in axes.get_xticklabels()] == ["least", "", "most"]
    assert drawn[1].axes[0].lines[0].get_xydata().tolist() == [[1, 0.8]]


def test_the_same_picture_is_the_same_file():
    first = confidence_chart([0.5, 1.0])
    assert first == confidence_chart([0.5, 1.0])
    assert Image.open(io.BytesIO(first)).format == "PNG"
