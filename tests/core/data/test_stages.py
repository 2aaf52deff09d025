"""Candidates, scores and pairs: hand-derived outcomes, counts of what was left out, and the same bytes after a stop."""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from prefalign.data.build import build, run_stages
from prefalign.data.sources import iterate, open_records
from prefalign.data.stages import AllLabelPairs, BestWorst, GroupRewards, Sample, Score, desirable, identity
from prefalign.data.store import write_records
from prefalign.interfaces import (
    Batch,
    Group,
    Pair,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    Ranking,
    RecordError,
    Relations,
    Response,
    Reward,
    RewardOutput,
    Stage,
    StageReport,
    Unary,
)
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.policies.token import TokenPolicy
from prefalign.testing.denoisers import SmallDenoiser
from prefalign.testing.tiny import LLAMA, save_tokenizer


class Letters:
    """Stands for a policy: answers with letters of the given generator, as many as `steps` says."""

    def __init__(self) -> None:
        self.calls: list[tuple[str | None, int, dict[str, Any]]] = []

    def sample(
        self, prompts: Sequence[Prompt], n: int = 1, *, generator: torch.Generator, **options: Any
    ) -> list[list[Response]]:
        answers = []
        for prompt in prompts:
            self.calls.append((prompt.text, n, options))
            drawn = torch.randint(97, 123, (n, options.get("steps", 3)), generator=generator).tolist()
            answers.append([Response(text="".join(map(chr, row)), source="letters") for row in drawn])
        return answers


class LetterCodec:
    def encode(self, record: PreferenceRecord) -> PreferenceRecord:
        return record

    def collate(self, examples: Sequence[PreferenceRecord], needs: frozenset[str] = frozenset()) -> Batch:
        texts = [f"{r.context(i).text}:{r.responses[i].text}" for r in examples for i in range(len(r.responses))]
        return Batch(inputs={"texts": texts}, relations=Relations.from_records(examples), keys=texts)

    def fingerprint(self) -> str:
        return "letters"


class Counting(Reward):
    """Two criteria: how often `a` stands in prompt and answer, times a weight, and minus that. `?` is not judged."""

    criteria = ("plain", "inverse")

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.codec = LetterCodec()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.dropout = nn.Dropout()
        self.configured = 0
        self.modes: list[tuple[bool, bool]] = []

    def configure_model(self) -> None:
        self.configured += 1

    def forward(self, batch: Batch) -> RewardOutput:
        self.modes.append((self.training, torch.is_grad_enabled()))
        texts: Any = batch.inputs["texts"]
        counts: Tensor = self.weight * torch.tensor([float(text.count("a")) for text in texts])
        return RewardOutput(
            mean=torch.stack([counts, -counts], 1), valid=torch.tensor(["?" not in text for text in texts])
        )


def record(*texts: str, scores: Sequence[float | None] = (), **fields: Any) -> PreferenceRecord:
    """Candidates with scores `s`."""
    numbers = [*scores, *[None] * (len(texts) - len(scores))]
    responses = tuple(
        Response(text=t, scores={} if s is None else {"s": s}) for t, s in zip(texts, numbers, strict=True)
    )
    given: dict[str, Any] = {"id": "r", "prompt": Prompt(text="p"), "verdict": Ranking((0,) * len(texts))}
    return PreferenceRecord(responses=responses, **given | fields)


def ran(stage: Stage, *records: PreferenceRecord, seed: int = 0) -> tuple[list[PreferenceRecord], StageReport]:
    report = StageReport()
    return list(run_stages(records, [stage], seed, [report])), report


def texts(found: Sequence[PreferenceRecord]) -> list[tuple[str | None, ...]]:
    return [tuple(response.text for response in item.responses) for item in found]


def test_sampling_depends_on_seed_and_id_and_not_on_the_place_in_the_stream() -> None:
    first, second = record("-", id="a"), record("-", id="b")
    stage: Any = Sample(Letters(), n=4)
    both, report = ran(stage, first, second)
    alone, _ = ran(stage, second)
    assert both[1] == alone[0]
    assert texts(both)[0] != texts(both)[1]
    assert ran(stage, first, seed=1)[0] != both[:1]
    assert (report.seen, report.made, report.dropped) == (2, 2, {})
    assert both[0].verdict == Ranking((0, 0, 0, 0))
    assert {response.source for response in both[0].responses} == {"letters"}


