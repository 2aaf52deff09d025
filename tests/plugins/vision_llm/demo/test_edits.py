import pytest

from prefalign_vision_llm.demo.edits import Edit, Segment, apply_edits, character_span

PLATES = ["a", "cup", "and", "a", "pan", "and", "a", "plate", "."]


def _text(words):
    return " ".join(words)


@pytest.mark.parametrize("start", [2, 3, 4])
def test_a_deletion_slides_to_where_the_texts_part(start):
    """ "and a pan", "a pan and" and "pan and a" leave the same text; after all of them "plate" stands against "pan"."""
    chosen, segments = apply_edits(PLATES, [Edit(start, start + 3)])
    assert _text(chosen) == "a cup and a plate ."
    assert segments == [Segment(rejected=(4, 7), chosen=(4, 4))]
    assert PLATES[4:7] == ["pan", "and", "a"]
    assert (chosen[4], PLATES[4]) == ("plate", "pan")


def test_a_deletion_before_the_full_stop_cannot_slide():
    chosen, segments = apply_edits(PLATES, [Edit(5, 8)])
    assert _text(chosen) == "a cup and a pan ."
    assert segments == [Segment((5, 8), (5, 5))]


def test_a_deletion_at_the_start_slides_over_the_article():
    chosen, segments = apply_edits(PLATES, [Edit(0, 3)])
    assert _text(chosen) == "a pan and a plate ."
    assert segments == [Segment((1, 4), (1, 1))]
    assert PLATES[1:4] == ["cup", "and", "a"]


def test_replacements_stay_where_they_are():
    chosen, segments = apply_edits(PLATES, [Edit(1, 2, ("kite",)), Edit(7, 8, ("red", "dog"))])
    assert _text(chosen) == "a kite and a pan and a red dog ."
    assert segments == [Segment((1, 2), (1, 2)), Segment((7, 8), (7, 9))]


def test_deletions_that_touch_become_one_segment():
    chosen, segments = apply_edits(PLATES, [Edit(2, 5), Edit(5, 8)])
    assert _text(chosen) == "a cup ."
    assert segments == [Segment((2, 8), (2, 2))]


def test_a_deletion_after_a_replacement_stays_a_segment_of_its_own():
    """The full stop that now follows is decided differently too: it stands where "and" was."""
    chosen, segments = apply_edits(PLATES, [Edit(4, 5, ("kite",)), Edit(5, 8)])
    assert _text(chosen) == "a cup and a kite ."
    assert segments == [Segment((4, 5), (4, 5)), Segment((5, 8), (5, 5))]


def test_a_deletion_slides_up_to_the_next_segment_and_joins_it():
    """ "and a pan" slides to "pan and a", next to the replaced "plate": "pan and a plate" became "kite"."""
    chosen, segments = apply_edits(PLATES, [Edit(2, 5), Edit(7, 8, ("kite",))])
    assert _text(chosen) == "a cup and a kite ."
    assert segments == [Segment((4, 8), (4, 5))]


def test_a_deletion_does_not_slide_over_a_changed_word():
    """The article after the deletion was replaced, so the deletion may move by "and" no further than that article."""
    chosen, segments = apply_edits(PLATES, [Edit(2, 5), Edit(6, 8, ("an", "apple"))])
    assert _text(chosen) == "a cup and an apple ."
    assert segments == [Segment((3, 8), (3, 5))]


def test_the_segment_rule_holds_after_any_deletion():
    """What is outside the segments is the same on both sides, in order, and the words after them differ."""
    words = [*"ababaabbab", "."]
    for start in range(len(words)):
        for stop in range(start + 1, len(words)):
            chosen, [segment] = apply_edits(words, [Edit(start, stop)])
            (a, b), (at, until) = segment.rejected, segment.chosen
            assert at == until
            assert words[:a] + words[b:] == chosen == words[:start] + words[stop:]
            assert words[a] != chosen[at]


@pytest.mark.parametrize(
    "edits", [[Edit(3, 2)], [Edit(0, 3), Edit(2, 5)], [Edit(8, 10)], [Edit(2, 2)], [Edit(4, 5), Edit(1, 2)]]
)
def test_edits_out_of_order_or_range_are_refused(edits):
    with pytest.raises(ValueError, match="empty, out of range or overlaps"):
        apply_edits(PLATES, edits)


def test_character_spans_cut_out_exactly_the_words():
    text = " ".join(PLATES)
    for first in range(len(PLATES)):
        for last in range(first + 1, len(PLATES) + 1):
            start, stop = character_span(PLATES, (first, last))
            assert text[start:stop] == " ".join(PLATES[first:last])
    with pytest.raises(ValueError, match="no segment"):
        character_span(PLATES, (2, 2))
