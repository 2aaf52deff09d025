"""Files of installed packages, found without importing them."""

import hashlib
import sys
from pathlib import Path

import pytest

from prefalign.interfaces import PrefalignError
from prefalign_audio.encoders.packages import PackagedFile


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose code may not be run."""
    folder = tmp_path / "weights_of_old"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "net.bin").write_bytes(b"abc")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


ABC = hashlib.sha256(b"abc").hexdigest()


def test_finds_a_file_without_importing_its_package(package: Path) -> None:
    file = PackagedFile("weights_of_old", "weights-of-old==1", "net.bin", ABC)
    assert file.find() == package / "net.bin"
    assert "weights_of_old" not in sys.modules


def test_says_what_to_install() -> None:
    missing = PackagedFile("weights_not_here", "weights-not-here==1.2", "net.bin", ABC)
    with pytest.raises(PrefalignError, match=r"not installed: pip install --no-deps weights-not-here==1\.2"):
        missing.find()


def test_refuses_a_changed_file_and_another_release(package: Path) -> None:
    (package / "net.bin").write_bytes(b"abd")
    with pytest.raises(PrefalignError, match=rf"net\.bin: not the file of that release.*{ABC[:16]}.*old==1"):
        PackagedFile("weights_of_old", "weights-of-old==1", "net.bin", ABC).find()
    with pytest.raises(PrefalignError, match=r"other\.bin: no such file.*pip install --no-deps weights-of-old==1"):
        PackagedFile("weights_of_old", "weights-of-old==1", "other.bin", ABC).find()
