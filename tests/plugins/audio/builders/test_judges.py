"""Two judges and two captions: limits at their edges, and what is left out, counted by reason."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from prefalign.data.build import run_stages
from prefalign.interfaces import (
    Group,
    Media,
    Pair,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    Ranking,
    Response,
    Stage,
    StageReport,
)
from prefalign_audio.builders.judges import TwoJudges, WinnerOfCaption


def sound(name: str, context: Prompt | None = None, **scores: float) -> Response:
    return Response(media=(Media(kind="audio", data=name.encode()),), context=context, scores=scores)


def record(*responses: Response, **fields: Any) -> PreferenceRecord:
    given: dict[str, Any] = {"id": "r", "prompt": Prompt(text="p"), "verdict": Pair()}
    return PreferenceRecord(responses=responses, **given | fields)


def pair(first: tuple[float, float], second: tuple[float, float]) -> PreferenceRecord:
    """Scores of the judges a and b for the winner and for the loser."""
    return record(*(sound(n, a=s[0], b=s[1]) for n, s in (("w", first), ("l", second))))


def ran(stage: Stage, *records: PreferenceRecord) -> tuple[list[PreferenceRecord], dict[str, int]]:
    report = StageReport()
    return list(run_stages(records, [stage], 0, [report])), report.dropped


@pytest.mark.parametrize(
    ("winner", "loser", "reason"),
    [
        # Every limit at its edge: 0.45 - 0.40 = 0.05 and 0.68 - 0.60 = 0.08, neither of them exact in binary.
        ((0.45, 0.60), (0.40, 0.52), None),
        ((0.75, 0.70), (0.40, 0.0), None),
        ((0.80, 0.68), (0.75, 0.60), None),
        ((0.4499, 0.9), (0.4, 0.5), "a: the winner scores below 0.45"),
        ((0.6, 0.5999), (0.4, 0.5), "b: the winner scores below 0.6"),
        ((0.6, 0.7), (0.3999, 0.5), "a: the loser scores below 0.4"),
        ((0.6, 0.6), (0.5, -0.0001), "b: the loser scores below 0.0"),
        ((0.6, 0.7), (0.5501, 0.5), "a: the gap is outside [0.05, 0.35]"),
        ((0.7502, 0.7), (0.4001, 0.5), "a: the gap is outside [0.05, 0.35]"),
        ((0.6, 0.7), (0.5, 0.6201), "b: the gap is outside [0.08, 0.7]"),
        ((0.6, 0.7101), (0.5, 0.0), "b: the gap is outside [0.08, 0.7]"),
        ((0.5, 0.7), (0.6, 0.5), "a: the gap is outside [0.05, 0.35]"),
    ],
)
def test_the_published_limits(winner: tuple[float, float], loser: tuple[float, float], reason: str | None) -> None:
    given = pair(winner, loser)
    kept, dropped = ran(TwoJudges(("a", "b")), given)
    assert (kept, dropped) == (([given], {}) if reason is None else ([], {reason: 1}))


def test_the_winner_is_the_chosen_one_wherever_it_stands() -> None:
    given = dataclasses.replace(pair((0.5, 0.5), (0.6, 0.7)), verdict=Pair(1, 0))
    assert ran(TwoJudges(("a", "b")), given) == ([given], {})


def test_what_no_two_judges_compared_is_left_out() -> None:
    one = record(sound("w", a=0.6), sound("l", a=0.5, b=0.5))
    group = record(sound("w", a=0.6, b=0.7), sound("l", a=0.5, b=0.5), verdict=Group((1.0, 0.0)))
    tie = dataclasses.replace(group, verdict=Pair(tie=True))
    assert ran(TwoJudges(("a", "b")), one, group, tie) == ([], {"b: no score": 1, "the record is no pair": 2})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"scores": ("a",)}, r"expected scores of two judges, got \('a',\)"),
        ({"scores": "ab"}, "expected scores of two judges, got 'ab'"),
        ({"scores": ("a", "a")}, "expected two judges, got 'a' twice"),
        ({"loser": (0.1,)}, "expected loser of two judges"),
        ({"gap": ((0.5, 0.1), (0, 1))}, r"expected a gap as \[least, greatest\], got \[0.5, 0.1\]"),
    ],
)
def test_judges_that_make_no_sense(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(PrefalignError, match=problem):
        TwoJudges(**{"scores": ("a", "b")} | changes)


def test_settings_are_plain() -> None:
    assert TwoJudges(("a", "b")).settings() == {
        "scores": ["a", "b"],
        "winner": [0.45, 0.60],
        "loser": [0.40, 0.0],
        "gap": [[0.05, 0.35], [0.08, 0.70]],
    }
    assert WinnerOfCaption("a").settings() == {"score": "a"}


def candidates(own: Sequence[float | None], other: Sequence[float | None]) -> PreferenceRecord:
    context = Prompt(text="q")
    responses = [
        sound(f"{name}{i}", c, **({} if score is None else {"a": score}))
        for name, c, scores in (("own", None, own), ("other", context, other))
        for i, score in enumerate(scores)
    ]
    return record(*responses, verdict=Ranking((0,) * len(responses)), provenance={"perturbed_caption": "q"})


def names(found: Sequence[PreferenceRecord]) -> list[tuple[bytes | None, ...]]:
    return [tuple(response.media[0].data for response in item.responses) for item in found]


def test_the_captions_own_sound_wins_where_it_scores_higher() -> None:
    """0.6 beats 0.5 but not 0.6; 0.4 beats neither; the third other has no score."""
    found, dropped = ran(WinnerOfCaption("a"), candidates([0.6, 0.4], [0.6, 0.5, None]))
    assert names(found) == [(b"own0", b"other1")]
    assert dropped == {"the caption's own sound scores no higher": 3, "a candidate has no score 'a'": 2}
    (made,) = found
    assert (made.id, made.verdict) == ("r/0-3", Pair())
    # The loser is trained as an answer to the true caption; what it was made for is not forgotten.
    assert [response.context for response in made.responses] == [None, None]
    assert made.provenance == {"perturbed_caption": "q"}


def test_two_captions_need_two_sounds() -> None:
    same = dataclasses.replace(
        candidates([0.6], [0.5]), responses=(sound("x", a=0.6), sound("x", Prompt(text="q"), a=0.5))
    )
    found, dropped = ran(WinnerOfCaption("a"), candidates([0.6], []), candidates([], [0.6]), same)
    assert found == []
    assert dropped == {"no candidates for both captions": 2, "winner and loser are identical": 1}
