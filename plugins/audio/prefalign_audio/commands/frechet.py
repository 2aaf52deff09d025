"""`prefalign audio frechet`: the distance of one folder of sounds from another, with all that it depends on."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.encoders.base import SoundEncoder
from prefalign_audio.encoders.load import load_encoder
from prefalign_audio.metrics.functional.extrapolation import Extrapolation, extrapolate
from prefalign_audio.metrics.functional.frechet import Moments, frechet_distance
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import read_sound, sound_files
from prefalign_audio.sound.guard import inspect_sound
from prefalign_audio.sound.torchaudio_build import TorchaudioError

_LISTED = 10  # of many like mistakes, so many are shown


@dataclass
class SoundSet:
    """The sounds of a folder that take part.

    Attributes:
        folder: where.
        media: the sounds.
        seconds: their total duration.
        left_out: sounds that do not take part, by reason.
        clipped: sounds that take part although they are clipped.
    """

    folder: str
    media: list[Media] = field(default_factory=list)
    seconds: float = 0.0
    left_out: Counter[str] = field(default_factory=Counter)
    clipped: int = 0

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "folder": self.folder,
            "clips": len(self.media),
            "seconds": self.seconds,
            "clipped": self.clipped,
            "left_out": dict(self.left_out),
        }

    def as_text(self) -> str:
        """One line."""
        mean = self.seconds / len(self.media) if self.media else 0.0
        parts = [f"{self.folder}: {len(self.media)} clips of {mean:.2f} s on average"]
        parts += [f"{self.clipped} of them clipped"] if self.clipped else []
        parts += [f"{number} {reason} left out" for reason, number in sorted(self.left_out.items())]
        return ", ".join(parts)


def read_set(folder: str, leave_out_bad: bool) -> SoundSet:
    """Gather a folder's sounds, and look at each.

    Raises:
        SoundError: without sounds; or for silent and unreadable ones, which are listed, unless they are to be left out.
    """
    found, bad = SoundSet(folder), []
    for path in sound_files(folder):
        try:
            report = inspect_sound(read_sound(path))
            reason, text = ("silent", f"{path}: silent ({report.rms_dbfs:.1f} dBFS)") if report.silent else ("", "")
        except SoundError as error:
            reason, text = "unreadable", str(error)
        if reason:
            found.left_out[reason] += 1
            bad.append(text)
            continue
        found.media.append(Media(kind="audio", path=str(path)))
        found.seconds += report.seconds
        found.clipped += report.clipped
    if bad and not leave_out_bad:
        listed = "\n".join(f"  {text}" for text in bad[:_LISTED])
        more = f"\n  and {len(bad) - _LISTED} more" if len(bad) > _LISTED else ""
        raise SoundError(
            f"{folder}: {len(bad)} sounds cannot take part; --leave-out-bad counts them and goes on\n{listed}{more}"
        )
    return found


def encode(encoder: SoundEncoder, sounds: SoundSet) -> Tensor:
    """(N, D) features of a set.

    Raises:
        PrefalignError: for fewer than 2 sounds, or one that the encoder refuses.
    """
    if len(sounds.media) < 2:
        raise PrefalignError(
            f"{sounds.folder}: expected at least 2 sounds to fit a Gaussian to, got {len(sounds.media)}"
        )
    return encoder(sounds.media)


@dataclass(frozen=True)
class FrechetReport:
    """What the command prints.

    Attributes:
        distance: squared units of the embedding.
        embedding: name of the encoder, and `fingerprint` and `width` of it.
        generated, reference: the two sets.
        line: of FAD∞, where it was asked for.
    """

    distance: float
    embedding: str
    fingerprint: str
    width: int
    generated: SoundSet
    reference: SoundSet
    line: Extrapolation | None

    @property
    def singular(self) -> bool:
        """Whether a set has too few sounds for a covariance of full rank."""
        return min(len(self.generated.media), len(self.reference.media)) <= self.width

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "frechet": self.distance,
            "embedding": self.embedding,
            "fingerprint": self.fingerprint,
            "width": self.width,
            "singular_covariance": self.singular,
            "generated": self.generated.as_json(),
            "reference": self.reference.as_json(),
            **({"infinity": asdict(self.line)} if self.line else {}),
        }

    def as_text(self) -> str:
        """Lines for people."""
        lines = [f"Fréchet distance {self.distance:z.4f}"]
        if self.line:
            lines.append(
                f"extrapolated to endless samples {self.line.distance:z.4f} (R² of the line {self.line.fit:.3f})"
            )
        lines += [
            f"embedding  {self.embedding}, width {self.width}, fingerprint {self.fingerprint[:12]}",
            f"generated  {self.generated.as_text()}",
            f"reference  {self.reference.as_text()}",
        ]
        if self.singular:
            lines.append(
                f"note: a set of {self.width} clips or fewer has a singular covariance here; compare the distance only "
                "with those of sets of the same sizes"
            )
        return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign audio frechet",
        description="Measure the Fréchet distance (FAD) between two folders of sounds.",
    )
    parser.add_argument("generated", metavar="FOLDER_A", help="generated sounds; sub-folders count")
    parser.add_argument("reference", metavar="FOLDER_B", help="reference sounds")
    parser.add_argument(
        "--embedding",
        default="mel_statistics",
        metavar="NAME",
        help="mel_statistics (default, no weights), aisfx, musicnn, clap:ID, transformers:ID",
    )
    parser.add_argument("--infinity", action="store_true", help="extrapolate over growing subsets of FOLDER_A (FAD∞)")
    parser.add_argument("--seed", type=int, default=0, help="of the subsets (default %(default)s)")
    parser.add_argument("--leave-out-bad", action="store_true", help="count silent and unreadable sounds, and go on")
    parser.add_argument("--resample", action="store_true", help="bring files to the embedding's sample rate")
    parser.add_argument("--downmix", action="store_true", help="take the mean of several channels")
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of text")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns the exit code: 0, or 2 after sounds that cannot be compared."""
    options = _parser().parse_args(argv)
    try:
        encoder = load_encoder(options.embedding, options.resample, options.downmix)
        generated, reference = (
            read_set(folder, options.leave_out_bad) for folder in (options.generated, options.reference)
        )
        features, moments = encode(encoder, generated), Moments.of(encode(encoder, reference))
        report = FrechetReport(
            distance=float(frechet_distance(Moments.of(features), moments)),
            embedding=options.embedding,
            fingerprint=encoder.fingerprint(),
            width=encoder.width,
            generated=generated,
            reference=reference,
            line=extrapolate(features, moments, seed=options.seed) if options.infinity else None,
        )
    except (PrefalignError, TorchaudioError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report.as_json(), indent=2) if options.json else report.as_text())
    return 0
