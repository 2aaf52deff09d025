"""3MF: objects, components, transforms; archives and models that would swell."""

import io
import zipfile

import numpy as np
import pytest

from prefalign_mesh3d.mesh.errors import MeshFileError, Refusal
from prefalign_mesh3d.mesh.files import mesh_from_bytes
from prefalign_mesh3d.mesh.opening import Limits

MESH = (
    '<mesh><vertices><vertex x="0" y="0" z="0"/><vertex x="1" y="0" z="0"/><vertex x="0" y="1" z="0"/></vertices>'
    '<triangles><triangle v1="0" v2="1" v3="2"/></triangles></mesh>'
)
ITEM = '<item objectid="1"/>'


def model(objects=f'<object id="1">{MESH}</object>', items=ITEM, before=""):
    space = 'xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02" xmlns:p="urn:p"'
    return f"{before}<model {space}><resources>{objects}</resources><build>{items}</build></model>"


def packed(text, name="3D/3dmodel.model"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(name, text)
    return out.getvalue()


def read(text, **limits):
    return mesh_from_bytes(packed(text), "3mf", "a.3mf", Limits(**limits))


def refused(data, **limits):
    with pytest.raises(MeshFileError) as caught:
        mesh_from_bytes(data if isinstance(data, bytes) else packed(data), "3mf", "a.3mf", Limits(**limits))
    return caught.value


def group(key, *children):
    inner = "".join(f'<component objectid="{child}"/>' for child in children)
    return f'<object id="{key}"><components>{inner}</components></object>'


def test_items_are_placed_by_rows_of_their_transform():
    # Row vectors: x goes to y, y to -x, then 10 along x.
    turn = "0 1 0 -1 0 0 0 0 1 10 0 0"
    mesh = read(model(items=f'{ITEM}<item objectid="1" transform="{turn}"/>'))
    np.testing.assert_array_equal(mesh.vertices[:3], [[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(mesh.vertices[3:], [[10, 0, 0], [10, 1, 0], [9, 0, 0]])
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [3, 4, 5]])


def test_components_are_moved_by_their_own_transform_first():
    inner = '<component objectid="1" transform="1 0 0 0 1 0 0 0 1 1 0 0"/>'
    objects = f'<object id="1">{MESH}</object><object id="2"><components>{inner}</components></object>'
    double = '<item objectid="2" transform="2 0 0 0 2 0 0 0 2 0 0 5"/>'
    np.testing.assert_array_equal(read(model(objects, double)).vertices, [[2, 0, 5], [4, 0, 5], [2, 2, 5]])


def test_objects_that_the_build_leaves_out_are_not_there():
    assert len(read(model(f'<object id="1">{MESH}</object><object id="9">{MESH}</object>')).faces) == 1
    assert refused(model(items="")).reason is Refusal.NO_FACES


def test_an_archive_that_unpacks_to_more_than_the_limit_is_not_unpacked():
    bomb = packed(" " * 3_000_000)
    assert len(bomb) < 10_000
    error = refused(bomb, unpacked_bytes=2_000_000)
    assert (error.reason, error.problem) == (Refusal.LARGE, "unpacks to 3,000,000 bytes, and the limit is 2,000,000")


def test_an_archive_that_lies_about_its_size_is_read_no_further():
    text = model() + " " * 3_000_000
    data = packed(text)
    lie = data.replace(len(text).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    assert lie != data
    assert refused(lie, unpacked_bytes=2_000_000).reason is Refusal.UNREADABLE


def test_entities_are_refused():
    bomb = '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    assert "document type" in refused(model(before=bomb)).problem


def test_objects_that_contain_themselves():
    assert "contains itself" in refused(model(group(1, 2) + group(2, 1))).problem
    assert "contains itself" in refused(model(group(1, 1))).problem


def test_parts_that_multiply_level_by_level():
    # Ten of ten of ten ... : a short file with 10^12 triangles, or with as many empty parts.
    levels = "".join(group(n, *[n + 1] * 10) for n in range(1, 13))
    full = refused(model(levels + f'<object id="13">{MESH}</object>'), faces=1000)
    assert full.reason is Refusal.MANY_FACES
    empty = refused(model(levels + '<object id="13"/>'))
    assert (empty.reason, empty.problem) == (Refusal.LARGE, "places more than 100,000 parts")


def test_faces_over_the_limit_end_the_reading():
    many = MESH.replace("</triangles>", '<triangle v1="0" v2="1" v3="2"/>' * 9 + "</triangles>")
    # The broken end is never reached.
    error = refused(model(f'<object id="1">{many}</object>')[:-20], faces=9)
    assert error.reason is Refusal.MANY_FACES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (model()[:-8], "no element found"),
        (model()[:-9], "unclosed token"),
        (model(items='<item objectid="7"/>'), "places the object '7', which is not there"),
        (model(items='<item objectid="1" p:path="/3D/other.model"/>'), "second model file"),
        (model(items='<item objectid="1" transform="1 0 0"/>'), "reshape"),
        (model().replace('x="1"', 'x="one"'), "could not convert"),
        (model().replace('v3="2"', 'v3="3"'), "vertex indices in"),
        (model().replace('v3="2"', 'v3="-1"'), "vertex indices in"),
    ],
)
def test_broken_models(text, message):
    error = refused(text)
    assert message in error.problem
    assert error.reason is Refusal.UNREADABLE


def test_other_archives():
    assert "expected an archive with 3D/3dmodel.model" in refused(packed(model(), "other.model")).problem
    assert refused(b"PK\x03\x04 and no more").reason is Refusal.UNREADABLE
    assert refused(packed(model())[:-30]).reason is Refusal.UNREADABLE


def test_not_finite():
    assert refused(model().replace('x="1"', 'x="nan"')).reason is Refusal.NOT_FINITE
