"""Records to meshes and clouds."""

import io
import pickle

import numpy as np
import pytest
import trimesh

from prefalign.interfaces import Media, PreferenceRecord, Prompt, Ranking, RecordError, Response
from prefalign_mesh3d.mesh.clouds import cloud_from_bytes
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.rewards.codec import GeometryCodec
from prefalign_mesh3d.tokenizers.coord9 import Coord9

TOKENIZER = Coord9(levels=8)
CUBE = trimesh.creation.box(extents=(10, 20, 40))
OBJ = CUBE.export(file_type="obj").encode()


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def cloud(count=5, dtype=np.float32):
    points = np.random.default_rng(0).uniform(-1, 1, (count, 3))
    return npy(np.concatenate([points, np.tile([0, 0, 1], (count, 1))], 1).astype(dtype))


def record(*responses, reference=None, answer=None):
    media = (reference or Media(kind="points", data=cloud()),)
    verdict = Ranking((0,) * len(responses))
    return PreferenceRecord(
        id="a", prompt=Prompt(media=media), responses=responses, verdict=verdict, reference_answer=answer
    )


def file(data=OBJ, path=None):
    return Media(kind="mesh", path=path) if path else Media(kind="mesh", data=data)


def codec(tokenizer=TOKENIZER):
    return GeometryCodec(tokenizer, samples=50, seed=0)


def test_tokens_stay_where_they_decode_to():
    """Levels 0 and 7 of 8 lie at -7/8 and 7/8."""
    face = (0, 0, 0, 0, 0, 7, 7, 0, 0)
    rows = codec().encode(record(Response(token_ids=(*face, TOKENIZER.eos_id)), Response(token_ids=face))).rows
    np.testing.assert_allclose(np.sort(rows[0].mesh.vertices.ravel()), [-7 / 8] * 7 + [7 / 8] * 2)
    assert [row.ended for row in rows] == [True, False]
    assert rows[0].key != rows[1].key
    assert rows[0].cloud.points.shape == rows[0].cloud.normals.shape == (5, 3)


def test_files_are_placed_in_the_cube(tmp_path):
    path = tmp_path / "cube.stl"
    path.write_bytes(CUBE.export(file_type="stl"))
    rows = codec(None).encode(record(Response(media=(file(path=str(path)),)))).rows
    np.testing.assert_allclose(np.abs(rows[0].mesh.vertices).max(0), [0.2375, 0.475, 0.95], rtol=1e-5)
    assert rows[0].ended
    assert len(rows[0].mesh.vertices) == 8  # of the file's 36


def test_a_file_by_its_bytes():
    """Bytes without a name are GLB, as generators write it."""
    row = codec(None).encode(record(Response(media=(file(CUBE.export(file_type="glb")),)))).rows[0]
    np.testing.assert_allclose(np.ptp(row.mesh.vertices, axis=0).max(), 1.9, rtol=1e-5)


def test_references():
    """A cloud as it is, with every point; a mesh as points of its surface; the trusted answer before the prompt."""
    response, glb = Response(token_ids=(0,)), Media(kind="mesh", data=CUBE.export(file_type="glb"))
    assert len(codec().encode(record(response)).rows[0].cloud.points) == 5
    drawn = codec().encode(record(response, reference=glb)).rows[0].cloud
    assert len(drawn.points) == 50
    assert np.abs(drawn.points).max() == pytest.approx(0.95, rel=1e-3)
    answered = codec().encode(record(response, answer=Response(media=(glb,)))).rows[0].cloud
    np.testing.assert_array_equal(answered.points, drawn.points)


def test_each_response_may_have_a_context_of_its_own():
    other = Prompt(media=(Media(kind="points", data=cloud(9)),))
    rows = codec().encode(record(Response(token_ids=(0,)), Response(token_ids=(0,), context=other))).rows
    assert [len(row.cloud.points) for row in rows] == [5, 9]
    assert rows[0].key != rows[1].key


def test_batches_hold_the_rows_in_order():
    examples = [codec().encode(record(Response(token_ids=(n,)), Response(token_ids=(n + 1,)))) for n in (0, 2)]
    batch = codec().collate(examples)
    assert batch.keys == [row.key for example in examples for row in example.rows]
    assert batch.relations.record.tolist() == [0, 0, 1, 1]


def test_the_fingerprint_tells_settings_apart():
    variants = [
        GeometryCodec(None, 50, 0),
        GeometryCodec(TOKENIZER, 50, 0),
        GeometryCodec(None, 51, 0),
        GeometryCodec(None, 50, 1),
        GeometryCodec(None, 50, 0, {"tau": 1}),
    ]
    assert len({variant.fingerprint() for variant in variants}) == 5
    assert GeometryCodec(None, 50, 0).fingerprint() == variants[0].fingerprint()
    assert pickle.loads(pickle.dumps(variants[1])).fingerprint() == variants[1].fingerprint()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (record(Response(text="x")), "expected token_ids, or one medium of the kind 'mesh'"),
        (record(Response(media=(file(), file()))), "expected token_ids, or one medium"),
        (record(Response(media=(file(b"nonsense"),))), r"responses\[0\].media\[0\]"),
        (record(Response(media=(file(path="/nowhere/a.obj"),))), "/nowhere/a.obj: cannot be read"),
        (record(Response(token_ids=(0,)), reference=Media(kind="image", data=b"x")), "as the reference, got .'image'"),
        (record(Response(token_ids=(0,)), answer=Response(text="x")), r"reference_answer.* got \[\]"),
        (record(Response(token_ids=(0,)), reference=Media(kind="points", data=b"x")), "prompt.media.*npy file"),
    ],
)
def test_what_cannot_be_read_names_the_record_and_the_place(made, message):
    with pytest.raises(RecordError, match=message) as caught:
        codec().encode(made)
    assert caught.value.record_id == "a"


def test_tokens_need_a_tokenizer():
    with pytest.raises(RecordError, match="no tokenizer to read them"):
        codec(None).encode(record(Response(token_ids=(0,))))


def test_clouds():
    assert cloud_from_bytes(cloud(dtype=np.float16)).dtype == np.float16
    np.testing.assert_array_equal(cloud_from_bytes(cloud())[:, 3:], np.tile([0, 0, 1], (5, 1)))


POINT = np.array([[0, 0, 0, 0, 0, 1.0]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy(POINT[:, :3]), r"got float64 of \(1, 3\)"),
        (npy(POINT.astype(int)), "got int64"),
        (npy(POINT[:0]), "no point"),
        (npy(POINT * np.nan), "not finite"),
        (npy(POINT + 3), r"in the cube \[-1, 1\], got 3"),
        (npy(POINT / 2), "unit normals"),
        (b"", "npy file"),
        (cloud()[:-4], "npy file"),
        (pickle.dumps(POINT), "npy file"),
    ],
    ids=["shape", "integers", "empty", "nan", "outside", "normals", "nothing", "cut", "pickle"],
)
def test_what_is_no_cloud(data, message):
    with pytest.raises(MeshError, match=message):
        cloud_from_bytes(data)


def test_pickled_arrays_are_not_opened():
    out = io.BytesIO()
    np.save(out, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(MeshError, match="npy file"):
        cloud_from_bytes(out.getvalue())
