"""A CUDA build of torchaudio beside a CPU build of torch: found, named and repaired, without importing either.

The installations are made up: packages that refuse to be imported, and an extension with the names of its libraries.
"""

import importlib
import importlib.util
import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from prefalign_audio.commands.repair_torchaudio import main
from prefalign_audio.sound import torchaudio_build
from prefalign_audio.sound.torchaudio_build import TorchaudioError, check, misfit, repair, torchaudio_functional

CUDA, CPU = b"\x7fELF libtorch.so\0libc10_cuda.so\0libc10.so\0", b"\x7fELF libtorch.so\0libc10.so\0"
REFUSES = "raise OSError('this package must not be imported')"


class Installation:
    """torch and torchaudio in a folder."""

    def __init__(self, folder: Path, *, extension: bytes | None = CUDA, torch_has_cuda: bool = False) -> None:
        self.folder, self.library = folder, folder / "torchaudio" / "lib"
        for library in (folder / "torch" / "lib", self.library):
            library.mkdir(parents=True)
            (library.parent / "__init__.py").write_text(REFUSES)
        if torch_has_cuda:
            (folder / "torch" / "lib" / "libc10_cuda.so").touch()
        self.extension = self.library / "_torchaudio.abi3.so"
        (self.library / "libtorchaudio.abi3.so").write_bytes(CUDA)
        if extension is not None:
            self.extension.write_bytes(extension)

    def use(self, monkeypatch: pytest.MonkeyPatch) -> "Installation":
        """Be what a search for these two packages finds."""

        def find_spec(name: str) -> ModuleSpec | None:
            root = self.folder / name
            if not root.exists():
                return None
            file = root / "__init__.py"
            return importlib.util.spec_from_file_location(name, file) if file.exists() else ModuleSpec(name, None)

        monkeypatch.setattr(torchaudio_build.importlib.util, "find_spec", find_spec)
        return self


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    return Installation(tmp_path).use(monkeypatch)


def test_found_named_repaired(broken: Installation) -> None:
    """The one file goes, the others stay, and a second time nothing happens."""
    assert misfit() == broken.extension
    with pytest.raises(TorchaudioError, match=r"_torchaudio.abi3.so is built for CUDA .*audio repair-torchaudio$"):
        check()
    assert repair() == broken.extension
    assert sorted(path.name for path in broken.library.iterdir()) == ["libtorchaudio.abi3.so"]
    assert repair() is None
    assert "fits torch" in check()


@pytest.mark.parametrize(
    "case",
    [{"extension": CPU}, {"torch_has_cuda": True}, {"extension": None}],
    ids=["CPU build", "CUDA torch", "no extension"],
)
def test_what_fits_stays(case: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extension is deleted only where it needs a library that torch has not."""
    installed = Installation(tmp_path, **case).use(monkeypatch)  # type: ignore[arg-type]
    assert repair() is None
    assert installed.extension.exists() == (case.get("extension", CUDA) is not None)
    assert "fits torch" in check()


def test_absent(broken: Installation) -> None:
    """Neither an absent torchaudio nor a leftover folder is repaired; the check says what to install."""
    (broken.folder / "torchaudio" / "__init__.py").unlink()
    assert repair() is None
    assert broken.extension.exists()
    with pytest.raises(TorchaudioError, match="pip install torchaudio"):
        check()


def test_may_not_be_deleted(broken: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner is told which file."""

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(TorchaudioError, match=r"_torchaudio.abi3.so cannot be deleted \(Permission denied\)"):
        repair()


def test_resampling_says_what_to_do(broken: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchaudio's own OSError becomes the remedy; so does its absence; other missing modules are not hidden."""
    wrong: Exception = OSError("libc10_cuda.so: cannot open shared object file")

    def import_module(name: str) -> None:
        raise wrong

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(TorchaudioError, match="run: prefalign audio repair-torchaudio"):
        torchaudio_functional()
    broken.extension.unlink()
    with pytest.raises(TorchaudioError, match=r"cannot load its extension \(libc10_cuda.so.*reinstall it"):
        torchaudio_functional()
    wrong = ModuleNotFoundError("No module named 'torchaudio'", name="torchaudio")
    with pytest.raises(TorchaudioError, match="pip install torchaudio"):
        torchaudio_functional()
    wrong = ModuleNotFoundError("No module named 'scipy'", name="scipy")
    with pytest.raises(ModuleNotFoundError, match="scipy"):
        torchaudio_functional()


def test_command_imports_neither(tmp_path: Path) -> None:
    """In a process where torch, torchaudio, transformers and peft refuse to be imported, the command still repairs."""
    installed = Installation(tmp_path)
    for name in ("transformers", "peft"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(REFUSES)
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", "from prefalign_audio.commands.repair_torchaudio import main; main([])"],
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        said.append(done.stdout.strip())
    assert said[0] == f"deleted {installed.extension}"
    assert said[1].startswith("nothing to repair: torchaudio's extension fits torch")


def test_command_without_torchaudio(
    broken: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A set-up script may call it before torchaudio is there."""
    (broken.folder / "torchaudio" / "__init__.py").unlink()
    assert main([]) == 0
    assert "nothing to repair: torchaudio is not installed" in capsys.readouterr().out
