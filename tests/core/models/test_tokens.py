"""Token rows: weights from spans, padding, and keys. What needs a model is tested with the policy."""

import numpy as np
import pytest
import torch

from prefalign.interfaces import RecordError, Response, Segment
from prefalign.models.tokens import TokenRow, pad_rows, spans_to_weights

SPANS = np.array([[0, 3], [3, 7], [7, 9], [0, 0]])  # three words and the end token, which has no characters


@pytest.mark.parametrize(
    ("segment", "weights"),
    [
        (Segment(3, 7, 5.0), [1, 5, 1, 1]),
        (Segment(2, 4, 5.0), [5, 5, 1, 1]),  # a token that is touched is marked whole
        (Segment(0, 100, -1.0), [-1, -1, -1, 1]),
        (Segment(3, 4, 0.0, axis="token"), [1, 1, 1, 0]),
        (Segment(1, 9, 0.0, axis="token"), [1, 0, 0, 0]),
    ],
)
def test_a_segment_marks_the_tokens_that_it_meets(segment, weights):
    assert spans_to_weights(Response(text="a response", segments=(segment,)), SPANS, "r") == weights


def test_later_segments_win_where_they_overlap():
    response = Response(text="a response", segments=(Segment(0, 9, 2.0), Segment(3, 7, 3.0)))
    assert spans_to_weights(response, SPANS, "r") == [2, 3, 2, 1]


@pytest.mark.parametrize("segment", [Segment(9, 10, 2.0), Segment(4, 5, 2.0, axis="token"), Segment(0, 1, 2.0, "face")])
def test_a_segment_that_meets_nothing_is_refused(segment):
    with pytest.raises(RecordError) as caught:
        spans_to_weights(Response(text="a response", segments=(segment,)), SPANS, "r7")
    assert caught.value.record_id == "r7"


def test_rows_are_padded_on_the_right():
    padded = pad_rows([TokenRow([5, 6], [7], [2.0]), TokenRow([5], [7, 8, 9], [1.0, 0.5, 1.0])], pad_id=0)
    assert padded["input_ids"].tolist() == [[5, 6, 7, 0], [5, 7, 8, 9]]
    assert padded["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert padded["completion_mask"].tolist() == [[False, False, True, False], [False, True, True, True]]
    assert padded["token_weights"].tolist() == [[0, 0, 2, 0], [0, 1, 0.5, 1]]


def test_the_key_covers_ids_border_and_side_tensors_but_not_weights():
    def key(prompt, completion, weight=1.0, **side):
        return TokenRow(prompt, completion, [weight] * len(completion), side).keyed().key

    base = key([1, 2], [3])
    assert key([1, 2], [3], weight=5.0) == base
    assert key([1], [2, 3]) != base
    pixels = torch.zeros(1, 3, 2, 2)
    changed = pixels.clone()
    changed[0, 0, 0, 0] = 1
    keys = {key([1, 2], [3], pixels=p) for p in (pixels, changed, pixels.double(), pixels.reshape(1, 3, 4))}
    assert len(keys) == 4
    assert base not in keys
