"""Conditions are left out as often as asked, whatever stands beside them."""

import pytest

from prefalign.data.build import run_stages
from prefalign.interfaces import Pair, PrefalignError, PreferenceRecord, Prompt, Response, StageReport
from prefalign_audio.builders.drop_conditions import DropConditions

TOLD = {"description": "a waltz", "lyrics": "la"}


def record(name, prompt=None, context=None):
    songs = (Response(text="a"), Response(text="b", context=context))
    prompt = Prompt(text="slow", conditions=TOLD) if prompt is None else prompt
    return PreferenceRecord(id=name, prompt=prompt, responses=songs, verdict=Pair(0, 1))


def run(stage, records, seed=0):
    report = StageReport()
    found = {made.id: made for made in run_stages(records, [stage], seed, [report])}
    assert report.made == report.seen == len(records)
    return found


def test_certain_draws():
    stage = DropConditions({"description": 1.0, "lyrics": 0.0})
    assert run(stage, [record("a")])["a"].prompt == Prompt(text="slow", conditions={"lyrics": "la"})
    every = DropConditions({"description": 1, "lyrics": 1, "text": 1})
    assert run(every, [record("a")])["a"].prompt == Prompt()


def test_frequencies_and_independence():
    """Of 2,000 records, within five standard errors."""
    found = run(DropConditions({"description": 0.5, "text": 0.2}), [record(str(n)) for n in range(2000)])
    lost = [("description" not in one.prompt.conditions, one.prompt.text is None) for one in found.values()]
    for expected, measured in (
        (0.5, [d for d, _ in lost]),
        (0.2, [t for _, t in lost]),
        (0.1, [d and t for d, t in lost]),
    ):
        assert abs(sum(measured) / 2000 - expected) < 5 * (expected * (1 - expected) / 2000) ** 0.5
    assert all(one.prompt.conditions["lyrics"] == "la" for one in found.values())


def test_a_draw_depends_on_seed_and_id_alone():
    stage = DropConditions({"description": 0.5})
    records = [record(str(n)) for n in range(64)]
    first = run(stage, records)
    assert run(stage, records[::-1]) == first
    assert run(stage, records[5:9]) == {str(n): first[str(n)] for n in range(5, 9)}
    assert run(DropConditions({"description": 0.5, "text": 0.5}), records)["7"].prompt.conditions == (
        first["7"].prompt.conditions
    )
    other = run(stage, records, seed=1)
    assert [one.prompt for one in other.values()] != [one.prompt for one in first.values()]


def test_own_prompts_of_responses_lose_the_same():
    made = run(DropConditions({"lyrics": 1.0}), [record("a", context=Prompt(conditions=TOLD))])["a"]
    assert made.prompt.conditions == made.responses[1].context.conditions == {"description": "a waltz"}
    assert made.responses[0].context is None


def test_names_that_no_record_has():
    with pytest.raises(PrefalignError, match=r"unknown condition 'lyric'.*lyrics"):
        run(DropConditions({"lyric": 0.5}), [record("a")])
    assert run(DropConditions({"lyric": 0.5}), []) == {}


@pytest.mark.parametrize("wrong", [{}, {"lyrics": -0.1}, {"lyrics": 1.5}, {"lyrics": float("nan")}])
def test_probabilities_that_are_none(wrong):
    with pytest.raises(PrefalignError, match=r"probabilities in \[0, 1\]"):
        DropConditions(wrong)


def test_settings():
    assert DropConditions({"lyrics": 0.5}).settings() == {"probabilities": {"lyrics": 0.5}}
