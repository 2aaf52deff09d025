"""Masks: which tokens count, as segments that a codec reads back."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.interfaces import Pair, PrefalignError, PreferenceRecord, Prompt, RecordError, Response, Segment
from prefalign.models.tokens import spans_to_weights
from prefalign_mesh3d.demo.shapes import boxes
from prefalign_mesh3d.mesh.grid import canonical, quantise
from prefalign_mesh3d.mesh.mesh import GridMesh
from prefalign_mesh3d.pairs.face_rules import ManifoldFaces, QuadFaces
from prefalign_mesh3d.pairs.masks import MaskFaces, mask_segments, part_of_face, token_mask
from prefalign_mesh3d.tokenizers.amt import AMT
from prefalign_mesh3d.tokenizers.bpt import BPT
from prefalign_mesh3d.tokenizers.coord9 import Coord9
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh
from prefalign_mesh3d.tokenizers.edgerunner import EdgeRunner

TOKENIZERS = (Coord9(16), AMT(16), EdgeRunner(16), BPT(4, 4), DeepMesh(2, 2, 4))
COORD9 = Coord9(16)


def by_name(tokenizers):
    return [pytest.param(each, id=each.name) for each in tokenizers]


def two_boxes():
    """24 faces, all good."""
    return quantise(boxes([((0, 0, 0), (1, 1, 0.4)), ((0, 0, 0.7), (1, 1, 1))]), 16)


def without(mesh, *faces):
    """The mesh with holes in it."""
    return canonical(mesh.vertices, np.delete(mesh.faces, faces, axis=0), mesh.levels)


def stream(tokenizer, mesh, end=True):
    return (*tokenizer.encode(mesh).tolist(), *([tokenizer.eos_id] if end else []))


def pair(chosen, rejected, **fields):
    responses = (Response(token_ids=tuple(chosen)), Response(token_ids=tuple(rejected)))
    given = {"id": "r", "prompt": Prompt(text="p"), "verdict": Pair()}
    return PreferenceRecord(responses=responses, **given | fields)


def weights(response):
    """What a token model makes of a response's segments."""
    return np.array(spans_to_weights(response, np.zeros((len(response.token_ids), 2), np.int64), "r"))


@pytest.mark.parametrize("end", ["chosen", "both", "none"])
def test_faces_of_nine_tokens_by_hand(ran, end):
    """Coordinates: a box without its first face. Its three neighbours are bad, so their 27 tokens count if rejected."""
    box = quantise(boxes([((0, 0, 0), (1, 1, 1))]), 16)
    holed = without(box, 0)
    good = ManifoldFaces()(holed, np.zeros(11, np.int64))
    assert good.sum() == 8
    tokens = stream(COORD9, holed)
    (found,), _ = ran(MaskFaces(COORD9, ManifoldFaces(), end), pair(tokens, (*tokens[:-1],), verdict=Pair()))
    chosen, rejected = found.responses
    assert weights(chosen).tolist() == [*np.repeat(good, 9), end != "none"]
    assert weights(rejected).tolist() == np.repeat(~good, 9).tolist()  # it never ended
    assert {segment.weight for response in found.responses for segment in response.segments} == {0.0}


@pytest.mark.parametrize("end", ["chosen", "both", "none"])
def test_the_end_of_the_rejected_counts_with_both_only(ran, end):
    mesh = without(two_boxes(), 0)
    (found,), _ = ran(MaskFaces(COORD9, ManifoldFaces(), end), pair(stream(COORD9, two_boxes()), stream(COORD9, mesh)))
    assert weights(found.responses[0])[-1] == (end != "none")
    assert weights(found.responses[1])[-1] == (end == "both")


