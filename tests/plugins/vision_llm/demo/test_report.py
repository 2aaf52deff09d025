"""The table and the page say what the figures say."""

from PIL import Image

from prefalign_vision_llm.demo.report import accepted, examples_of_change, marked, page, spread, table

BASE = {
    "chair_i": 24.0,
    "chair_s": 60.0,
    "recall": 97.0,
    "delta": 9.0,
    "words": 14.0,
    "pope/adversarial/accuracy": 88.0,
    "pope/adversarial/yes_ratio": 62.0,
}


def tuned(**changes):
    return {**BASE, "chair_i": 16.0, "pope/adversarial/accuracy": 92.0, "recall": 95.0, **changes}


def test_acceptance_is_a_third_less_and_two_points_of_recall():
    """24 to 16 is exactly a third; an error of 12 to 8 too; recall 97 to 95 is exactly two points."""
    assert accepted(BASE, tuned())
    assert not accepted(BASE, tuned(chair_i=16.1))
    assert not accepted(BASE, tuned(**{"pope/adversarial/accuracy": 91.9}))
    assert not accepted(BASE, tuned(recall=94.9))


def test_spread_is_the_sample_standard_deviation():
    assert spread([1.0, 3.0]) == "2.0 ± 1.4"
    assert spread([1.25]) == "1.2"


def test_the_table_counts_accepted_seeds():
    made = table({"base": [BASE, BASE], "ddpo": [tuned(), tuned(chair_i=20.0)]}, {"base": "before", "ddpo": "after"})
    lines = made.splitlines()
    assert lines[2] == (
        "| before | 24.0 ± 0.0 | 60.0 ± 0.0 | 97.0 ± 0.0 | 9.0 ± 0.0 | 12.0 ± 0.0 | 62.0 ± 0.0 | 14.0 ± 0.0 | - |"
    )
    assert lines[3].startswith("| after | 18.0 ± 2.8 |")
    assert lines[3].endswith("| 1/2 |")


def test_only_absent_objects_are_marked_and_text_is_escaped():
    found = marked("a cup and a <kite> kite .", ["cup", "kite"], ["cup"])
    assert found == "a cup and a &lt;kite&gt; <mark>kite</mark> ."


def test_examples_show_failures_too():
    present = [["cup"]] * 6
    before = ["a kite ."] * 6
    after = ["a cup .", "a kite .", "a cup .", "a cup .", "a cup .", "a kite ."]
    assert examples_of_change(before, after, present, ["cup", "kite"], count=4) == [0, 1, 2, 3]


def test_the_page_stands_alone(tmp_path):
    picture = Image.new("RGB", (8, 8))
    summary = table({"base": [BASE]}, {"base": "before"})
    page(tmp_path / "page.html", summary, [(picture, ["cup"], {"before": "a kite ."})], ["cup", "kite"])
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<mark>kite</mark>" in text
    assert "data:image/png;base64," in text
    assert "http" not in text
    assert "<th>CHAIRi %</th>" in text
