"""torchaudio's published wheel is a CUDA build; beside a CPU build of torch its extension fails to load.

Worse than torchaudio itself, peft and the audio models of transformers and diffusers fail then, since they only ask
whether it is installed. Without the extension's file torchaudio does without the extension, and all of them work.
Nothing here imports torch or torchaudio before it has to, so that the repair runs where either of them is broken.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

REPAIR = "prefalign audio repair-torchaudio"

_PATTERN = "_torchaudio*.so"
_CUDA_LIBRARY = "libc10_cuda.so"  # part of torch's CUDA builds, and needed by the extension's


class TorchaudioError(ValueError):
    """torchaudio is absent or does not fit torch; the message holds the remedy."""


def misfit() -> Path | None:
    """The extension that needs torch's CUDA library where torch has none; None where there is no such trouble."""
    torch, torchaudio = _folder("torch"), _folder("torchaudio")
    if torch is None or torchaudio is None or (torch / "lib" / _CUDA_LIBRARY).exists():
        return None
    built_for_cuda = (
        path for path in sorted((torchaudio / "lib").glob(_PATTERN)) if _CUDA_LIBRARY.encode() in path.read_bytes()
    )
    return next(built_for_cuda, None)


def check() -> str:
    """One line for `prefalign doctor`.

    Raises:
        TorchaudioError: torchaudio is absent, or its extension does not fit torch.
    """
    if _folder("torchaudio") is None:
        raise TorchaudioError("torchaudio is not installed, so sounds cannot be resampled: pip install torchaudio")
    if (path := misfit()) is not None:
        raise TorchaudioError(_complaint(path))
    return "torchaudio's extension fits torch, or is left out where it would not"


def repair() -> Path | None:
    """Delete the extension that does not fit. Returns its path, or None where nothing had to be done.

    The file is deleted, not renamed: a file that pip does not know would keep the folder alive after an uninstall, and
    a leftover folder still counts as an installed torchaudio.

    Raises:
        TorchaudioError: the file may not be deleted.
    """
    path = misfit()
    if path is not None:
        try:
            path.unlink()
        except OSError as error:
            raise TorchaudioError(f"{path} cannot be deleted ({error.strerror}); delete it as its owner") from None
    return path


def torchaudio_functional() -> ModuleType:
    """The module `torchaudio.functional`.

    Raises:
        TorchaudioError: it is not installed or cannot be imported; with the remedy.
    """
    try:
        return importlib.import_module("torchaudio.functional")
    except ModuleNotFoundError as error:
        if error.name != "torchaudio":
            raise
        raise TorchaudioError("torchaudio is not installed; it resamples sounds: pip install torchaudio") from None
    except OSError as error:
        path = misfit()
        remedy = _complaint(path) if path else f"torchaudio cannot load its extension ({error}); reinstall it"
        raise TorchaudioError(remedy) from error


def _complaint(path: Path) -> str:
    return f"{path} is built for CUDA and this torch is not, which breaks peft and audio models too; run: {REPAIR}"


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:  # a folder without the package's file is a leftover, and the core's matter
        return None
    return Path(spec.origin).parent