@pytest.mark.parametrize("tokenizer", by_name(TOKENIZERS))
def test_every_token_belongs_to_one_face_or_is_the_end(tokenizer):
    """φ and 1 − φ share out the tokens of faces whichever faces are good; what belongs to none is in neither."""
    tokens = np.array(stream(tokenizer, two_boxes()))
    decoded = tokenizer.decode(tokens)
    good = np.random.default_rng(0).random(len(decoded.mesh.faces)) < 0.5
    phi, rest = (token_mask(decoded, good, of_good=side) for side in (True, False))
    assert not (phi & rest).any()
    assert ((phi | rest) == (decoded.face_of_token >= 0)).all()
    assert not (phi | rest)[-1]
    assert phi[decoded.face_of_token == np.flatnonzero(good)[0]].all()


@pytest.mark.parametrize("tokenizer", by_name(TOKENIZERS))
def test_good_against_bad_leaves_dpo(ran, tokenizer):
    """All faces of a closed chosen mesh and all faces of a loose rejected one, and both ends: every weight is 1."""
    loose = GridMesh(np.array([[0, 0, 0], [9, 0, 0], [0, 9, 9]]), np.array([[0, 1, 2]]), 16)
    loose = canonical(loose.vertices, loose.faces, 16)
    record = pair(stream(tokenizer, two_boxes()), stream(tokenizer, loose))
    (found,), _ = ran(MaskFaces(tokenizer, ManifoldFaces(), "both"), record)
    # Separators between strips belong to no face, and weigh 0 in either.
    faceless = tokenizer.decode(np.array(record.responses[0].token_ids)).face_of_token[:-1] < 0
    assert (weights(found.responses[0])[:-1] == ~faceless).all()
    assert (weights(found.responses[1]) == 1).all()
    if tokenizer.name != "amt":
        assert found == record


def test_the_verdict_says_which_side_is_chosen(ran):
    """A control turns pairs round by their verdict and leaves the responses where they are."""
    mesh, holed = (stream(COORD9, shape) for shape in (two_boxes(), without(two_boxes(), 0)))
    stage = MaskFaces(COORD9, ManifoldFaces())
    (plain,), _ = ran(stage, pair(holed, mesh))
    (turned,), _ = ran(stage, pair(mesh, holed, verdict=Pair(1, 0)))
    assert turned.responses == plain.responses[::-1]
    assert weights(turned.responses[1]).sum() == 9 * 20 + 1  # the holed box has 8 good faces, the other 12


def test_broken_tokens_belong_to_no_face(ran):
    """A degenerate face, a repeated one, and a face that is cut off: 9 + 9 + 4 tokens that weigh 0 on both sides."""
    box = list(stream(COORD9, quantise(boxes([((0, 0, 0), (1, 1, 1))]), 16), end=False))
    junk = [1, 1, 1, 1, 1, 1, 2, 2, 2, *box[:9], 3, 3, 3, 3]
    tokens = (*box, *junk, COORD9.eos_id)
    (found,), _ = ran(MaskFaces(COORD9, ManifoldFaces()), pair(tokens, (1, 2, 3, 4, 5, 6, 7, 8, 10)))
    assert weights(found.responses[0]).tolist() == [1.0] * 108 + [0.0] * 22 + [1.0]
    record = pair((1, 2, 3, 4, 5, 6, 7, 8, 10, COORD9.eos_id), tokens)
    (found,), _ = ran(MaskFaces(COORD9, ManifoldFaces(), "both"), record)
    assert weights(found.responses[1]).tolist() == [0.0] * 130 + [1.0]


def test_begin_and_padding_weigh_nothing(ran):
    tokens = (COORD9.bos_id, *stream(COORD9, two_boxes()), COORD9.eos_id, COORD9.eos_id)
    (found,), _ = ran(MaskFaces(COORD9, ManifoldFaces(), "both"), pair(tokens, (1, 2, 3, 4, 5, 6, 7, 8, 10)))
    assert weights(found.responses[0]).tolist() == [0.0] + [1.0] * (24 * 9 + 1) + [0.0, 0.0]


