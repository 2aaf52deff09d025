"""Records to rows: clouds, tokens, segments, and what is refused."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from tests.plugins.mesh3d.policies.conftest import POINTS, a_cloud, a_record, tokens_of

from prefalign.interfaces import Media, Prompt, RecordError, Response, Segment, Unary
from prefalign_mesh3d.mesh.clouds import cloud_bytes
from prefalign_mesh3d.mesh.files import write_mesh
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.policies.codec import MeshCodec
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh

TETRAHEDRON = Mesh(
    np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]), np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
)


@pytest.fixture
def codec() -> MeshCodec:
    return MeshCodec(DeepMesh(2, 2, 4), POINTS, max_tokens=40)


def test_rows_are_begin_then_tokens_then_end(codec) -> None:
    record = a_record("one")
    batch = codec.collate([codec.encode(record)])
    tokenizer = codec.tokenizer
    ids = batch.inputs["input_ids"]
    assert ids.shape == (2, 31)
    assert ids[0].tolist() == [tokenizer.bos_id, *record.responses[0].token_ids]
    assert ids[1].tolist() == [tokenizer.bos_id, *record.responses[1].token_ids, *[tokenizer.eos_id] * 9]
    assert batch.inputs["completion_mask"].sum(-1).tolist() == [30, 21]
    assert not batch.inputs["completion_mask"][:, 0].any()
    assert (batch.inputs["token_weights"] == batch.inputs["completion_mask"]).all()


def test_the_rows_of_a_record_share_their_cloud(codec) -> None:
    other = Prompt(media=(Media(kind="points", data=cloud_bytes(a_cloud(99))),))
    apart = a_record("two")
    moved = dataclasses.replace(apart.responses[1], context=other)
    apart = dataclasses.replace(apart, responses=(apart.responses[0], moved))
    batch = codec.collate([codec.encode(a_record("one")), codec.encode(apart)])
    assert batch.inputs["cloud"].tolist() == [0, 0, 1, 2]
    assert batch.inputs["points"].shape == (3, POINTS, 6)
    np.testing.assert_array_equal(batch.inputs["points"][2], a_cloud(99))


def test_keys_tell_rows_apart_by_cloud_and_tokens_but_not_by_weights(codec) -> None:
    record = a_record("one")
    first, second = (row.key for row in codec.encode(record).rows)
    assert first != second
    weighted = dataclasses.replace(record.responses[0], segments=(Segment(0, 3, 2.0, "token"),))
    again = dataclasses.replace(record, responses=(weighted, record.responses[1]))
    assert codec.encode(again).rows[0].key == first
    elsewhere = dataclasses.replace(record, prompt=Prompt(media=(Media(kind="points", data=cloud_bytes(a_cloud(5))),)))
    assert codec.encode(elsewhere).rows[0].key != first


def test_a_large_cloud_gives_the_same_part_every_time(codec) -> None:
    prompt = Prompt(media=(Media(kind="points", data=cloud_bytes(a_cloud(3, 500))),))
    found = codec.cloud(prompt)
    assert found.shape == (POINTS, 6)
    assert torch.equal(found, codec.cloud(prompt))
    rows = {tuple(row) for row in a_cloud(3, 500).tolist()}
    assert all(tuple(row) in rows for row in found.tolist())


def test_a_mesh_file_is_a_cloud_and_a_response(codec, tmp_path) -> None:
    write_mesh(TETRAHEDRON, tmp_path / "t.ply")
    medium = Media(kind="mesh", path=str(tmp_path / "t.ply"))
    record = a_record(
        "file", prompt=Prompt(media=(medium,)), responses=(Response(media=(medium,)),), verdict=Unary((True,))
    )
    row = codec.encode(record).rows[0]
    assert row.completion == [*codec.tokenizer.tokenize(TETRAHEDRON).tolist(), codec.tokenizer.eos_id]
    cloud = row.side["points"]
    assert cloud.shape == (POINTS, 6)
    assert cloud[:, :3].abs().max() <= 0.951
    torch.testing.assert_close(cloud[:, 3:].norm(dim=-1), torch.ones(POINTS))
    in_bytes = Media(kind="mesh", data=(tmp_path / "t.ply").read_bytes())
    del in_bytes


def test_segments_of_faces_weigh_the_tokens_of_these_faces(codec) -> None:
    tokens = (*codec.tokenizer.tokenize(TETRAHEDRON).tolist(), codec.tokenizer.eos_id)
    face = codec.tokenizer.decode(np.array(tokens)).face_of_token
    segments = (Segment(1, 3, 0.25, "face"),)
    record = a_record("faces", responses=(Response(token_ids=tokens, segments=segments),), verdict=Unary((True,)))
    weights = codec.encode(record).rows[0].weights
    assert weights == [0.25 if one in (1, 2) else 1.0 for one in face]
    assert 0.25 in weights
    assert weights[-1] == 1.0


def test_segments_of_tokens_weigh_tokens(codec) -> None:
    record = a_record("tokens")
    weighted = dataclasses.replace(record.responses[0], segments=(Segment(2, 5, -1.0, "token"),))
    record = dataclasses.replace(record, responses=(weighted, record.responses[1]))
    assert codec.encode(record).rows[0].weights == [1.0, 1.0, -1.0, -1.0, -1.0, *[1.0] * 25]


def test_parts_begin_where_the_next_token_begins_one() -> None:
    codec = MeshCodec(DeepMesh(2, 2, 4), POINTS, parts=True)
    record = a_record("parts", (25, 12))
    batch = codec.collate([codec.encode(record)])
    for row, response in enumerate(record.responses):
        expected = [index == 0 or 80 <= token < 88 for index, token in enumerate(response.token_ids)]
        assert batch.inputs["part_starts"][row].tolist()[: len(expected)] == expected


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"not a file", "npy"),
        (b"", "npy"),
        (npy(np.zeros((POINTS, 5), np.float32)), r"\(P, 6\)"),
        (npy(np.zeros((POINTS, 6), np.int64)), "int64"),
        (npy(a_cloud(0, 3)), "3 points, and the policy reads 8"),
        (npy(np.full((POINTS, 6), np.nan, np.float32)), "not finite"),
        (npy(np.full((POINTS, 6), 3.0, np.float32)), r"\[-1, 1\]"),
        (npy(np.array([{"a": 1}], dtype=object)), "npy"),
    ],
)
def test_what_is_no_cloud_is_refused_with_the_records_id(codec, data, said) -> None:
    prompt = Prompt(media=(Media(kind="points", data=data or b" "),))
    with pytest.raises(RecordError, match=said) as caught:
        codec.encode(a_record("bad", prompt=prompt))
    assert caught.value.record_id == "bad"
    assert caught.value.field == "prompt.media"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt": Prompt(text="a chair")}, "one medium"),
        ({"prompt": Prompt(media=(Media(kind="image", data=b"x"),))}, "'points' or 'mesh'"),
        ({"responses": (Response(text="a"), Response(text="b"))}, "token_ids, or one medium"),
        ({"responses": (Response(token_ids=()), Response(token_ids=(1,)))}, "no tokens"),
        ({"responses": (Response(token_ids=(1, 88, 2)), Response(token_ids=(1,)))}, "token 1 is 88"),
        ({"responses": (Response(token_ids=(1, 89, 2)), Response(token_ids=(1,)))}, "token 1 is 89"),
        ({"responses": (Response(token_ids=(-1, 2)), Response(token_ids=(1,)))}, "token 0 is -1"),
        ({"responses": (Response(token_ids=tokens_of(0, 41)), Response(token_ids=(1,)))}, "max_tokens is 40"),
        (
            {"responses": (Response(token_ids=(1,), segments=(Segment(0, 9, 1.0, "face"),)), Response(token_ids=(2,)))},
            "past the mesh's 0 faces",
        ),
        (
            {
                "responses": (
                    Response(token_ids=(1,), segments=(Segment(0, 1, 1.0, "face"), Segment(0, 1, 1.0, "token"))),
                    Response(token_ids=(2,)),
                )
            },
            "beside segments",
        ),
    ],
)
def test_what_is_no_mesh_record_is_refused_with_its_id(codec, changes, said) -> None:
    with pytest.raises(RecordError, match=said) as caught:
        codec.encode(a_record("bad", **changes))
    assert caught.value.record_id == "bad"


def test_the_fingerprint_knows_everything_that_decides_the_encoding() -> None:
    settings = [
        (DeepMesh(2, 2, 4), 8, None),
        (DeepMesh(2, 4, 2), 8, None),
        (DeepMesh(2, 2, 4, compat=True), 8, None),
        (DeepMesh(2, 2, 4), 9, None),
        (DeepMesh(2, 2, 4), 8, 40),
    ]
    assert len({MeshCodec(*one).fingerprint() for one in settings}) == len(settings)
    assert MeshCodec(*settings[0]).fingerprint() == MeshCodec(DeepMesh(2, 2, 4), 8, None).fingerprint()
