"""Embeddings computed once and kept on disk, by what was encoded and by what encoded it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from prefalign.data.atomic import atomic_path
from prefalign.data.cache import cache_folder, content_hash
from prefalign.interfaces import Encoder, Media, PrefalignError
from prefalign_audio.encoders.base import TextEncoder
from prefalign_audio.sound.errors import SoundError

#: Rows held in memory before they are written, so that a killed run loses little.
ROWS_PER_FILE = 4096

#: Items encoded between two updates of the progress bar.
BATCH = 16


def sound_key(medium: Media) -> str:
    """SHA-256 of a medium's content, in hexadecimal; the same for a file and for its bytes.

    Raises:
        SoundError: for a file that cannot be read.
    """
    if medium.path is None:
        return hashlib.sha256(medium.data or b"").hexdigest()
    try:
        return content_hash(Path(medium.path))
    except OSError as error:
        raise SoundError(f"{medium.path}: cannot be read ({error.strerror or error})") from None


def text_key(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


class EmbeddingCache:
    """The embeddings of one frozen encoder.

    Args:
        encoder: of sounds or of texts; it is asked only for what the cache lacks.
        folder: where caches are kept, one folder an encoder inside; `embeddings` in prefalign's cache folder if None.
        description: what the progress bar says.
        device: where it encodes; the accelerator if there is one, if None.

    Attributes:
        fingerprint: the encoder's, taken once: hashing large weights takes seconds.
    """

    def __init__(
        self,
        encoder: Encoder | TextEncoder,
        folder: Path | None = None,
        description: str = "embeddings",
        device: torch.device | None = None,
    ) -> None:
        self.encoder, self.description, self.fingerprint = encoder, description, encoder.fingerprint()
        here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        self.device = device or here or torch.device("cpu")
        # What one encoder converts another of the same weights refuses, and must not find here.
        converts = "".join(f"-{name}" for name in ("resample", "downmix") if getattr(encoder, name, False))
        self.place = (folder or cache_folder() / "embeddings") / f"{self.fingerprint[:32]}{converts}"
        self._rows: dict[str, Tensor] = {}
        self._read: set[Path] = set()

    def sounds(self, media: Sequence[Media]) -> Tensor:
        """(N, D) embeddings of N media, float32, on the CPU.

        Raises:
            SoundError: for a medium that cannot be encoded.
        """
        return self.look_up([sound_key(medium) for medium in media], media)

    def texts(self, texts: Sequence[str]) -> Tensor:
        """(N, D) embeddings of N texts, float32, on the CPU."""
        return self.look_up([text_key(text) for text in texts], texts)

    def look_up(self, keys: Sequence[str], items: Sequence[Any]) -> Tensor:
        """(N, D) embeddings of N items whose keys are known; those that are missing are computed and stored."""
        missing = {key: item for key, item in zip(keys, items, strict=True) if key not in self._rows}
        if missing:
            self._load()
            self._compute({key: item for key, item in missing.items() if key not in self._rows})
        return torch.stack([self._rows[key] for key in keys]) if keys else torch.empty(0, self.encoder.width)

    def _compute(self, missing: dict[str, Any]) -> None:
        from rich.progress import track

        keys, items = list(missing), list(missing.values())
        fresh: dict[str, Tensor] = {}
        self.encoder.to(self.device)
        starts = range(0, len(keys), BATCH)
        try:
            # A bar for a single batch would only flicker.
            for start in track(starts, self.description, transient=True, disable=len(starts) < 2):
                rows = self.encoder(items[start : start + BATCH]).cpu()
                fresh.update(zip(keys[start : start + BATCH], rows.unbind(), strict=True))
                if len(fresh) >= ROWS_PER_FILE:
                    self._store(fresh)
                    fresh = {}
        finally:
            # What was computed before a bad file is kept.
            self._store(fresh)

    def _load(self) -> None:
        for file in sorted(set(self.place.glob("*.safetensors")) - self._read):
            try:
                held = load_file(file)
                keys, rows = held["keys"].numpy(), held["rows"]
            except (SafetensorError, KeyError) as error:
                raise PrefalignError(f"{file}: damaged cache file ({error}); delete it, it is computed anew") from None
            if rows.shape != (len(keys), self.encoder.width):
                raise PrefalignError(f"{file}: expected rows of {self.encoder.width} numbers; delete the file")
            self._rows.update(zip((bytes(key).hex() for key in keys), rows.unbind(), strict=True))
            self._read.add(file)

    def _store(self, fresh: dict[str, Tensor]) -> None:
        if not fresh:
            return
        self._rows.update(fresh)
        self.place.mkdir(parents=True, exist_ok=True)
        file = self.place / f"{uuid.uuid4().hex}.safetensors"
        keys = torch.tensor([list(bytes.fromhex(key)) for key in fresh], dtype=torch.uint8)
        with atomic_path(file) as partial:
            save_file({"keys": keys, "rows": torch.stack(list(fresh.values()))}, partial)
        self._read.add(file)