def test_a_sweep_takes_every_combination_and_says_which() -> None:
    """2 step counts × 2 guidances × 2 draws; the third option is the same for all."""
    policy: Any = Letters()
    stage = Sample(policy, n=2, sweep={"steps": [1, 5], "guidance": [1.0, 3.0]}, options={"eta": 0})
    (found,), _ = ran(stage, record("-"))
    assert [len(response.text or "") for response in found.responses] == [1, 1, 1, 1, 5, 5, 5, 5]
    assert [response.source for response in found.responses[::2]] == [
        f"letters steps={steps} guidance={guidance}" for steps in (1, 5) for guidance in (1.0, 3.0)
    ]
    assert policy.calls == [
        ("p", 2, {"eta": 0, "steps": steps, "guidance": guidance}) for steps in (1, 5) for guidance in (1.0, 3.0)
    ]
    assert found.responses[4].text != found.responses[6].text


def test_sampling_forgets_verdicts_over_the_old_responses() -> None:
    old = record("x", "y", verdict=Pair(), criteria={"s": Group((1.0, 2.0))}, weight=0.5)
    (found,), _ = ran(Sample(Letters(), n=3), old)
    assert (len(found.responses), found.criteria, found.weight) == (3, {}, 0.5)


def test_a_denoiser_is_sampled_with_its_own_options() -> None:
    """Real policies: the same latents for the same record wherever it stands, others after another number of steps."""
    policy = DenoisingPolicy(SmallDenoiser())
    stage = Sample(policy, n=2, sweep={"steps": [1, 4]}, options={"guidance": 1.5})
    found, _ = ran(stage, record("-", id="a"), record("-", id="b"))
    drawn = [[response.arrays["latents"] for response in item.responses] for item in found]
    assert [array.shape for array in drawn[0]] == [(3, 4)] * 4
    assert len({array.tobytes() for array in drawn[0] + drawn[1]}) == 8
    assert policy.denoiser.network.training
    (alone,), _ = ran(Sample(DenoisingPolicy(SmallDenoiser()), **stage_options(stage)), record("-", id="b"))
    assert alone == found[1]
    assert [response.source for response in alone.responses] == [
        f"SmallDenoiser steps={steps}" for steps in (1, 1, 4, 4)
    ]
    settings = stage.settings()["policy"]
    assert settings["class"] == "prefalign.policies.denoising.DenoisingPolicy"
    assert settings == identity(DenoisingPolicy(SmallDenoiser()))
    assert settings["weights"] != identity(DenoisingPolicy(SmallDenoiser(init_seed=1)))["weights"]


def stage_options(stage: Sample) -> dict[str, Any]:
    return {"n": stage.n, "sweep": stage.sweep, "options": stage.options}


def test_a_language_model_is_sampled(tmp_path: Path) -> None:
    policy = TokenPolicy(LLAMA, save_tokenizer(tmp_path))
    stage = Sample(policy, n=3, options={"max_new_tokens": 5})
    found, _ = ran(stage, record("-", id="a"), record("-", id="b"))
    assert ran(stage, record("-", id="b"))[0] == found[1:]
    assert len({response.text for item in found for response in item.responses}) > 3


