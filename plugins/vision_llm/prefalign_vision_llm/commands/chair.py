"""`prefalign vision_llm chair`: hallucinated objects in a file of captions."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefalign_vision_llm.commands.documents import canonical_id, read_documents, shown
from prefalign_vision_llm.metrics.functional.chair import ChairCounts, percent
from prefalign_vision_llm.metrics.functional.errors import MetricInputError
from prefalign_vision_llm.metrics.functional.vocabulary import ObjectVocabulary, coco_vocabulary
from prefalign_vision_llm.metrics.functional.words import caption_words

_LISTED = 10  # of many like mistakes, so many are shown


@dataclass(frozen=True)
class ChairReport:
    """What the command prints.

    Attributes:
        counts: the metric's counts.
        overlooked: words that name an object but that the published singular rules lose, with their number.
    """

    counts: ChairCounts
    overlooked: Counter[str]

    def as_json(self, per_object: bool) -> dict[str, Any]:
        """Rates in percent, and the counts behind them."""
        counts = self.counts
        report: dict[str, Any] = {
            "chair_i": counts.chair_i,
            "chair_s": counts.chair_s,
            "recall": counts.recall,
            "unit": "percent",
            "captions": counts.captions,
            "captions_hallucinated": counts.captions_hallucinated,
            "mentions": counts.mentions.total(),
            "hallucinated": counts.hallucinated.total(),
            "objects_present": counts.present.total(),
            "objects_recalled": counts.recalled.total(),
            "words_not_counted": dict(self.overlooked.most_common()),
        }
        if per_object:
            report["per_object"] = {
                name: {
                    "mentions": counts.mentions[name],
                    "hallucinated": counts.hallucinated[name],
                    "present": counts.present[name],
                    "recalled": counts.recalled[name],
                }
                for name in _by_hallucination(counts)
            }
        return report

    def as_text(self, per_object: bool) -> str:
        """A table for people."""
        counts = self.counts
        rows = (
            ("CHAIRi", counts.chair_i, counts.hallucinated.total(), counts.mentions.total(), "object mentions"),
            ("CHAIRs", counts.chair_s, counts.captions_hallucinated, counts.captions, "captions"),
            ("recall", counts.recall, counts.recalled.total(), counts.present.total(), "objects present"),
        )
        lines = [f"{name:8}{rate:7.2f} %   {part} of {whole} {what}" for name, rate, part, whole, what in rows]
        if self.overlooked:
            words = ", ".join(f"{word} ({number})" for word, number in self.overlooked.most_common(_LISTED))
            lines += ["", f"Not counted, as in published figures: {words}. --known-first counts them."]
        if per_object:
            names = _by_hallucination(counts)
            width = max([6, *map(len, names)])
            lines.append("")
            lines.append(
                f"{'object':{width}}{'mentions':>10}{'hallucinated':>14}{'%':>8}{'present':>9}{'recalled':>10}"
            )
            lines += [
                f"{name:{width}}{counts.mentions[name]:>10}{counts.hallucinated[name]:>14}"
                f"{percent(counts.hallucinated[name], counts.mentions[name]):>8.1f}"
                f"{counts.present[name]:>9}{counts.recalled[name]:>10}"
                for name in names
            ]
        return "\n".join(lines)


def _by_hallucination(counts: ChairCounts) -> list[str]:
    met = set(counts.mentions) | set(counts.present)
    return sorted(met, key=lambda name: (-counts.hallucinated[name], -counts.mentions[name], name))


def read_vocabulary(path: str) -> ObjectVocabulary:
    """Read object names, `["cat", ...]`, or names with synonyms, `{"cat": ["kitten"], ...}`, from a JSON file.

    Raises:
        MetricInputError: the file holds neither, or a word that is blank or names two objects.
    """
    documents = read_documents(path)
    values = [document.value for document in documents]
    table = values[0] if len(values) == 1 and isinstance(values[0], dict) else values
    try:
        return ObjectVocabulary.of(table)
    except (MetricInputError, TypeError) as error:
        raise MetricInputError(f'{path}: {error}; expected ["cat", ...] or {{"cat": ["kitten"], ...}}') from None


def read_objects(path: str, vocabulary: ObjectVocabulary) -> dict[str, frozenset[str]]:
    """Read the objects of each image from a JSON object `{"image id": ["cat", ...], ...}`.

    Raises:
        MetricInputError: the file is laid out otherwise, names an image twice, or an object that the vocabulary lacks.
    """
    documents = read_documents(path)
    table = documents[0].mapping()
    if len(documents) > 1:
        raise MetricInputError(f"{documents[1].where}: a second JSON value; expected one, image ids to names")
    if not table:
        raise MetricInputError(f"{path}: no images in it; expected a JSON object from image ids to names")
    objects: dict[str, frozenset[str]] = {}
    for identifier, names in table.items():
        image = canonical_id(identifier)
        if image in objects:
            raise MetricInputError(f"{path}, image {identifier!r}: stands twice (with other leading zeros); keep one")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise MetricInputError(f"{path}, image {identifier!r}: expected a list of names, found {shown(names)}")
        try:
            objects[image] = vocabulary.check(names)
        except MetricInputError as error:
            raise MetricInputError(f"{path}, image {identifier!r}: {error}") from None
    return objects


def score_captions(
    path: str, objects: Mapping[str, frozenset[str]], objects_path: str, vocabulary: ObjectVocabulary
) -> ChairReport:
    """Score a file of captions, one an image, each with `image_id` and `caption`.

    Raises:
        MetricInputError: a record lacks a field or has another type in it, repeats an image, or is of an image without
            objects.
    """
    counts, overlooked = ChairCounts(), Counter[str]()
    first_seen: dict[str, str] = {}
    missing: list[tuple[str, str]] = []
    for document in read_documents(path):
        image, caption = document.identifier("image_id"), document.text("caption")
        if image in first_seen:
            raise MetricInputError(
                f"{document.where}, field 'image_id': image {image} has a caption at {first_seen[image]} already; "
                "expected one caption an image, as CHAIR is defined (score further samples in files of their own)"
            )
        first_seen[image] = document.where
        if image not in objects:
            missing.append((document.where, image))
            continue
        words = caption_words(caption)
        counts.add(vocabulary.mentions(words), objects[image])
        overlooked.update(vocabulary.overlooked(words))
    if missing:
        listed = "\n".join(f"  {where}: image {image}" for where, image in missing[:_LISTED])
        more = f"\n  and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise MetricInputError(
            f"{objects_path} has no objects for {len(missing)} of the {len(first_seen)} images of {path}; "
            f"its image ids look like {next(iter(objects))!r}\n{listed}{more}"
        )
    return ChairReport(counts, overlooked)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign vision_llm chair",
        description="Measure how often captions name objects that their images lack (CHAIR), and miss those they hold.",
    )
    parser.add_argument("captions", metavar="CAPTIONS", help="JSON or JSON Lines, plain or gzipped: image_id, caption")
    parser.add_argument("--objects", required=True, help="JSON, plain or gzipped: image id to the list of its objects")
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of a table")
    parser.add_argument("--per-object", action="store_true", help="add counts object by object, worst first")
    table = parser.add_mutually_exclusive_group()
    table.add_argument("--strict", action="store_true", help="leave dead the COCO entries that never match as released")
    table.add_argument(
        "--known-first",
        action="store_true",
        help="count also what the published singular rules lose, above all 'bus'; not comparable with papers",
    )
    table.add_argument("--vocabulary", help="JSON list of other object names, or names to lists of their synonyms")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns the exit code: 0, or 1 after an input that cannot be scored."""
    args = _parser().parse_args(argv)
    try:
        if args.vocabulary:
            vocabulary = read_vocabulary(args.vocabulary)
        else:
            vocabulary = coco_vocabulary(strict=args.strict, known_first=args.known_first)
        objects = read_objects(args.objects, vocabulary)
        report = score_captions(args.captions, objects, args.objects, vocabulary)
    except MetricInputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report.as_json(args.per_object), indent=2) if args.json else report.as_text(args.per_object))
    return 0
