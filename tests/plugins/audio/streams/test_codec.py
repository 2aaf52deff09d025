"""Songs as rows: golden rows by hand, and what is refused."""

import numpy as np
import pytest
import torch

from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Ranking, RecordError, Response, Segment
from prefalign_audio.streams.codec import StreamCodec, condition_inputs
from prefalign_audio.streams.conditions.song import SongConditions
from prefalign_audio.streams.model import StreamLayout
from prefalign_audio.streams.pattern import DelayPattern

# Codes 0 to 9, 10 ends a stream, 11 says that nothing is there.
LAYOUT = StreamLayout(
    DelayPattern([0, 1, 1]), (10, 10, 10), (11, 11, 11), (11, 11, 11), (10, 10, 10), ("mixed", "vocal", "rest")
)
ENDLESS = StreamLayout(DelayPattern([0, 1]), (10, 10), (11, 12), (13, 14), None)
CODES = np.array([[1, 2], [3, 4], [5, 6]])
WORDS = SongConditions(["a", "oː"])
EMPTY = Prompt()


def record(*responses, prompt=EMPTY, name="s"):
    responses = [one if isinstance(one, Response) else Response(arrays=one) for one in responses]
    return PreferenceRecord(
        id=name, prompt=prompt, responses=tuple(responses), verdict=Ranking(tuple(range(len(responses))))
    )


def row(arrays, layout=LAYOUT, **settings):
    return StreamCodec(layout, WORDS, **settings).encode(record(arrays)).rows[0]


def test_a_finished_song_by_hand():
    """The end of the leading stream is scored; the step behind the parts' last codes holds no prediction."""
    found = row({"codes": CODES})
    assert found.ids.tolist() == [[11, 1, 2, 10], [11, 11, 3, 4], [11, 11, 5, 6]]
    assert found.mask.int().tolist() == [[1, 1, 1], [0, 1, 1], [0, 1, 1]]
    assert torch.equal(found.weights, found.mask.float())


def test_the_end_reaches_steps_that_are_scored():
    """With delays of 2 the parts go on behind the end of the mix."""
    layout = StreamLayout(DelayPattern([0, 2]), (10, 10), (11, 11), (11, 11), (10, 10))
    found = row({"codes": CODES[:2]}, layout)
    assert found.ids.tolist() == [[11, 1, 2, 10, 11], [11, 11, 11, 3, 4]]
    assert found.mask.int().tolist() == [[1, 1, 1, 0], [0, 0, 1, 1]]


def test_an_unfinished_song_has_no_end():
    found = row({"codes": CODES, "unfinished": np.array(True)})
    assert found.ids.tolist() == [[11, 1, 2, 11], [11, 11, 3, 4], [11, 11, 5, 6]]
    assert found.mask.int().tolist() == [[1, 1, 0], [0, 1, 1], [0, 1, 1]]
    assert row({"codes": CODES, "unfinished": np.array(False)}).ids[0].tolist() == [11, 1, 2, 10]


def test_songs_of_a_model_without_ends():
    found = row({"codes": CODES[:2]}, ENDLESS)
    assert found.ids.tolist() == [[11, 1, 2, 13], [12, 14, 3, 4]]
    assert found.mask.int().tolist() == [[1, 1, 0], [0, 1, 1]]


def test_the_leading_stream_is_the_first_without_delay():
    layout = StreamLayout(DelayPattern([1, 0]), (10, 10), (11, 11), (11, 11), (10, 10))
    found = row({"codes": CODES[:2]}, layout)
    assert found.ids.tolist() == [[11, 11, 1, 2], [11, 3, 4, 10]]
    assert found.mask.int().tolist() == [[0, 1, 1], [1, 1, 1]]


def test_segments_weigh_frames_of_all_streams():
    song = Response(arrays={"codes": CODES}, segments=(Segment(1, 2, -0.5, "frame"),))
    found = StreamCodec(LAYOUT, WORDS).encode(record(song)).rows[0]
    assert found.weights.tolist() == [[1, -0.5, 1], [0, 1, -0.5], [0, 1, -0.5]]
    for wrong, said in (
        (Segment(0, 1, 1.0, "token"), "'frame', not 'token'"),
        (Segment(1, 3, 1.0, "frame"), "2 frames"),
    ):
        with pytest.raises(RecordError, match=said):
            StreamCodec(LAYOUT, WORDS).encode(record(Response(arrays={"codes": CODES}, segments=(wrong,))))


def test_one_array_a_stream():
    names = dict(zip(LAYOUT.names, CODES, strict=True))
    assert torch.equal(row(names).ids, row({"codes": CODES}).ids)


