"""The cached reference: computed once before training, stored beside the records, looked up by content.

A value is keyed by the reference model's weights and by everything the model sees in a row (token ids, pixels), so a
changed model, template, image or record can never meet an old value. Token weights are applied after the look-up.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from prefalign.functional.fingerprint import fingerprint
from prefalign.interfaces import Batch, Policy, PrefalignError, ResponseScores
from prefalign.policies.reference import Reference

#: Rows held in memory before they are written, so that a killed run loses little.
ROWS_PER_FILE = 8192


class Cached(Reference):
    """Reference scores from a cache; no reference model in memory while training.

    The rows that are missing are computed when training starts, with a progress bar. With an adapter the adapter is
    switched off for it; else the weights are those before the first step.

    Args:
        folder: where the cache is kept; `.prefalign/reference` beside the training records if None.
    """

    def __init__(self, folder: str | None = None) -> None:
        super().__init__()
        self.folder = None if folder is None else Path(folder)
        self.values: dict[str, Tensor] = {}
        self.model_key = ""

    def configure(self, policy: Policy) -> None:
        """Take the fingerprint of the untrained policy, which a resumed run no longer has after loading its weights."""
        if not self.model_key:
            with policy.adapter_disabled() if policy.has_adapter else torch.no_grad():
                self.model_key = fingerprint(policy)

    def prepare(self, policy: Policy, loaders: Iterable[Any], folder: Path | None) -> None:
        """Compute and store the rows that the cache lacks.

        Raises:
            PrefalignError: without a place to keep the cache, or when a resumed run without an adapter lacks rows.
        """
        root = self.folder or (None if folder is None else folder / ".prefalign" / "reference")
        if root is None:
            raise PrefalignError("give the cached reference a folder: the training records are not in one")
        place = root / self._precision_key(policy)
        self._load(place)
        with torch.no_grad():
            self._fill(policy, loaders, place)

    def _precision_key(self, policy: Policy) -> str:
        """Weights, and the precision they run in: bfloat16 autocast gives other numbers than float32."""
        device = next(policy.parameters()).device.type
        mode = str(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else "as stored"
        return hashlib.sha256(f"{self.model_key} {mode}".encode()).hexdigest()[:32]

    def _load(self, place: Path) -> None:
        for file in sorted(place.glob("*.safetensors")):
            held = load_file(file)
            keys = [bytes(row).hex() for row in held["keys"].numpy()]
            self.values.update(zip(keys, held["logps"].split(held["lengths"].tolist()), strict=True))

    def _fill(self, policy: Policy, loaders: Iterable[Any], place: Path) -> None:
        from lightning.fabric.utilities.distributed import _distributed_is_initialized
        from rich.progress import track

        fresh: dict[str, Tensor] = {}
        was_training = policy.training
        policy.eval()
        for loader in loaders:
            for batch in track(loader, description="reference scores", transient=True):
                for form in policy.replays(batch):
                    fresh.update(self._missing(policy, form, fresh))
                if len(fresh) >= ROWS_PER_FILE:
                    self._store(fresh, place)
                    fresh = {}
        self._store(fresh, place)
        policy.train(was_training)
        if _distributed_is_initialized():
            # Every process computed its share of the records; each then reads what the others wrote.
            torch.distributed.barrier()
            self._load(place)

    def _missing(self, policy: Policy, batch: Batch, fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What to store of the rows that neither the cache nor `fresh` holds."""
        keys = policy.keys(batch)
        rows = [i for i, key in enumerate(keys) if key not in self.values and key not in fresh]
        if not rows:
            return {}
        if not fresh and not policy.has_adapter and fingerprint(policy) != self.model_key:
            raise PrefalignError(
                "the reference cache lacks rows, and the weights have changed since: restore the cache or "
                "start anew without a checkpoint"
            )
        batch = batch.to(next(policy.parameters()).device)
        with policy.adapter_disabled() if policy.has_adapter else torch.no_grad():
            values = policy.stored(policy.scores(batch))
        return {keys[row]: values[row].cpu() for row in rows}

    def _store(self, fresh: dict[str, Tensor], place: Path) -> None:
        if not fresh:
            return
        self.values.update(fresh)
        place.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex
        keys = torch.tensor([list(bytes.fromhex(key)) for key in fresh], dtype=torch.uint8)
        lengths = torch.tensor([len(value) for value in fresh.values()])
        tensors = {"keys": keys, "lengths": lengths, "logps": torch.cat(list(fresh.values()))}
        # Under a name that readers skip until it is whole.
        save_file(tensors, place / f"{name}.partial")
        os.replace(place / f"{name}.partial", place / f"{name}.safetensors")

    def scores(self, policy: Policy, batch: Batch) -> ResponseScores:
        """The batch's scores from the cache.

        Raises:
            PrefalignError: for a row that was not there when the cache was made, such as a record read at random.
        """
        keys = policy.keys(batch)
        missing = [key for key in keys if key not in self.values]
        if missing:
            raise PrefalignError(
                f"{len(missing)} rows of the records {batch.relations.ids} are not in the reference cache: "
                "the same record gave other inputs than when the cache was made. Does its encoding draw at random?"
            )
        return policy.restored([self.values[key] for key in keys], batch)
