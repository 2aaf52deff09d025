"""What came of a curation: kept meshes by bucket, rejected files by reason."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from prefalign.cli.table import render_table


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that is not in the set.

    Attributes:
        file: its path, relative to the folder where one was given.
        reason: in two or three words; what files are counted by.
        problem: what is wrong with it, with the numbers.
    """

    file: str
    reason: str
    problem: str


@dataclass(slots=True)
class Bucket:
    """Sums over the meshes of one range of face counts; copies are not counted.

    Attributes:
        meshes, faces, tokens: how many; the end id is no token of this count.
        longest: tokens of the longest mesh.
        watertight: meshes all of whose edges have two faces, on the grid.
    """

    meshes: int = 0
    faces: int = 0
    tokens: int = 0
    longest: int = 0
    watertight: int = 0

    def add(self, other: Bucket) -> None:
        """Count the meshes of another one too."""
        self.meshes += other.meshes
        self.faces += other.faces
        self.tokens += other.tokens
        self.longest = max(self.longest, other.longest)
        self.watertight += other.watertight

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the tokens per face and the share that is watertight; these are None without meshes."""
        return {
            "meshes": self.meshes,
            "faces": self.faces,
            "tokens": self.tokens,
            "longest": self.longest,
            "tokens_per_face": self.tokens / self.faces if self.faces else None,
            "watertight": self.watertight / self.meshes if self.meshes else None,
        }


def bucket_name(faces: int, bounds: Sequence[int]) -> str:
    """The range of a face count, such as `251-500`; a bound belongs to the range below it."""
    place = bisect_left(bounds, faces)
    low = bounds[place - 1] + 1 if place else 1
    return f"{low}-{bounds[place]}" if place < len(bounds) else f"{low}-"


@dataclass(slots=True)
class CurationReport:
    """What came of a curation.

    Attributes:
        settings: of the curation and of the tokenizer, as plain JSON values.
        files: that were looked at.
        passed_over: other files of the folder, by suffix.
        records: that were written, copies included.
        buckets: kept meshes by the range of their face count, in ascending order.
        rejected: files that are not in the set, in the order in which they were looked at.
    """

    settings: dict[str, Any]
    files: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)
    records: int = 0
    buckets: dict[str, Bucket] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def total(self) -> Bucket:
        """All buckets in one."""
        total = Bucket()
        for bucket in self.buckets.values():
            total.add(bucket)
        return total

    @property
    def reasons(self) -> dict[str, int]:
        """Rejected files by reason, the most frequent first, equal ones by name."""
        counts = Counter(each.reason for each in self.rejected)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "settings": self.settings,
            "files": self.files,
            "passed_over": self.passed_over,
            "records": self.records,
            "kept": self.total.as_json(),
            "buckets": {name: bucket.as_json() for name, bucket in self.buckets.items()},
            "reasons": self.reasons,
            "rejected": [{"file": each.file, "reason": each.reason, "problem": each.problem} for each in self.rejected],
        }

    def as_text(self, examples: int = 2) -> str:
        """Three tables: buckets, reasons, and the first files of each reason."""
        rows = [[name, *_cells(bucket)] for name, bucket in [*self.buckets.items(), ("all", self.total)]]
        text = render_table(["bucket", "meshes", "faces", "tokens", "longest", "tokens per face", "watertight"], rows)
        text += f"\n\n{self.total.meshes} of {self.files} files kept, {self.records} records"
        if self.passed_over:
            others = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in self.passed_over.items())
            text += f"; passed over: {others}"
        if self.rejected:
            text += "\n\n" + render_table(
                ["rejected", "files"], [[reason, str(count)] for reason, count in self.reasons.items()]
            )
            shown = [
                [each.reason, each.file, each.problem]
                for reason in self.reasons
                for each in [one for one in self.rejected if one.reason == reason][:examples]
            ]
            text += "\n\n" + render_table(["for example", "file", "problem"], shown)
        return text


def _cells(bucket: Bucket) -> list[str]:
    if not bucket.meshes:
        return ["0", "0", "0", "0", "", ""]
    shares = (f"{bucket.tokens / bucket.faces:.3f}", f"{bucket.watertight / bucket.meshes:.3f}")
    return [str(bucket.meshes), str(bucket.faces), str(bucket.tokens), str(bucket.longest), *shares]


__all__ = ["Bucket", "CurationReport", "Rejected", "bucket_name"]
