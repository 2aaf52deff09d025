"""The data module: opens record sources and lets the policy's codec turn records into batches.

It holds no code of any modality: what a record looks like to the model is the codec's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import Dataset

from prefalign.data.quarantine import write_quarantine
from prefalign.data.sampler import AnchorPlan, Draw, RecordLoader, RecordSampler
from prefalign.data.sources import concatenate, open_records
from prefalign.interfaces import Batch, Codec, PrefalignError, PreferenceRecord, RecordError, RecordSource


class Consumer(Protocol):
    """The training module, as far as the data module knows it."""

    codec: Codec
    needs: frozenset[str]


class EncodedRecords(Dataset):
    """The kept records of a source, encoded by the codec when they are asked for.

    Args:
        source: the records.
        kept: indices of the ones to use.
        codec: encodes them.
        remember: keep what was encoded, in each process that encodes.
    """

    def __init__(self, source: RecordSource, kept: np.ndarray, codec: Codec, remember: bool = False) -> None:
        self.source, self.kept, self.codec = source, kept, codec
        self.remembered: dict[int, Any] | None = {} if remember else None

    def __len__(self) -> int:
        return len(self.kept)

    def record(self, index: int) -> PreferenceRecord:
        """The record itself, as samples and cards show it."""
        return self.source[int(self.kept[index])]

    def encode(self, index: int) -> Any:
        """The record as the codec encodes it."""
        if self.remembered is None:
            return self.codec.encode(self.record(index))
        if index not in self.remembered:
            self.remembered[index] = self.codec.encode(self.record(index))
        return self.remembered[index]


class DrawnRecords(Dataset):
    """Encoded records with the draws that asked for them.

    Args:
        records: the main set.
        anchors: the anchoring set, if there is one.
    """

    def __init__(self, records: EncodedRecords, anchors: EncodedRecords | None = None) -> None:
        self.records, self.anchors = records, anchors

    def __len__(self) -> int:
        return len(self.records)

    def record(self, index: int) -> PreferenceRecord:
        """A record of the main set, as samples and cards show it."""
        return self.records.record(index)

    def __getitem__(self, draw: Draw) -> tuple[Draw, Any]:
        part = self.anchors if draw.anchor else self.records
        assert part is not None
        return draw, part.encode(draw.index)


class Collate:
    """`codec.collate` with what the objective needs; a class so that worker processes can pickle it."""

    def __init__(self, codec: Codec, needs: frozenset[str]) -> None:
        self.codec, self.needs = codec, needs

    def __call__(self, drawn: Sequence[tuple[Draw, Any]]) -> Batch:
        draws, examples = zip(*drawn, strict=True)
        batch = self.codec.collate(examples, self.needs)
        batch.visits = torch.tensor([draw.visit for draw in draws])
        if any(draw.anchor for draw in draws):
            batch.relations = batch.relations.anchored([draw.anchor for draw in draws])
        return batch


class PreferenceDataModule(LightningDataModule):
    """Preference records for training, validation and test.

    Args:
        train, val, test: files, folders or plugin URIs of records; several are joined.
        anchor: the same of an anchoring set, `anchor_batch_size` of whose records join every training batch: data that
            the model is to stay good at, for the objective `core/anchored`. Each has one response.
        batch_size: records per batch and process.
        eval_batch_size: the same for validation and test; `batch_size` if None.
        num_workers: worker processes that read and encode.
        shuffle: new order in every training epoch.
        seed: of the order.
        on_bad_record: `error` stops at the first bad record, before any step; `skip` leaves bad records out, and writes
            them with the reasons to a quarantine file.
        quarantine: where to write them; beside each source if None.
        check_encoding: encode every record once before training, so that what the model cannot represent (a prompt
            that is too long, a broken image) is met now and not after hours.
        keep_encoded: encode each record once and keep it in memory; for small sets whose encoding costs more than their
            training step.
    """

    def __init__(
        self,
        train: str | list[str] | None = None,
        val: str | list[str] | None = None,
        test: str | list[str] | None = None,
        batch_size: int = 8,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        shuffle: bool = True,
        seed: int = 0,
        on_bad_record: Literal["error", "skip"] = "error",
        quarantine: str | None = None,
        check_encoding: bool = True,
        keep_encoded: bool = False,
        anchor: str | list[str] | None = None,
        anchor_batch_size: int = 8,
    ) -> None:
        super().__init__()
        self.splits: dict[str, list[str]] = {
            name: [value] if isinstance(value, str) else list(value or [])
            for name, value in {"train": train, "val": val, "test": test, "anchor": anchor}.items()
        }
        if anchor_batch_size < 1:
            raise PrefalignError(f"expected an anchor_batch_size of at least 1, got {anchor_batch_size}")
        self.anchor_batch_size = anchor_batch_size
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size or batch_size
        self.num_workers, self.shuffle, self.seed = num_workers, shuffle, seed
        self.on_bad_record, self.quarantine, self.check_encoding = on_bad_record, quarantine, check_encoding
        self.keep_encoded = keep_encoded
        self.encoded: dict[str, EncodedRecords] = {}

    @property
    def folder(self) -> Path | None:
        """The folder of the first training source, beside which caches are kept."""
        for uri in self.splits["train"]:
            path = Path(uri)
            if path.exists():
                return path if path.is_dir() else path.parent
        return None

    def setup(self, stage: str) -> None:
        """Open the sources of this stage and refuse what cannot be used."""
        wanted = {"fit": ["train", "val", "anchor"], "validate": ["val"], "test": ["test"], "predict": ["test"]}[stage]
        if stage == "fit" and not self.splits["train"]:
            raise PrefalignError("no training data: set data.train to a file, a folder or a plugin's URI of records")
        if stage == "fit" and not self.splits["val"] and self.trainer is not None:
            self.trainer.limit_val_batches = 0  # Lightning warns of an empty validation set otherwise
        for split in wanted:
            if self.splits[split] and split not in self.encoded:
                self.encoded[split] = self._open(self.splits[split], split)
        if "anchor" in self.encoded:
            self._check_anchors(self.encoded["anchor"])

    @property
    def has_anchors(self) -> bool:
        """Whether training batches bring anchoring records."""
        return bool(self.splits["anchor"])

    def _check_anchors(self, anchors: EncodedRecords) -> None:
        for index in range(len(anchors)):
            record = anchors.record(index)
            if len(record.responses) != 1:
                problem = f"an anchoring record has one response, and this one has {len(record.responses)}"
                raise record.error(problem, "responses").located(anchors.source.name)

    def _consumer(self) -> Consumer:
        assert self.trainer is not None, "the data module works inside a Trainer"
        return self.trainer.lightning_module

    def _open(self, uris: list[str], split: str) -> EncodedRecords:
        quarantine = None if self.quarantine is None else Path(self.quarantine)
        options: dict[str, Any] = {"on_bad": self.on_bad_record, "quarantine": quarantine, "split": split}
        source = concatenate([open_records(uri, **options) for uri in uris])
        kept = self._encodable(source, quarantine) if self.check_encoding else np.arange(len(source))
        if not len(kept):
            raise PrefalignError(f"{source.name}: the model can represent none of its {len(source)} records")
        return EncodedRecords(source, kept, self._consumer().codec, self.keep_encoded)

    def _encodable(self, source: RecordSource, quarantine: Path | None) -> np.ndarray:
        """Indices of the records that the codec can encode."""
        codec, kept = self._consumer().codec, []
        refused: list[tuple[PreferenceRecord, RecordError]] = []
        for index in range(len(source)):
            record = source[index]
            try:
                codec.encode(record)
                kept.append(index)
            except RecordError as error:
                found = error.located(f"{source.name}, record {index + 1}", record.id)
                if self.on_bad_record == "error":
                    raise found from error
                refused.append((record, found))
        if refused:
            place = write_quarantine(source, refused, quarantine)
            rank_zero_warn(
                f"{source.name}: left out {len(refused)} of {len(source)} records that the model cannot represent; "
                f"reasons in {place}"
            )
        return np.array(kept, dtype=np.int64)

    def _loader(self, split: str, *, shuffle: bool, batch_size: int) -> RecordLoader | list[Any]:
        if split not in self.encoded:
            return []
        assert self.trainer is not None
        consumer, data = self._consumer(), self.encoded[split]
        anchors = self.encoded.get("anchor") if split == "train" else None
        plan = None if anchors is None else AnchorPlan(len(anchors), self.anchor_batch_size, batch_size)
        sampler = RecordSampler(
            data,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            shuffle=shuffle,
            seed=self.seed,
            count_visits=split == "train",
            anchors=plan,
        )
        return RecordLoader(
            DrawnRecords(data, anchors),
            sampler,
            batch_size + (0 if plan is None else plan.per_batch),
            Collate(consumer.codec, consumer.needs),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )

    def train_dataloader(self) -> Any:
        """Shuffled batches of the training records."""
        return self._loader("train", shuffle=self.shuffle, batch_size=self.batch_size)

    def val_dataloader(self) -> Any:
        """Batches of the validation records, in order."""
        return self._loader("val", shuffle=False, batch_size=self.eval_batch_size)

    def test_dataloader(self) -> Any:
        """Batches of the test records, in order."""
        return self._loader("test", shuffle=False, batch_size=self.eval_batch_size)

    predict_dataloader = test_dataloader