def test_empty_candidates_are_left_out() -> None:
    class Silent(Letters):
        def sample(self, prompts: Sequence[Prompt], n: int = 1, **options: Any) -> list[list[Response]]:
            return [[Response(text=" "), Response(text="x" if prompt.text == "p" else "")] for prompt in prompts]

    stage: Any = Sample(Silent())
    found, report = ran(stage, record("-"), record("-", id="q", prompt=Prompt(text="q")))
    assert texts(found) == [("x",)]
    assert report.dropped == {"every candidate is empty": 1}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"n": 0}, "n of at least 1, got 0"),
        ({"sweep": {"steps": []}}, "the sweep over 'steps' has no values"),
        ({"sweep": {"steps": [1]}, "options": {"steps": 2}}, "'steps' is swept and fixed"),
    ],
)
def test_settings_of_sampling_that_make_no_sense(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(PrefalignError, match=problem):
        Sample(Letters(), **changes)


def test_a_reward_scores_without_gradients_and_in_evaluation_mode() -> None:
    """`aba` has two; the prompt `p` none. `a?` cannot be judged and gets no number rather than a low one."""
    reward = Counting()
    reward.train()
    reward.dropout.eval()
    (found,), report = ran(Score(reward, "count"), record("aba", "b", "a?", scores=[7.0]))
    assert [dict(response.scores) for response in found.responses] == [{"s": 7.0, "count": 2.0}, {"count": 0.0}, {}]
    assert reward.modes == [(False, False)]
    assert (reward.training, reward.dropout.training) == (True, False)
    assert reward.configured == 1
    assert (report.seen, report.made) == (1, 1)


def test_a_criterion_by_name() -> None:
    (found,), _ = ran(Score(Counting(2.0), "n", criterion="inverse"), record("aa"))
    assert found.responses[0].scores == {"n": -4.0}
    with pytest.raises(PrefalignError, match="unknown criterion 'invers'; did you mean 'inverse'"):
        Score(Counting(), "n", criterion="invers")
    with pytest.raises(PrefalignError, match="unknown against 'promt'; did you mean 'prompt'"):
        Score(Counting(), "n", against="promt")


def test_responses_to_other_prompts_are_judged_against_either() -> None:
    """The second answers the prompt `aaa`, which adds three; judged against the record's own `p`, it adds none."""
    mine, other = Response(text="a"), Response(text="a", context=Prompt(text="aaa"))
    given = dataclasses.replace(record("x", "y"), responses=(mine, other), verdict=Pair())
    (own,), _ = ran(Score(Counting(), "n"), given)
    assert [response.scores["n"] for response in own.responses] == [1.0, 4.0]
    (shared,), _ = ran(Score(Counting(), "n", against="prompt"), given)
    assert [response.scores["n"] for response in shared.responses] == [1.0, 1.0]
    assert shared.responses[1].context == other.context
    assert shared.verdict == Pair()


def lengths(given: PreferenceRecord) -> list[float | None]:
    return [None if response.text == "?" else float(len(response.text or "")) for response in given.responses]


def test_a_program_scores() -> None:
    (found,), _ = ran(Score(lengths, "n"), record("abc", "?"))
    assert [dict(response.scores) for response in found.responses] == [{"n": 3.0}, {}]
    assert Score(lengths, "n").settings() == {
        "judge": {"class": f"{__name__}.lengths"},
        "name": "n",
        "criterion": None,
        "against": "context",
    }


def test_a_judge_that_miscounts_or_overflows_is_named() -> None:
    with pytest.raises(RecordError, match="record 'r', field 'responses': the judge 'n' gave 1 scores for 2 responses"):
        ran(Score(lambda given: [1.0], "n"), record("a", "b"))
    with pytest.raises(RecordError, match=r"record 'r'.*the judge 'n'.*expected a finite number, got nan"):
        ran(Score(lambda given: [math.nan], "n"), record("a"))


def test_best_and_worst() -> None:
    """0.9 against 0.2; the candidate without a score is passed over; of the two with 0.2 the first counts."""
    given = record("a", "b", "c", "d", "e", scores=[0.5, 0.2, None, 0.9, 0.2], criteria={"s": Group((0.0,) * 5)})
    found, report = ran(BestWorst("s"), given)
    assert texts(found) == [("d", "b")]
    assert (found[0].id, found[0].verdict, found[0].criteria, found[0].margin) == ("r", Pair(), {}, None)
    assert [response.scores["s"] for response in found[0].responses] == [0.9, 0.2]
    assert report.dropped == {}


def test_the_best_against_all_others() -> None:
    """Of the gaps 0.4, 0.7 and 0 (a second 0.9) the last is none."""
    found, report = ran(BestWorst("s", losers="all"), record("a", "b", "c", "d", scores=[0.5, 0.2, 0.9, 0.9]))
    assert texts(found) == [("c", "a"), ("c", "b")]
    assert [item.id for item in found] == ["r/0", "r/1"]
    assert report.dropped == {"the winner is not ahead by more than 0.0": 1}


def test_gap_and_floor_are_strict() -> None:
    """HeartMuLa's limits: a gap above 0.12 and a winner above 0.3."""
    stage = BestWorst("s", min_gap=0.125, min_winner=0.3)
    given = {"wide": [0.5, 0.25], "edge": [0.375, 0.25], "low": [0.3, 0.0], "one": [0.9]}
    found, report = ran(stage, *(record("a", "b", scores=s, id=name) for name, s in given.items()))
    assert [item.id for item in found] == ["wide"]
    assert report.dropped == {
        "the winner is not ahead by more than 0.125": 1,
        "no candidate scores more than 0.3": 1,
        "fewer than two candidates have a score 's'": 1,
    }


def test_identical_candidates_are_no_pair() -> None:
    found, report = ran(BestWorst("s"), record("a", "a", scores=[1.0, 0.0]))
    assert (found, report.dropped) == ([], {"winner and loser are identical": 1})
    with pytest.raises(PrefalignError, match="min_gap of at least 0, got -1"):
        BestWorst("s", min_gap=-1)
    with pytest.raises(PrefalignError, match="unknown losers 'al'; did you mean 'all'"):
        BestWorst("s", losers="al")


def test_every_pair_of_labels() -> None:
    """Two desirable times two undesirable, less the pair of the same text."""
    given = record("a", "b", "c", "a", verdict=Unary((True, False, True, False)))
    found, report = ran(AllLabelPairs(), given)
    assert texts(found) == [("a", "b"), ("c", "b"), ("c", "a")]
    assert [item.id for item in found] == ["r/0-1", "r/2-1", "r/2-3"]
    assert report.dropped == {"winner and loser are identical": 1}


def test_numbers_become_labels_by_a_threshold() -> None:
    given = record("a", "b", "c", verdict=Group((0.5, 0.75, 0.25)))
    assert desirable(given) is None
    assert desirable(given, 0.5) == (False, True, False)
    assert texts(ran(AllLabelPairs(0.5), given)[0]) == [("b", "a"), ("b", "c")]
    assert ran(AllLabelPairs(), given)[1].dropped == {"the responses have no labels": 1}
    assert ran(AllLabelPairs(0.1), given)[1].dropped == {"all labels agree": 1}


def test_scores_become_rewards() -> None:
    found, report = ran(GroupRewards("s"), record("a", "b", "c", scores=[0.5, None, 0.25]), record("d", id="q"))
    assert texts(found) == [("a", "c")]
    assert found[0].verdict == Group((0.5, 0.25))
    assert report.dropped == {"no candidate has a score 's'": 1}


def test_other_weights_are_another_identity() -> None:
    same, other = identity(Counting()), identity(Counting(2.0))
    assert same == identity(Counting())
    assert same["encoding"] == "letters"
    assert same["weights"] != other["weights"]
    assert identity(Letters())["class"] == f"{__name__}.Letters"


def content(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_chain_goes_on_with_the_same_bytes(tmp_path: Path) -> None:
    class Failing(Letters):
        left = 7

        def sample(self, prompts: Sequence[Prompt], n: int = 1, **options: Any) -> list[list[Response]]:
            self.left -= 1
            if self.left == 0:
                raise RuntimeError("out of memory")
            return super().sample(prompts, n, **options)

    write_records([record("-", id=f"r{i}", prompt=Prompt(text=f"p{i}")) for i in range(10)], tmp_path / "in.jsonl")
    source = open_records(tmp_path / "in.jsonl")

    def chain(policy: Any, weight: float = 1.0) -> list[Stage]:
        return [Sample(policy, n=5, options={"steps": 9}), Score(Counting(weight), "n"), BestWorst("n", min_gap=1)]

    policy = Failing()
    manifest = build(source, chain(type("Failing", (Letters,), {"__module__": __name__})()), tmp_path / "a", seed=3)
    with pytest.raises(RuntimeError):
        build(source, chain(policy), tmp_path / "b", seed=3, shard_size=3)
    build(source, chain(policy), tmp_path / "b", seed=3, shard_size=3)
    policy.left = 0
    build(source, chain(policy), tmp_path / "c", seed=3, shard_size=3)
    assert content(tmp_path / "b") == content(tmp_path / "c")
    made = list(iterate(open_records(tmp_path / "b")))
    assert made == list(iterate(open_records(tmp_path / "a")))
    sampled, scored, related = manifest["stages"]
    assert [stage["made"] for stage in (sampled, scored, related)] == [10, 10, len(made)]
    assert related["dropped"] == {"the winner is not ahead by more than 1": 10 - len(made)}
    assert 0 < len(made) < 10
    with pytest.raises(PrefalignError, match=r"another plan: stages\[1\]\.settings\.judge\.weights was "):
        build(source, chain(policy, 2.0), tmp_path / "b", seed=3, shard_size=3)
