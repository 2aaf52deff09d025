"""Tango 2's and CRPO's chains from captions to pairs, under the runner: hand-derived pairs, counts, and resuming."""

import hashlib
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from prefalign.data.build import build, run_stages
from prefalign.data.sources import iterate, open_records
from prefalign.data.stages import BestWorst, Sample, Score
from prefalign.data.store import write_records
from prefalign.interfaces import Media, Pair, PreferenceRecord, Prompt, RecordError, Response, Stage, Unary
from prefalign_audio.builders.candidates import SampleCaptions
from prefalign_audio.builders.judges import TwoJudges, WinnerOfCaption
from prefalign_audio.captions.stages import PerturbCaption


class Player:
    """Stands for a policy: the sound of a prompt is its text, the number of steps and a random number below 10⁶."""

    delay = 0.0

    def sample(
        self, prompts: Sequence[Prompt], n: int = 1, *, generator: torch.Generator, steps: int = 50, **options: Any
    ) -> list[list[Response]]:
        time.sleep(self.delay)
        drawn = torch.randint(10**6, (len(prompts), n), generator=generator).tolist()
        return [
            [
                Response(media=(Media(kind="audio", data=f"{prompt.text}#{steps}#{number}".encode()),), source="player")
                for number in row
            ]
            for prompt, row in zip(prompts, drawn, strict=True)
        ]


def parts(response: Response) -> tuple[str, int, int]:
    """The text, the steps and the number that a sound was made of."""
    text, steps, number = (response.media[0].data or b"").decode().split("#")
    return text, int(steps), int(number)


#: Scores by number of steps, of the first judge and of the second.
BY_STEPS = {5: (0.42, 0.10), 25: (0.50, 0.50), 50: (0.60, 0.62), 100: (0.66, 0.65)}


def first_by_steps(record: PreferenceRecord) -> list[float]:
    """A faint sound scores half."""
    return [BY_STEPS[parts(r)[1]][0] * (0.5 if "faint" in parts(r)[0] else 1) for r in record.responses]


def second_by_steps(record: PreferenceRecord) -> list[float]:
    return [BY_STEPS[parts(response)[1]][1] for response in record.responses]


def likeness(record: PreferenceRecord) -> list[float]:
    """0.7 for a sound of the very caption that counts, else 0.5."""
    return [0.7 if parts(r)[0] == record.context(i).text else 0.5 for i, r in enumerate(record.responses)]


def loudness(record: PreferenceRecord) -> list[float]:
    return [parts(response)[2] / 10**6 for response in record.responses]


def prompts(folder: Path, captions: Sequence[str]) -> Any:
    records = [
        PreferenceRecord(id=f"c{i}", prompt=Prompt(text=text), responses=(Response(text="-"),), verdict=Unary((True,)))
        for i, text in enumerate(captions)
    ]
    write_records(records, folder / "captions.jsonl")
    return open_records(folder / "captions.jsonl")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREFALIGN_CACHE", str(tmp_path / "cache"))


def by_steps(policy: Any) -> list[Stage]:
    return [
        Sample(policy, sweep={"steps": list(BY_STEPS)}, options={"guidance": 3.0}),
        Score(first_by_steps, "first"),
        Score(second_by_steps, "second"),
        BestWorst("first", losers="all"),
        TwoJudges(("first", "second")),
    ]


def test_one_caption_at_several_step_counts(tmp_path: Path) -> None:
    """100 steps win with 0.66 and 0.65. Against 5 (0.24 and 0.55 ahead) and 25 (0.16 and 0.15) they pass; against 50
    the second judge sees 0.03. The faint sound scores 0.33, below 0.45, against all three.
    """
    manifest = build(prompts(tmp_path, ["bird then bell", "a faint hum"]), by_steps(Player()), tmp_path / "out", seed=5)
    made = list(iterate(open_records(tmp_path / "out")))
    assert [(r.id, [parts(response)[:2] for response in r.responses]) for r in made] == [
        ("c0/0", [("bird then bell", 100), ("bird then bell", 5)]),
        ("c0/1", [("bird then bell", 100), ("bird then bell", 25)]),
    ]
    assert [response.source for response in made[0].responses] == ["player steps=100", "player steps=5"]
    assert made[0].responses[0].scores == {"first": 0.66, "second": 0.65}
    assert {record.verdict for record in made} == {Pair()}
    sampled, _, _, related, agreed = manifest["stages"]
    assert (sampled["seen"], sampled["made"], related["made"], agreed["made"]) == (2, 2, 6, 2)
    assert sampled["settings"]["sweep"] == {"steps": [5, 25, 50, 100]}
    assert sampled["settings"]["options"] == {"guidance": 3.0}
    assert agreed["dropped"] == {
        "first: the winner scores below 0.45": 3,
        "second: the gap is outside [0.08, 0.7]": 1,
    }
    assert agreed["settings"]["gap"] == [[0.05, 0.35], [0.08, 0.70]]