REFUSED = [
    ({"codes": CODES[:2]}, r"shape \(3, frames\).*got \(2, 2\)"),
    ({"codes": CODES[0]}, r"got \(2,\)"),
    ({"codes": CODES[:, :0]}, "at least one frame"),
    ({"codes": CODES.astype(float)}, "as integers, got float64"),
    ({"codes": CODES.astype(bool)}, "as integers, got bool"),
    ({"codes": CODES + 6}, "code 10 in frame 1 of stream 1; expected 0 to 9"),
    ({"codes": CODES - 2}, "code -1 in frame 0 of stream 0"),
    ({"codes": np.tile(CODES, 3)}, "6 frames, and max_frames is 5"),
    ({"mixed": CODES[0], "vocal": CODES[1]}, "'rest' is missing"),
    ({"mixed": CODES[0], "vocal": CODES[1], "rest": CODES[2, :1]}, r"equal length.*mixed \(2,\).*rest \(1,\)"),
    ({"mixed": CODES, "vocal": CODES, "rest": CODES}, "one number a frame"),
    ({"audio": CODES}, "an array 'codes'.*mixed, vocal, rest"),
]


@pytest.mark.parametrize(("arrays", "said"), REFUSED)
def test_what_is_no_song(arrays, said):
    with pytest.raises(RecordError, match=said) as error:
        row(arrays, max_frames=5)
    assert "'s'" in str(error.value) or "s:" in str(error.value)
    assert "responses[0]" in str(error.value)


def test_prompts_that_the_model_does_not_read():
    codec = StreamCodec(LAYOUT, WORDS)
    for conditions, said in (({"mod": "major"}, "unknown condition 'mod'.*mode"), ({"mode": "mayor"}, "major")):
        with pytest.raises(RecordError, match=said) as error:
            codec.encode(record({"codes": CODES}, prompt=Prompt(conditions=conditions)))
        assert "prompt.conditions" in str(error.value)


def batch():
    codec = StreamCodec(LAYOUT, WORDS)
    long = np.tile(CODES, 4)
    prompt = Prompt(conditions={"mode": "minor", "syllables": [{"phonemes": ["a", "oː"], "ends_word": True}] * 3})
    songs = (Response(arrays={"codes": CODES}), Response(arrays={"codes": long}))
    pair = PreferenceRecord(id="p", prompt=prompt, responses=songs, verdict=Pair(0, 1))
    return codec, [codec.encode(record({"codes": CODES}, name="a")), codec.encode(pair)]


def test_padding_keeps_every_row():
    codec, examples = batch()
    inputs = codec.collate(examples).inputs
    rows = [one for example in examples for one in example.rows]
    for index, one in enumerate(rows):
        steps = one.ids.shape[1]
        assert torch.equal(inputs["ids"][index, :, :steps], one.ids)
        assert (inputs["ids"][index, :, steps:] == 11).all()
        assert inputs["present"][index].tolist() == [True] * steps + [False] * (inputs["ids"].shape[-1] - steps)
        for name in ("mask", "weights"):
            assert torch.equal(inputs[name][index, :, : steps - 1], getattr(one, name))
            assert not inputs[name][index, :, steps - 1 :].any()
    assert inputs["prompt"].tolist() == [0, 1, 1]
    told = condition_inputs(inputs)
    assert told["ids"].shape == (2, 4, 3)
    assert told["mask"].tolist() == [[False, False, False, True], [True] * 4]


def test_keys_tell_apart_what_the_model_sees():
    """And nothing else: weights and order of the rows are left out."""
    codec, examples = batch()
    keys = codec.collate(examples).keys
    assert len(set(keys)) == 3
    assert codec.collate(examples[::-1]).keys == [keys[1], keys[2], keys[0]]
    weighted = Response(arrays={"codes": CODES}, segments=(Segment(0, 1, 0.5, "frame"),))
    assert codec.encode(record(weighted)).rows[0].key == keys[0]
    assert row({"codes": CODES, "unfinished": np.array(True)}).key != keys[0]


def test_the_fingerprint_tells_encodings_apart():
    one = StreamCodec(LAYOUT, WORDS)
    others = [StreamCodec(ENDLESS, WORDS), StreamCodec(LAYOUT, SongConditions(["a"])), StreamCodec(LAYOUT, WORDS, 9)]
    assert one.fingerprint() == StreamCodec(LAYOUT, SongConditions(["a", "oː"])).fingerprint()
    assert len({codec.fingerprint() for codec in (one, *others)}) == 4
