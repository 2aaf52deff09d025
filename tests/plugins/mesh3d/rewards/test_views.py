"""Records to pictures."""

import numpy as np
import pytest
import torch

from prefalign.interfaces import Media, Message, PrefalignError, Prompt, RecordError, Response
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import dequantise, quantise
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.rendering.render import centred, render_mesh
from prefalign_mesh3d.rewards.views import Ring, ViewCodec, text_of
from prefalign_mesh3d.tokenizers.coord9 import Coord9

RING = Ring(azimuths=(0, 90, 200), size=24, supersample=1)


def test_the_views_are_those_of_the_renderer_whatever_the_unit(box):
    mesh = box(1, 2, 3)
    views = RING.views(mesh)
    placed = Mesh(centred(mesh.vertices), mesh.faces)
    assert torch.equal(views, render_mesh(placed, RING.cameras, 24, supersample=1).images)
    assert views.shape == (3, 24, 24, 3)
    far = Mesh(mesh.vertices * 1000 + 5000, mesh.faces)
    assert (RING.views(far).int() - views.int()).abs().max() <= 1


def test_a_vertex_that_no_face_uses_changes_nothing(box):
    mesh = box(1, 2, 3)
    assert torch.equal(RING.views(Mesh(np.append(mesh.vertices, [[99.0, 0, 0]], 0), mesh.faces)), RING.views(mesh))


def test_tokens_and_files_of_one_mesh_look_the_same(box, shown, viewed):
    tokenizer = Coord9(levels=16)
    grid = quantise(box(1, 2, 3), 16)
    tokens = Response(token_ids=(*tokenizer.encode(grid).tolist(), tokenizer.eos_id))
    codec = ViewCodec(tokenizer, RING)
    of_tokens, of_file = codec.encode(viewed(tokens, shown(dequantise(grid)))).rows
    assert (of_tokens.views.int() - of_file.views.int()).abs().max() <= 1
    assert of_tokens.key != of_file.key


def test_the_batch_has_pictures_in_order_and_says_where_there_are_none(box, shown, viewed):
    codec = ViewCodec(Coord9(levels=16), RING)
    flat = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([[0, 1, 2]]))
    records = [viewed(shown(box()), Response(token_ids=())), viewed(shown(flat), shown(box(1, 1, 3)), id="s")]
    batch = codec.collate([codec.encode(record) for record in records])
    assert batch.inputs["drawn"].tolist() == [True, False, False, True]
    assert batch.inputs["images"].shape == (4, 3, 24, 24, 3)
    assert torch.equal(batch.inputs["images"][3], RING.views(box(1, 1, 3)))
    assert (batch.inputs["images"][1:3] == 0).all()
    assert batch.relations.record.tolist() == [0, 0, 1, 1]
    assert [row.text for row in batch.inputs["rows"]] == ["a box"] * 4
    assert "images" not in ViewCodec(Coord9(levels=16), RING, draw=False).collate([codec.encode(records[0])]).inputs


def test_keys_tell_meshes_texts_and_rings_apart(box, shown, viewed):
    codec = ViewCodec(None, RING, draw=False)
    record = viewed(shown(box()), shown(box(2)))
    keys = {row.key for row in codec.encode(record).rows}
    again = {row.key for row in codec.encode(record).rows}
    texts = {row.key for row in codec.encode(viewed(*record.responses, text="a crate")).rows}
    rings = {row.key for row in ViewCodec(None, Ring(size=25), draw=False).encode(record).rows}
    assert keys == again
    assert len(keys | texts | rings) == 6
    assert codec.fingerprint() != ViewCodec(None, Ring(size=25), draw=False).fingerprint()


def test_prompts_say_the_side(box, shown, viewed):
    codec = ViewCodec(None, RING)
    (row,) = codec.encode(viewed(shown(box()))).rows
    assert codec.prompts(row) == ["a box, front view", "a box, side view", "a box, back view"]


def test_text_of_all_turns():
    assert text_of(Prompt(messages=(Message("user", ("a ",)), Message("user", ("chair",))))) == "a  chair"
    assert text_of(Prompt()) == ""


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (Response(token_ids=(1, 2)), "no tokenizer to read them"),
        (Response(text="a box"), "expected token_ids, or one medium of the kind 'mesh'"),
        (Response(media=(Media(kind="image", data=b"x"),)), "expected token_ids, or one medium"),
        (Response(media=(Media(kind="mesh", data=b"no mesh"),)), "the record's mesh"),
        (Response(media=(Media(kind="mesh", path="/nowhere/mesh.obj"),)), "No such file"),
    ],
)
def test_refuses_what_is_no_mesh(viewed, response, problem):
    with pytest.raises(RecordError, match=problem) as caught:
        ViewCodec(None, RING).encode(viewed(response, id="bad"))
    assert caught.value.record_id == "bad"
    assert "responses[0]" in caught.value.field


@pytest.mark.parametrize("bad", [{"size": 0}, {"supersample": 0}, {"azimuths": ()}, {"elevation": 100}, {"fov": 190}])
def test_refuses_a_ring_that_is_none(bad):
    with pytest.raises(PrefalignError, match="expected"):
        Ring(**bad)


def test_nothing_can_be_seen_of_nothing():
    with pytest.raises(MeshError, match="nothing can be seen"):
        RING.views(Mesh(np.zeros((0, 3)), np.zeros((0, 3))))
