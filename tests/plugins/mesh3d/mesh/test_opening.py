"""Bytes of files: links, pipes, folders, sizes."""

import os
import pickle
import socket

import pytest

from prefalign_mesh3d.mesh.errors import MeshFileError, Refusal
from prefalign_mesh3d.mesh.opening import read_file


def refused(path, most=100, within=None):
    with pytest.raises(MeshFileError) as caught:
        read_file(path, most, within)
    assert str(caught.value).startswith(f"{path}: ")
    return caught.value.reason


def test_a_file_comes_whole(tmp_path):
    file = tmp_path / "a.obj"
    file.write_bytes(b"v\r\n\x1a\n")
    assert read_file(file, 5) == b"v\r\n\x1a\n"
    assert refused(file, most=4) is Refusal.LARGE


def test_what_is_no_file(tmp_path):
    (tmp_path / "x.obj").mkdir()
    (tmp_path / "circle.obj").symlink_to(tmp_path / "circle.obj")
    assert refused(tmp_path / "x.obj") is Refusal.NO_FILE
    assert refused(tmp_path / "circle.obj") is Refusal.NO_FILE
    assert refused(tmp_path / "circle.obj", within=tmp_path) is Refusal.NO_FILE
    assert refused(tmp_path / "missing.obj") is Refusal.NO_FILE
    assert refused(tmp_path / "x.obj" / "y.obj") is Refusal.NO_FILE


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
def test_a_pipe_or_a_socket_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.obj")
    # Nobody writes: a plain open would wait for ever.
    assert refused(tmp_path / "pipe.obj") is Refusal.NO_FILE
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.obj"))
        assert refused(tmp_path / "s.obj") is Refusal.NO_FILE


def test_a_device_without_end_is_not_read():
    if not os.path.exists("/dev/zero"):
        pytest.skip("no devices")
    from pathlib import Path

    assert refused(Path("/dev/zero")) is Refusal.NO_FILE


def test_links_and_dots_do_not_lead_out_of_the_folder(tmp_path):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "secret.obj").write_bytes(b"s")
    (tmp_path / "inside.obj").write_bytes(b"s")
    (folder / "ok.obj").write_bytes(b"o")
    (folder / "out.obj").symlink_to(tmp_path / "secret.obj")
    (folder / "away").symlink_to(tmp_path)
    (folder / "deep" / "back.obj").symlink_to(folder / "ok.obj")
    assert refused(folder / "out.obj", within=folder) is Refusal.OUTSIDE
    assert refused(folder / "away" / "secret.obj", within=folder) is Refusal.OUTSIDE
    assert refused(folder / ".." / "secret.obj", within=folder) is Refusal.OUTSIDE
    # A neighbour whose name begins alike lies outside too.
    (tmp_path / "in2").mkdir()
    (tmp_path / "in2" / "a.obj").write_bytes(b"s")
    assert refused(tmp_path / "in2" / "a.obj", within=folder) is Refusal.OUTSIDE
    # Links that stay inside are followed, and a folder may itself be reached through a link.
    assert read_file(folder / "deep" / "back.obj", 9, folder) == b"o"
    assert read_file(folder / "away" / "in" / "ok.obj", 9, folder) == b"o"
    (tmp_path / "alias").symlink_to(folder)
    assert read_file(tmp_path / "alias" / "ok.obj", 9, tmp_path / "alias") == b"o"


def test_errors_cross_processes():
    error = pickle.loads(pickle.dumps(MeshFileError("a.obj", "has no faces", Refusal.NO_FACES)))
    assert (str(error), error.reason) == ("a.obj: has no faces", Refusal.NO_FACES)
