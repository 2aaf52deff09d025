"""Records of scored candidates, and stages run on them."""

import pytest

from prefalign.data.build import run_stages
from prefalign.interfaces import PreferenceRecord, Prompt, Ranking, Response, StageReport


def _candidates(*scores, id="r", **fields):
    """One response a mapping of scores; their tokens are their indices, so that no two are identical."""
    responses = tuple(Response(token_ids=(i,), scores=s) for i, s in enumerate(scores))
    given = {"id": id, "prompt": Prompt(text="p"), "verdict": Ranking((0,) * len(responses))}
    return PreferenceRecord(responses=responses, **given | fields)


def _ran(stage, *records):
    """What a stage makes of records, and what it counts as left out."""
    report = StageReport()
    return list(run_stages(records, [stage], 0, [report])), report.dropped


@pytest.fixture(scope="session")
def candidates():
    """Makes a record; see `_candidates`."""
    return _candidates


@pytest.fixture(scope="session")
def ran():
    """Runs a stage; see `_ran`."""
    return _ran