def by_caption(policy: Any) -> list[Stage]:
    return [
        PerturbCaption(("swap",)),
        SampleCaptions(policy, n=2),
        Score(likeness, "first", against="prompt"),
        WinnerOfCaption("first"),
    ]


def test_a_caption_and_its_perturbed_one(tmp_path: Path) -> None:
    """Two sounds of either caption, all judged against the true one: 0.7 beats 0.5 in each of the four pairs."""
    source = prompts(tmp_path, ["bird then bell", "bird and bell", "a hum"])
    manifest = build(source, by_caption(Player()), tmp_path / "out", seed=5)
    made = list(iterate(open_records(tmp_path / "out")))
    assert [r.id for r in made] == [f"c0/swap/{winner}-{loser}" for winner in (0, 1) for loser in (2, 3)]
    for record in made:
        assert record.prompt.text == "bird then bell"
        assert [parts(response)[0] for response in record.responses] == ["bird then bell", "bell then bird"]
        assert [response.context for response in record.responses] == [None, None]
        assert [response.scores["first"] for response in record.responses] == [0.7, 0.5]
        assert record.provenance == {"perturbed_caption": "bell then bird", "perturbation": "swap"}
    assert manifest["stages"][0]["dropped"] == {
        "swap: the caption states no order of two different events": 1,
        "the caption cannot be taken apart into events": 1,
    }
    assert [stage["made"] for stage in manifest["stages"]] == [1, 1, 1, 4]


def test_candidates_keep_what_they_were_made_for(tmp_path: Path) -> None:
    """Against its own context each sound would be perfect, so that no pair is left: hence `against="prompt"`."""
    source = prompts(tmp_path, ["bird then bell"])
    chain = by_caption(Player())
    (found,) = run_stages(iterate(source), chain[:2], seed=5)
    assert [response.context for response in found.responses] == [None, None, *[Prompt(text="bell then bird")] * 2]
    own = [*chain[:2], Score(likeness, "first"), chain[3]]
    assert list(run_stages(iterate(source), own, seed=5)) == []
    with pytest.raises(RecordError, match=r"record 'c0', field 'provenance.perturbed_caption'.*PerturbCaption"):
        list(run_stages(iterate(source), chain[1:2], seed=5))


def crpo(policy: Any) -> list[Stage]:
    return [Sample(policy, n=5), Score(loudness, "loud"), BestWorst("loud")]


def test_best_and_worst_of_five(tmp_path: Path) -> None:
    """The loudest of a caption's five against the faintest, whatever else is in the stream."""
    source = prompts(tmp_path, [f"bird then bell {i}" for i in range(4)])
    made = list(run_stages(iterate(source), crpo(Player()), seed=5))
    drawn = list(run_stages(iterate(source), crpo(Player())[:1], seed=5))
    for record, candidates in zip(made, drawn, strict=True):
        numbers = sorted(parts(response)[2] for response in candidates.responses)
        assert [parts(response)[2] for response in record.responses] == [numbers[-1], numbers[0]]
    assert list(run_stages([source[3]], crpo(Player()), seed=5)) == made[3:]


def content(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_killed_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """Killed without warning after the second shard at the earliest, then started again."""
    source = prompts(tmp_path, [f"bird, bell {i} and then a gun" for i in range(24)])

    def run(output: str, delay: float) -> None:
        policy = Player()
        policy.delay = delay
        build(source, by_caption(policy), tmp_path / output, seed=3, shard_size=3)

    run("whole", 0)
    running = multiprocessing.get_context("fork").Process(target=run, args=("out", 0.03))
    running.start()
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "out").glob("progress/*.json"))) < 2:
        assert time.monotonic() < deadline
        assert running.is_alive()
        time.sleep(0.005)
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    running.join()
    assert not (tmp_path / "out" / "manifest.json").exists()
    run("out", 0)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert len(open_records(tmp_path / "out")) == 24 * 4
