"""From files to records: what is kept, in which form and order, and what is not and why."""

import hashlib
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from prefalign.data.sources import iterate, open_records
from prefalign.interfaces import Unary
from prefalign_mesh3d.data import curation
from prefalign_mesh3d.data.augmentation import Augmentation, augmented
from prefalign_mesh3d.data.curation import Curation, curate
from prefalign_mesh3d.data.quality import Quality
from prefalign_mesh3d.data.report import Bucket
from prefalign_mesh3d.demo.shapes import boxes, draw_shapes
from prefalign_mesh3d.mesh.clouds import cloud_of, load_cloud
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.files import Limits, write_mesh
from prefalign_mesh3d.mesh.grid import Frame, dequantise, face_keys, frame_of, quantise
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.policies.codec import MeshCodec
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh
from prefalign_mesh3d.tokenizers.names import TOKENIZERS, tokenizer

SMALL = DeepMesh(2, 2, 4)
PLACED = Frame((0.0, 0.0, 0.0), 1.0)
TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


def box(width):
    return boxes([((0, 0, 0), (width, 1, 2))])


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "meshes"
    (place / "deep").mkdir(parents=True)
    for index, shape in enumerate(draw_shapes(3, 5)):
        write_mesh(shape, place / f"b{index}.glb")
    write_mesh(box(1.5), place / "deep" / "a.obj")
    return place


def run(sources, tmp_path, how=SMALL, workers=1, **settings):
    out = tmp_path / "set.parquet"
    report = curate(sources, out, how, Curation(**{"points": 64, **settings}), workers=workers)
    return report, list(iterate(open_records(out))) if report.records else []


def reasons(report):
    return {each.file: each.reason for each in report.rejected}


def test_a_record_is_what_the_policy_reads(folder, tmp_path):
    report, records = run(folder, tmp_path)
    assert [record.id for record in records] == ["b0.glb", "b1.glb", "b2.glb", "deep/a.obj"]
    assert (report.files, report.records, report.rejected, report.passed_over) == (4, 4, [], {})
    record, mesh = records[3], box(1.5)
    assert record.verdict == Unary((True,))
    assert record.responses[0].token_ids == (*SMALL.tokenize(mesh).tolist(), SMALL.eos_id)
    cloud = load_cloud(record.prompt.media[0], 64)
    # Every point lies on a side of the box, placed: its longest side, z, spans 1.9.
    half = np.array([1.5, 1, 2]) / 2 * 0.95
    assert np.isclose(np.abs(cloud[:, :3]), half, atol=1e-5).any(1).all()
    example = MeshCodec(SMALL, points=64).encode(record)
    assert example.rows[0].completion == list(record.responses[0].token_ids)


def test_provenance_puts_the_mesh_back(folder, tmp_path):
    told = run(folder, tmp_path)[1][3].provenance
    assert told["file"] == "deep/a.obj"
    assert told["sha256"] == hashlib.sha256((folder / "deep" / "a.obj").read_bytes()).hexdigest()
    assert (told["file_faces"], told["faces"], told["bucket"], told["watertight"]) == (12, 12, "1-250", True)
    assert tokenizer(**told["tokenizer"]).settings() == SMALL.settings()
    frame = Frame(tuple(told["frame"]["centre"]), told["frame"]["scale"])
    corners = frame.restore(dequantise(quantise(box(1.5), 16)).vertices)
    # At most half a cell off, along each axis.
    np.testing.assert_allclose(corners.max(0), [1.5, 1, 2], atol=frame.scale / 16)
    np.testing.assert_allclose(corners.min(0), 0, atol=frame.scale / 16)


