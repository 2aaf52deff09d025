"""The stages that give a record a second caption, which asks for something else than its own (Tango 2, 2404.09956)."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prefalign.data.build import derive_seed
from prefalign.interfaces import PrefalignError, PreferenceRecord, Prompt, Stage, StageReport, unknown_name
from prefalign_audio.captions.parse import Caption, parse
from prefalign_audio.captions.perturb import drop, normal, replace, swap

PERTURBED, PERTURBATION = "perturbed_caption", "perturbation"
"""Under these names a record's provenance keeps its second caption, and how that was made."""

EVENTS = "events"
"""Under this name a prompt's conditions keep the events of its caption."""

KINDS = ("swap", "drop", "replace")
_IMPOSSIBLE = {
    "swap": "swap: the caption states no order of two different events",
    "drop": "drop: the caption has a single event",
    "replace": "replace: the vocabulary has no event that the caption lacks",
}
NO_TEXT = "the prompt is not a text"
UNCHANGED = "the perturbed caption says the same"


class PerturbCaption(Stage):
    """Give each record a perturbed caption of every kind, without a language model; one record a kind.

    Args:
        kinds: of `swap` (two events in the other order), `drop` (one event fewer) and `replace` (another event).
        vocabulary: events that may take another one's place.

    Raises:
        PrefalignError: for an unknown kind, none, or `replace` without a vocabulary.
    """

    def __init__(self, kinds: Sequence[str] = ("swap", "drop"), vocabulary: Sequence[str] = ()) -> None:
        self.kinds, self.vocabulary = list(kinds), list(vocabulary)
        for kind in self.kinds:
            if kind not in KINDS:
                raise unknown_name("perturbation", kind, KINDS)
        if not self.kinds:
            raise PrefalignError(f"expected at least one perturbation of {', '.join(KINDS)}")
        if "replace" in self.kinds and not self.vocabulary:
            raise PrefalignError("the perturbation 'replace' needs a vocabulary of events")

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The records `<id>/<kind>`; the choice of events depends on the seed, the id and the kind."""
        for record in records:
            report.seen += 1
            if record.prompt.text is None:
                report.drop(NO_TEXT)
                continue
            caption = parse(record.prompt.text)
            if len(caption.events) < 2:
                report.drop("the caption cannot be taken apart into events")
                continue
            for kind in self.kinds:
                perturbed = self._perturbed(caption, kind, random.Random(derive_seed(seed, record.id, kind)))
                if perturbed is None:
                    report.drop(_IMPOSSIBLE[kind])
                    continue
                report.made += 1
                yield with_perturbed(record, perturbed, kind, f"/{kind}")

    def _perturbed(self, caption: Caption, kind: str, draw: random.Random) -> str | None:
        if kind == "replace":
            return replace(caption, self.vocabulary, draw)
        return (swap if kind == "swap" else drop)(caption, draw)

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {"kinds": self.kinds, "vocabulary": self.vocabulary}


class RewriteCaption(Stage):
    """Give each record a perturbed caption by a function of its own one, such as a language model.

    Args:
        rewrite: the function; `captions.llm.CaptionRewriter` for a model by id. If it has `settings()`, they go into
            the manifest.
        kind: how the perturbation is called.
    """

    def __init__(self, rewrite: Callable[[str], str], kind: str = "rewrite") -> None:
        self.rewrite, self.kind = rewrite, kind

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The records `<id>/<kind>`; those whose caption comes back as it was, or empty, are left out."""
        for record in records:
            report.seen += 1
            if record.prompt.text is None:
                report.drop(NO_TEXT)
                continue
            perturbed = self.rewrite(record.prompt.text)
            if not normal(perturbed):
                report.drop("the perturbed caption is empty")
            elif normal(perturbed) == normal(record.prompt.text):
                report.drop(UNCHANGED)
            else:
                report.made += 1
                yield with_perturbed(record, perturbed, self.kind, f"/{self.kind}")

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        known = getattr(self.rewrite, "settings", None)
        named = self.rewrite if hasattr(self.rewrite, "__qualname__") else type(self.rewrite)
        function: dict[str, Any] = {"class": f"{named.__module__}.{named.__qualname__}"}
        return {"rewrite": function | (known() if known else {}), "kind": self.kind}


def with_perturbed(record: PreferenceRecord, caption: str, kind: str, suffix: str = "") -> PreferenceRecord:
    """The record with a second caption in its provenance."""
    provenance = {**record.provenance, PERTURBED: caption, PERTURBATION: kind}
    return dataclasses.replace(record, id=record.id + suffix, provenance=provenance)


def perturbed_prompt(record: PreferenceRecord) -> Prompt:
    """The prompt that asks for the perturbed caption, all else being equal.

    Raises:
        RecordError: if the record has none.
    """
    caption = record.provenance.get(PERTURBED)
    if not isinstance(caption, str):
        raise record.error("expected a perturbed caption; let PerturbCaption go before", f"provenance.{PERTURBED}")
    conditions = dict(record.prompt.conditions)
    if EVENTS in conditions:
        conditions[EVENTS] = list(parse(caption).events)
    return dataclasses.replace(record.prompt, text=caption, conditions=conditions)
