"""Candidates with scores, and a stage's outcome."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from prefalign.data.build import run_stages
from prefalign.interfaces import PreferenceRecord, Prompt, Ranking, Response, Stage, StageReport


@pytest.fixture
def candidates() -> Callable[..., PreferenceRecord]:
    """Make a record of one song per given mapping of scores; `same` makes all songs equal."""

    def make(*scores: dict[str, float], name: str = "r", same: bool = False) -> PreferenceRecord:
        responses = tuple(
            Response(arrays={"codes": np.array([[0 if same else number]])}, scores=given)
            for number, given in enumerate(scores)
        )
        return PreferenceRecord(id=name, prompt=Prompt(), responses=responses, verdict=Ranking((0,) * len(scores)))

    return make


@pytest.fixture
def outcome() -> Callable[..., tuple[dict[str, tuple[int, int]], dict[str, int]]]:
    """Run a stage: (winner, loser) by the id of the pair, and what was dropped."""

    def run(stage: Stage, *records: PreferenceRecord) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
        report = StageReport()
        pairs: dict[str, Any] = {}
        for made in run_stages(records, [stage], 0, [report]):
            assert made.id not in pairs
            chosen, rejected = made.responses[made.verdict.chosen], made.responses[made.verdict.rejected]
            pairs[made.id] = (int(chosen.arrays["codes"][0, 0]), int(rejected.arrays["codes"][0, 0]))
        assert report.made == len(pairs)
        return pairs, report.dropped

    return run
