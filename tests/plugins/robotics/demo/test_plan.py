"""Folders belong to one plan, and what people type is checked before anything is made."""

import dataclasses
import json

import pytest

from prefalign.interfaces import PrefalignError
from prefalign_robotics.demo import plan
from prefalign_robotics.demo.plan import QUICK, Plan, claim, parse_names, parse_pairs, parse_seeds, parse_shares


@pytest.fixture(autouse=True)
def some_tasks(monkeypatch):
    """Names are checked against Meta-World's; two stand for them here."""
    from prefalign.interfaces import unknown_name

    def check(task):
        if task not in ("window-open", "window-close"):
            raise unknown_name("Meta-World task", task, ("window-open", "window-close"))

    monkeypatch.setattr(plan, "check_task", check)


def test_a_folder_is_taken_up_by_the_same_plan_only(tmp_path):
    claim(tmp_path / "a", Plan())
    claim(tmp_path / "a", Plan())
    assert json.loads((tmp_path / "a" / "plan.json").read_text()) == dataclasses.asdict(Plan())
    with pytest.raises(PrefalignError, match=r"other settings \(episodes 160, .*choose another --out"):
        claim(tmp_path / "a", QUICK)


@pytest.mark.parametrize("text", ["", "[]", "{", "\udcff"])
def test_a_plan_that_cannot_be_read_is_refused(tmp_path, text):
    (tmp_path / "plan.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(PrefalignError, match=r"plan\.json.*choose another --out"):
        claim(tmp_path, Plan())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"episodes": 7}, "episodes of at least 8, got 7"),
        ({"rollouts": 0}, "rollouts of at least 1, got 0"),
        ({"blocks": 1, "block": 10, "pairs": 46}, "1 blocks of 10 windows have 45 pairs"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(change, message):
    with pytest.raises(PrefalignError, match=message):
        Plan(**change)


def test_pairs():
    assert parse_pairs("window-open:window-close, window-close:window-open,window-open:window-close") == [
        ("window-open", "window-close"),
        ("window-close", "window-open"),
    ]
    for text in ("window-open", "window-open:", "", "window-open:window-close,"):
        with pytest.raises(PrefalignError, match="expected source:target"):
            parse_pairs(text)
    with pytest.raises(PrefalignError, match="unknown Meta-World task 'window-opne'; did you mean 'window-open'"):
        parse_pairs("window-opne:window-close")
    with pytest.raises(PrefalignError, match="cannot be source and target at once"):
        parse_pairs("window-open:window-open")


def test_seeds():
    assert parse_seeds("3, 0,3") == [3, 0]
    for text in ("", "1,", "-1", "1.5", "one", "²"):
        with pytest.raises(PrefalignError, match="--seeds: expected whole numbers"):
            parse_seeds(text)


def test_shares():
    assert parse_shares("") == []
    assert parse_shares("0, 0.35") == [0.0, 0.35]
    for text in ("0.5", "-0.1", "nan", "a fifth"):
        with pytest.raises(PrefalignError, match=r"--label-noise: expected shares from 0 up and below 0\.5"):
            parse_shares(text)


def test_names():
    assert parse_names("b,a, b", "arm", {"a": 1, "b": 2}) == ["b", "a"]
    with pytest.raises(PrefalignError, match="unknown arm 'scoerd'; did you mean 'scored'"):
        parse_names("scoerd", "arm", ["scored"])
