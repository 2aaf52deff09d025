"""The annotator's judgements as records on disk."""

from PIL import Image

from prefalign.data.sources import open_records
from prefalign.interfaces import Pair, Segment, Unary
from prefalign_vision_llm.demo.annotator import Annotations, Verified, correct_answer, correct_caption
from prefalign_vision_llm.demo.records import correction_record, write_annotations
from prefalign_vision_llm.demo.scenes import ICON_WORLD


def caption_correction():
    made = correct_caption("the image shows a cup and a kite .", ["cup", "pan"], ICON_WORLD)
    assert made is not None
    return made


def test_gamma_weighs_the_changed_words_and_1_marks_nothing():
    """`kite` [26, 30) is replaced by `pan` [26, 29)."""
    weighted, plain = (correction_record(caption_correction(), 3, "a.png", gamma) for gamma in (5.0, 1.0))
    assert weighted.id == "caption-pair-00003"
    assert [r.text for r in weighted.responses] == [
        "the image shows a cup and a pan .",
        "the image shows a cup and a kite .",
    ]
    assert [r.segments for r in weighted.responses] == [(Segment(28, 31, 5.0),), (Segment(28, 32, 5.0),)]
    assert [r.segments for r in plain.responses] == [(), ()]


def test_what_is_written_is_read_back_with_its_pictures(tmp_path):
    for name in ("0.png", "1.png"):
        Image.new("RGB", (48, 48)).save(tmp_path / name)
    answer = correct_answer("yes", "dog", ["cup"])
    assert answer is not None
    verified = Verified(1, "question", "is there a cup ?", "yes")
    write_annotations(Annotations((caption_correction(), answer), (verified,), {}), ["0.png", "1.png"], tmp_path)
    pairs, plain, single = (open_records(tmp_path / f"{n}.jsonl") for n in ("pairs", "pairs-plain", "verified"))
    assert [len(pairs), len(plain), len(single)] == [2, 2, 1]
    assert pairs[0].verdict == Pair()
    assert pairs[0].responses[0].segments == (Segment(28, 31, 5.0),)
    assert pairs[1].responses[0].text == "no"
    assert plain[0].responses[0].segments == ()
    assert single[0].verdict == Unary((True,))
    assert single[0].prompt.media[0].path == str(tmp_path / "1.png")
