"""Many people's verdicts: votes, shares, and records made of them."""

import dataclasses
import json

import pytest

from prefalign.interfaces import Pair, PrefalignError, RecordError
from prefalign_mesh3d.pairs.human_pairs import HumanPairs
from prefalign_mesh3d.pairs.human_verdicts import HumanVerdicts

TABLE = """record,a,b,verdict,annotator
r,0,1,a,ann
r,1,0,a,bob
r,1,0,b,cid
r,2,0,tie,ann
r,1,2,neither,ann
s,0,1,b,ann
"""


@pytest.fixture
def people(tmp_path):
    """The verdicts of the table above, or of other lines."""

    def people(text=TABLE):
        path = tmp_path / "people.csv"
        path.write_text(text)
        return HumanVerdicts.read(path)

    return people


def test_votes_become_a_probability_whichever_way_round_they_were_asked(candidates, ran, people):
    """0 against 1: ann and cid say 0, bob says 1, so 2/3. 0 against 2 is a tie, 1 against 2 is dropped."""
    record = candidates({}, {}, {}, annotator="old")
    found, dropped = ran(HumanPairs(people()), record, candidates({}, {}, id="s"), candidates({}, {}, id="t"))
    assert [(pair.id, pair.verdict, pair.annotator) for pair in found] == [
        ("r/0-1", Pair(probability=2 / 3), "old"),
        ("s/1-0", Pair(), "ann"),
    ]
    assert found[0].responses == record.responses[:2]
    assert dropped == {
        "people are undecided": 1,
        "people found neither good enough": 1,
        "no person judged the record": 1,
    }


def test_ties_can_be_kept(candidates, ran, people):
    found, _ = ran(HumanPairs(people(), keep_ties=True), candidates({}, {}, {}))
    assert [(pair.id, pair.verdict) for pair in found] == [
        ("r/0-1", Pair(probability=2 / 3)),
        ("r/0-2", Pair(probability=0.5, tie=True)),
    ]


def test_two_against_two_is_a_tie(candidates, ran, people):
    text = "record,a,b,verdict\n" + "r,0,1,a\n" * 2 + "r,0,1,b\n" * 2
    assert ran(HumanPairs(people(text)), candidates({}, {})) == ([], {"people are undecided": 1})


def test_identical_candidates_are_no_pair(candidates, ran, people):
    record = candidates({}, {}, id="s")
    record = dataclasses.replace(record, responses=(record.responses[0],) * 2)
    assert ran(HumanPairs(people(), keep_ties=True), record) == ([], {"both candidates are identical": 1})


def test_nobody_judges_a_pair_twice(people):
    """Also the other way round; people without names may be many."""
    with pytest.raises(
        RecordError, match=r"line 3, record 'r', field 'annotator': 'ann' has judged .*\(people.csv, line 2\)"
    ):
        people("record,a,b,verdict,annotator\nr,0,1,a,ann\nr,1,0,a,ann\n")
    people("record,a,b,verdict,annotator\nr,0,1,a,\nr,1,0,a,\nr,0,1,a,ann\nr,0,2,a,ann\n")


def test_verdicts_about_records_that_are_not_there(people):
    people().check(["r", "s", "t"])
    with pytest.raises(PrefalignError, match=r"people.csv, line 7: unknown record 's'; known: r, table"):
        people().check(["r", "table"])
    with pytest.raises(PrefalignError, match="line 2: unknown record 'chair-1'; did you mean 'chair-01'"):
        people("record,a,b,verdict\nchair-1,0,1,a\n").check(["chair-01", "bed-02"])
    with pytest.raises(PrefalignError, match=r"unknown record 's'; known: 100, 101, 102, 103, 104$"):
        people("record,a,b,verdict\ns,0,1,a\n").check(map(str, range(100, 1000)))


@pytest.mark.parametrize(("a", "b", "field"), [(0, 2, "b"), (2, 0, "a")])
def test_verdicts_about_responses_that_are_not_there(candidates, ran, people, a, b, field):
    stage = HumanPairs(people(f"record,a,b,verdict\nr,{a},{b},tie\n"))
    with pytest.raises(RecordError, match=f"people.csv, line 2, record 'r', field '{field}': there is no response 2"):
        ran(stage, candidates({}, {}))


def test_settings_tell_files_apart(people):
    first = HumanPairs(people()).settings()
    assert json.loads(json.dumps(first)) == first
    assert (first["verdicts"]["name"], first["verdicts"]["verdicts"]) == ("people.csv", 6)
    assert HumanPairs(people()).settings() == first
    assert HumanPairs(people(TABLE.replace("tie", "a"))).settings() != first
