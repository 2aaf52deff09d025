"""Pairs of candidates as people judged them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from prefalign.data.stages import paired
from prefalign.interfaces import Pair, PreferenceRecord, Stage, StageReport
from prefalign_mesh3d.pairs.human_verdicts import HumanVerdicts, Votes


class HumanPairs(Stage):
    """Pairs of candidates as people judged them.

    Where they disagree, the pair's probability is the share of the votes for the chosen one; a tie is half a vote for
    each. What more than half found too bad to be compared is left out.

    Args:
        verdicts: what people said about the records' responses.
        keep_ties: make tied pairs of what ends even, for objectives that know ties; otherwise these are left out.
    """

    def __init__(self, verdicts: HumanVerdicts, keep_ties: bool = False) -> None:
        self.verdicts, self.keep_ties = verdicts, keep_ties

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs, named `<id>/<chosen>-<rejected>`; nothing is random.

        Raises:
            RecordError: for a verdict about a response that the record does not have.
        """
        for record in records:
            report.seen += 1
            votes = self.verdicts.of(record)
            if not votes:
                report.drop("no person judged the record")
            for (first, second), vote in votes.items():
                pair = decided(record, first, second, vote, report, self.keep_ties)
                if pair is not None:
                    report.made += 1
                    yield pair

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {"verdicts": self.verdicts.settings(), "keep_ties": self.keep_ties}


def decided(
    record: PreferenceRecord, first: int, second: int, votes: Votes, report: StageReport, keep_ties: bool = False
) -> PreferenceRecord | None:
    """The pair that votes make of two responses; None where they make none, which is counted."""
    probability = votes.probability
    if votes.rejects_both or probability is None:
        report.drop("people found neither good enough")
        return None
    tie = probability == 0.5
    if tie and not keep_ties:
        report.drop("people are undecided")
        return None
    winner, loser = (first, second) if probability >= 0.5 else (second, first)
    if record.responses[winner].same_payload(record.responses[loser]):
        report.drop("both candidates are identical")
        return None
    pair = paired(record, winner, loser, f"/{winner}-{loser}")
    verdict = Pair(probability=max(probability, 1 - probability), tie=tie)
    return dataclasses.replace(pair, verdict=verdict, annotator=votes.annotator or record.annotator)


__all__ = ["HumanPairs", "decided"]