def test_a_stray_vertex_does_not_count_in_the_size(tmp_path):
    # Not as OBJ: its loader leaves such vertices out by itself.
    (tmp_path / "a.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    (tmp_path / "b.off").write_text("OFF\n4 1 0\n0 0 0\n1 0 0\n0 1 0\n9 9 9\n3 0 1 2\n")
    report, _ = run(tmp_path, tmp_path, quality=Quality(min_faces=1, boundary=1))
    assert reasons(report) == {"b.off": "duplicate"}


def test_copies_are_augmented_and_the_first_is_not(folder, tmp_path):
    settings = {"copies": 3, "seed": 4, "augmentation": Augmentation(turns_about="xyz", mirror="z")}
    # On a fine grid, where a scale of 1.01 shows.
    fine = DeepMesh()
    report, records = run(folder, tmp_path, how=fine, **settings)
    assert (report.records, report.total.meshes) == (12, 4)
    assert [record.id for record in records[-3:]] == ["deep/a.obj", "deep/a.obj#1", "deep/a.obj#2"]
    plain = run(folder, tmp_path, how=fine)[1][3]
    assert records[-3].responses[0].token_ids == plain.responses[0].token_ids
    frame = frame_of(box(1.5))
    for record in records[-2:]:
        matrix = np.array(record.provenance["matrix"])
        moved = frame.place(box(1.5).vertices) @ matrix.T
        faces = box(1.5).faces[:, ::-1] if np.linalg.det(matrix) < 0 else box(1.5).faces
        expected = quantise(Mesh(moved, faces), 512, PLACED)
        found = fine.decode(np.array(record.responses[0].token_ids)).mesh
        np.testing.assert_array_equal(face_keys(found), face_keys(expected))
        # The cloud is of the copy as it lies, not placed anew: its reach is that of the scaled box.
        cloud = load_cloud(record.prompt.media[0], 64)
        assert np.abs(cloud[:, :3]).max() == pytest.approx(np.abs(moved).max(), rel=1e-5)
    assert len({record.responses[0].token_ids for record in records}) == 12


def test_seeds_hang_on_names_alone(folder, tmp_path):
    def clouds(records):
        return {record.id: record.prompt.media[0].data for record in records}

    settings = {"copies": 2, "seed": 1}
    whole = run(folder, tmp_path, **settings)[1]
    (folder / "b0.glb").unlink()
    part = clouds(run(folder, tmp_path, **settings)[1])
    assert part == {key: value for key, value in clouds(whole).items() if not key.startswith("b0")}
    other = clouds(run(folder, tmp_path, copies=2, seed=2)[1])
    assert not set(other.values()) & set(part.values())


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(curation, "FILES_PER_WORKER", 1)
    (folder / "c.obj").write_text("f 1 2")
    one = run(folder, tmp_path, copies=2)[0], (tmp_path / "set.parquet").read_bytes()
    two = run(folder, tmp_path, copies=2, workers=2)[0], (tmp_path / "set.parquet").read_bytes()
    assert one == two
    assert reasons(one[0]) == {"c.obj": "unreadable"}


def test_every_reason(folder, tmp_path):
    place = folder / "bad"
    place.mkdir()
    (tmp_path / "secret.obj").write_text(TRIANGLE)
    (place / "away.obj").symlink_to(tmp_path / "secret.obj")
    (place / "empty.stl").touch()
    (place / "far.obj").write_text(TRIANGLE.replace("v 1 0", "v 1e30 0"))
    (place / "flat.obj").write_text(TRIANGLE.replace("v 0 1 0", "v 2 0 0"))
    (place / "huge.stl").write_bytes(bytes(80) + struct.pack("<I", 10**7) + bytes(50))
    (place / "large.obj").write_text(TRIANGLE + "#" * 100_000)
    (place / "nan.obj").write_text(TRIANGLE.replace("v 1 0", "v nan 0"))
    (place / "none.obj").write_text("v 0 0 0\n")
    (place / "one.obj").write_text(TRIANGLE)
    (place / "open.obj").write_text("v 0 0 1\n" + TRIANGLE.replace("f 1 2 3", "f 2 3 4\nf 1 2 3\nf 1 3 4\nf 1 4 2"))
    (place / "point.obj").write_text("v 1 1 1\n" * 3 + "f 1 2 3\n")
    (place / "same.obj").write_bytes((folder / "deep" / "a.obj").read_bytes())
    write_mesh(Mesh(box(1.5).vertices * 3 + 7, box(1.5).faces), place / "same_elsewhere.ply")
    (place / "soup.obj").write_text(
        "".join(f"v {n} 0 0\nv {n} 1 {n}\nv 0 {n} 0\n" for n in range(8))
        + "".join(f"f {n + 1} {n + 2} {n + 3}\n" for n in range(0, 24, 3))
    )
    (place / "notes.txt").touch()
    (place / "README").touch()
    if hasattr(os, "mkfifo"):
        os.mkfifo(place / "pipe.obj")
    report, records = run(folder, tmp_path, limits=Limits(file_bytes=90_000))
    expected = {
        "away": "outside the folder",
        "empty": "empty",
        "far": "coordinates too large",
        "flat": "degenerate",
        "huge": "unreadable",
        "large": "too large",
        "nan": "not finite",
        "none": "no faces",
        "one": "too few faces",
        "pipe": "not a file",
        "point": "degenerate",
        "same_elsewhere": "duplicate",
        "soup": "too open",
    }
    if not hasattr(os, "mkfifo"):
        del expected["pipe"]
    # What lies in `bad` comes before what lies in `deep`, and is kept of two.
    found = {Path(name).stem: reason for name, reason in reasons(report).items()}
    assert found == {**expected, "a": "duplicate"}
    assert {record.id for record in records} == {"b0.glb", "b1.glb", "b2.glb", "bad/open.obj", "bad/same.obj"}
    assert report.passed_over == {"": 1, ".txt": 1}
    assert report.files == len(report.rejected) + report.total.meshes
    problems = {Path(each.file).stem: each.problem for each in report.rejected}
    assert problems["same_elsewhere"] == "the same mesh as bad/same.obj on this grid"
    assert problems["far"] == "has a coordinate of 1e+30, and the limit is 1e+15"
    json.dumps(report.as_json())


def test_files_by_name_are_not_bound_to_a_folder(folder, tmp_path):
    link = folder / "link.glb"
    link.symlink_to(folder / "b0.glb")
    missing = folder / "gone.obj"
    report, records = run([link, folder / "deep" / "a.obj", missing, link], tmp_path)
    assert [record.id for record in records] == [str(link), str(folder / "deep" / "a.obj")]
    assert [(each.file, each.reason) for each in report.rejected] == [
        (str(missing), "not a file"),
        (str(link), "duplicate"),
    ]


def test_a_name_that_is_no_text(folder, tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff.obj")).write_text(TRIANGLE)
    except OSError:
        pytest.skip("the file system takes no such name")
    report, records = run(folder, tmp_path)
    assert reasons(report) == {"'\\udcff.obj'": "unprintable name"}
    assert len(records) == 4
    (folder / "größer 立方体.obj").write_text("v 5 0 0\nv 0 0 1\n" + TRIANGLE.replace("f 1 2 3", "f 1 3 4 5"))
    assert "größer 立方体.obj" in reasons(run(folder, tmp_path, quality=Quality(boundary=0))[0])


def test_buckets_and_statistics(tmp_path):
    write_mesh(box(1.5), tmp_path / "a.obj")
    write_mesh(boxes([((0, 0, 0), (1, 1, 1)), ((2, 0, 0), (3, 1, 1))]), tmp_path / "b.obj")
    report, records = run(tmp_path, tmp_path, buckets=(12, 20), copies=2)
    lengths = [len(record.responses[0].token_ids) - 1 for record in records[::2]]
    assert report.buckets == {
        "1-12": Bucket(1, 12, lengths[0], lengths[0], 1),
        "21-": Bucket(1, 24, lengths[1], lengths[1], 1),
    }
    assert list(report.buckets) == ["1-12", "21-"]
    assert report.settings["tokenizer"] == SMALL.settings()
    assert report.settings["quality"]["max_faces"] == 8000


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
def test_every_tokenizer(folder, tmp_path, name):
    how = tokenizer(name)
    _, records = run(folder, tmp_path, how=how)
    decoded = how.decode(np.array(records[3].responses[0].token_ids)).mesh
    grid = quantise(box(1.5), how.levels)
    np.testing.assert_array_equal(face_keys(decoded, winding=False), face_keys(grid, winding=False))


def test_nothing_kept_is_a_file_without_rows(tmp_path):
    (tmp_path / "a.obj").write_text(TRIANGLE)
    report, _ = run(tmp_path, tmp_path)
    assert (report.records, report.reasons) == (0, {"too few faces": 1})
    assert (tmp_path / "set.parquet").exists()


def test_a_failure_leaves_the_old_set(folder, tmp_path, monkeypatch):
    out = tmp_path / "set.parquet"
    out.write_bytes(b"old")
    monkeypatch.setattr(curation, "cloud_of", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(folder, tmp_path)
    assert out.read_bytes() == b"old"


def test_what_is_no_folder(tmp_path):
    with pytest.raises(MeshError, match=r"gone: expected a folder"):
        run(tmp_path / "gone", tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"points": 0}, "points and copies of at least 1 and a seed of at least 0, got 0, 1 and 0"),
        ({"copies": 0}, "got 64, 0 and 0"),
        ({"seed": -1}, "got 64, 1 and -1"),
        ({"buckets": ()}, "buckets: expected ascending bounds above 1"),
        ({"buckets": (5, 5)}, "buckets: expected ascending"),
        ({"buckets": (1, 5)}, "buckets: expected ascending"),
        ({"copies": 2, "augmentation": Augmentation(scale=(1, 1.06))}, r"copies would reach 1\.007"),
        ({"copies": 2, "augmentation": Augmentation(per_axis=(1, 1.01))}, r"copies would reach 1\.007"),
    ],
)
def test_senseless_settings(settings, message):
    with pytest.raises(MeshError, match=message):
        Curation(**{"points": 64, **settings})


def test_clouds_of_copies_are_those_of_the_copy(folder, tmp_path):
    record = run(folder, tmp_path, copies=2)[1][-1]
    seeds = curation.derive_seed(0, "augmentation deep/a.obj#1"), curation.derive_seed(0, "cloud deep/a.obj#1")
    placed = Mesh(frame_of(box(1.5)).place(box(1.5).vertices), box(1.5).faces)
    expected = cloud_of(augmented(placed, Augmentation(), seeds[0]), 64, seeds[1], PLACED)
    np.testing.assert_allclose(load_cloud(record.prompt.media[0], 64), expected, atol=1e-6)