@pytest.mark.parametrize("tokenizer", by_name([BPT(4, 4), DeepMesh(2, 2, 4), DeepMesh(2, 2, 4, compat=True)]))
def test_parts_are_fans(tokenizer):
    """The faces of a part are neighbours in the stream and have a vertex in common; every part has some."""
    tokens = tokenizer.encode(two_boxes())
    decoded = tokenizer.decode(tokens)
    part = part_of_face(tokenizer, tokens, decoded)
    assert (np.diff(part) >= 0).all()
    assert set(part) == set(range(1, tokenizer.part_starts(tokens).sum() + 1))
    assert len(set(part)) < len(decoded.mesh.faces)
    for which in set(part):
        corners = [set(face) for face in decoded.mesh.faces[part == which].tolist()]
        assert set.intersection(*corners)


def test_parts_are_faces_where_there_are_no_fans():
    tokens = COORD9.encode(two_boxes())
    assert part_of_face(COORD9, tokens, COORD9.decode(tokens)).tolist() == list(range(1, 25))


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=40))
def test_segments_are_few_and_say_the_same(mask):
    mask = np.array(mask, bool)
    segments = mask_segments(mask)
    response = Response(token_ids=(0,) * len(mask), segments=segments)
    assert weights(response).tolist() == mask.tolist()
    padded = np.concatenate([[True], mask])
    assert len(segments) == (padded[:-1] & ~padded[1:]).sum()  # one for each run


def test_segments_by_hand():
    assert mask_segments(np.array([0, 0, 1, 1, 0], bool)) == (
        Segment(0, 2, 0.0, "token"),
        Segment(4, 5, 0.0, "token"),
    )


def test_what_has_nothing_to_learn_from_is_left_out(ran):
    """A loose triangle has no good face, a closed mesh no bad one. One side that counts is enough for a pair."""
    stage = MaskFaces(COORD9, ManifoldFaces())
    mesh, triangle = stream(COORD9, two_boxes()), (1, 2, 3, 4, 5, 6, 7, 8, 10)
    found, dropped = ran(stage, pair(triangle, mesh))
    assert found == []
    assert dropped == {"the chosen mesh has no good face and the rejected one no bad face": 1}
    (found,), _ = ran(stage, pair(mesh, (*mesh, COORD9.eos_id)))
    assert [weights(response).sum() for response in found.responses] == [24 * 9 + 1, 0]
    (found,), _ = ran(stage, pair(triangle, (*triangle[:-1], 9)))
    assert [weights(response).sum() for response in found.responses] == [0, 9]


@pytest.mark.parametrize(
    "verdict", [Pair(probability=0.5, tie=True), Pair(tie=True), Pair(probability=0.5), Pair(probability=0.2)]
)
def test_ties_have_no_masks(ran, verdict):
    found, dropped = ran(MaskFaces(COORD9, ManifoldFaces()), pair((1,), (2,), verdict=verdict))
    assert found == []
    assert dropped == {"neither side of the pair is better, so there is nothing to mask": 1}


def test_records_that_cannot_be_masked(ran, candidates):
    stage = MaskFaces(COORD9, ManifoldFaces())
    with pytest.raises(RecordError, match="record 'r', field 'verdict': expected a pair"):
        ran(stage, candidates({}, {}))
    record = pair((1,), (2,))
    text = dataclasses.replace(record, responses=(record.responses[0], Response(text="x")))
    with pytest.raises(RecordError, match=r"field 'responses\[1\].token_ids': expected token_ids"):
        ran(stage, text)
    marked = dataclasses.replace(record.responses[0], segments=(Segment(0, 1, 2.0, "token"),))
    with pytest.raises(RecordError, match=r"field 'responses\[0\].segments': the response has segments already"):
        ran(stage, dataclasses.replace(record, responses=(marked, record.responses[1])))


def test_an_unknown_end_is_refused():
    with pytest.raises(PrefalignError, match="unknown end 'chosn'; did you mean 'chosen'"):
        MaskFaces(COORD9, ManifoldFaces(), "chosn")


def test_settings_are_plain():
    found = json.loads(json.dumps(MaskFaces(DeepMesh(2, 2, 4), QuadFaces(0.5)).settings()))
    assert found["tokenizer"]["name"] == "deepmesh"
    assert found["rule"] == {"rule": "QuadFaces", "quality": 0.5}
    assert found["end"] == "chosen"
