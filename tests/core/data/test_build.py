"""The builder's runner: resumable, and the same bytes whatever interrupted it."""

import dataclasses
import hashlib
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefalign.data.build import build, derive_seed, records_hash, run_stages
from prefalign.data.sources import iterate, open_records
from prefalign.data.store import write_records
from prefalign.interfaces.builder import Stage, StageReport
from prefalign.interfaces.errors import PrefalignError, RecordError
from prefalign.interfaces.record import Media, PreferenceRecord, Prompt, Response
from prefalign.interfaces.verdict import Group, Pair


class Sampled(Stage):
    """Two answers for each input, of random length, seeded by the record's id."""

    def __init__(self, longest: int = 9) -> None:
        self.longest = longest
        self.started: list[str] = []

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        for record in records:
            self.started.append(record.id)
            rng = random.Random(derive_seed(seed, record.id))
            texts = ["x" * rng.randint(1, self.longest) for _ in range(2)]
            answers = tuple(Response(text=text, source=f"draw {i}") for i, text in enumerate(texts))
            verdict = Group(tuple(float(len(text)) for text in texts))
            yield dataclasses.replace(record, responses=answers, verdict=verdict)

    def settings(self) -> dict[str, Any]:
        return {"longest": self.longest}


class Related(Stage):
    """The longer answer is chosen; equal ones are dropped."""

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        for record in records:
            assert isinstance(record.verdict, Group)
            first, second = record.verdict.rewards
            if first == second:
                report.drop("equal lengths")
                continue
            chosen = 0 if first > second else 1
            yield dataclasses.replace(record, verdict=Pair(chosen, 1 - chosen))

    def settings(self) -> dict[str, Any]:
        return {}


def inputs(folder: Path, count: int = 10, **changes: Any) -> Any:
    folder.mkdir(exist_ok=True)
    values: dict[str, Any] = {"responses": (Response(text="-"),), "verdict": Group((0.0,)), "prompt": Prompt(text="p")}
    records = [PreferenceRecord(id=f"r{i}", **values | changes) for i in range(count)]
    write_records(records, folder / "prompts.jsonl")
    return open_records(folder / "prompts.jsonl")


def content(folder: Path) -> dict[str, str]:
    """Hash of every file of a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_chain_and_its_manifest(tmp_path: Path) -> None:
    source = inputs(tmp_path / "in")
    manifest = build(source, [Sampled(3), Related()], tmp_path / "out", seed=1, shard_size=4)
    made = list(iterate(open_records(tmp_path / "out")))
    expected = list(run_stages(iterate(source), [Sampled(3), Related()], seed=1))
    assert made == expected
    assert 0 < len(made) < 10

    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    assert (manifest["seed"], manifest["shard_size"], manifest["media"]) == (1, 4, "copy")
    assert manifest["inputs"] == {"name": "prompts.jsonl", "records": 10, "sha256": records_hash(source)}
    assert {"python", "prefalign", "numpy", "pyarrow"} <= manifest["versions"].keys()
    sampled, related = manifest["stages"]
    assert sampled["class"].endswith(".Sampled")
    assert sampled["settings"] == {"longest": 3}
    assert (sampled["seen"], sampled["made"], sampled["dropped"]) == (10, 10, {})
    assert (related["seen"], related["made"]) == (10, len(made))
    assert related["dropped"] == {"equal lengths": 10 - len(made)}
    files = content(tmp_path / "out")
    assert set(files) == {"manifest.json", *(f"part-0000{i}.parquet" for i in range(3))}
    assert {shard["file"]: shard["sha256"] for shard in manifest["outputs"]} == {
        name: digest for name, digest in files.items() if name != "manifest.json"
    }
    assert sum(shard["records"] for shard in manifest["outputs"]) == len(made)


def test_a_set_is_rebuilt_bit_for_bit_from_its_manifest(tmp_path: Path) -> None:
    """Inputs of another name and container, same content: the manifest's hashes come out again."""
    first = build(inputs(tmp_path / "in"), [Sampled(3), Related()], tmp_path / "out", seed=1, shard_size=4)
    write_records(iterate(inputs(tmp_path / "in")), tmp_path / "prompts.parquet")
    again = build(
        open_records(tmp_path / "prompts.parquet"),
        [Sampled(**first["stages"][0]["settings"]), Related()],
        tmp_path / "again",
        seed=first["seed"],
        shard_size=first["shard_size"],
    )
    assert again["outputs"] == first["outputs"]
    assert again["inputs"]["sha256"] == first["inputs"]["sha256"]
    other = build(inputs(tmp_path / "in"), [Sampled(3), Related()], tmp_path / "other", seed=2, shard_size=4)
    assert other["outputs"] != first["outputs"]


class Interrupted(RuntimeError):
    pass


class Failing(Sampled):
    """Fails at one record, once."""

    def __init__(self, at: str) -> None:
        super().__init__(3)
        self.at = at

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        for record in super().__call__(records, seed, report):
            if record.id == self.at:
                self.at = ""
                raise Interrupted
            yield record


def test_a_run_that_failed_goes_on_with_the_shard_it_failed_in(tmp_path: Path) -> None:
    source = inputs(tmp_path / "in")
    build(source, [Failing(""), Related()], tmp_path / "whole", seed=1, shard_size=4)
    stage = Failing("r6")
    with pytest.raises(Interrupted):
        build(source, [stage, Related()], tmp_path / "out", seed=1, shard_size=4)
    assert sorted(content(tmp_path / "out")) == ["part-00000.parquet", "plan.json", "progress/part-00000.json"]
    stage.started.clear()
    build(source, [stage, Related()], tmp_path / "out", seed=1, shard_size=4)
    assert stage.started == ["r4", "r5", "r6", "r7", "r8", "r9"]
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_damaged_shard_of_an_unfinished_run_is_made_again(tmp_path: Path) -> None:
    source = inputs(tmp_path / "in")
    build(source, [Failing(""), Related()], tmp_path / "whole", seed=1, shard_size=4)
    stage = Failing("r9")
    with pytest.raises(Interrupted):
        build(source, [stage, Related()], tmp_path / "out", seed=1, shard_size=4)
    (tmp_path / "out" / "part-00001.parquet").write_bytes(b"damaged")
    (tmp_path / "out" / "part-00000.parquet").unlink()
    build(source, [stage, Related()], tmp_path / "out", seed=1, shard_size=4)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_finished_run_is_not_repeated(tmp_path: Path) -> None:
    source = inputs(tmp_path / "in")
    first = build(source, [Sampled()], tmp_path / "out", seed=1)
    stage = Sampled()
    assert build(source, [stage], tmp_path / "out", seed=1) == first
    assert stage.started == []


class Slow(Sampled):
    """Waits for a while (s) after every record, which is no setting, since it changes nothing."""

    def __init__(self, delay: float) -> None:
        super().__init__(5)
        self.delay = delay

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        for record in super().__call__(records, seed, report):
            time.sleep(self.delay)
            yield record


def test_a_killed_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """Killed without warning after the second shard at the earliest, then started again."""
    source = inputs(tmp_path / "in", 30)

    def run(output: str, delay: float) -> None:
        build(source, [Slow(delay), Related()], tmp_path / output, seed=3, shard_size=3)

    run("whole", 0)
    running = multiprocessing.get_context("fork").Process(target=run, args=("out", 0.1))
    running.start()
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "out").glob("progress/*.json"))) < 2:
        assert time.monotonic() < deadline
        assert running.is_alive()
        time.sleep(0.01)
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    running.join()
    assert not (tmp_path / "out" / "manifest.json").exists()
    run("out", 0)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"seed": 2}, r"seed was 1, is 2"),
        ({"stages": [Sampled(4), Related()]}, r"stages\[0\]\.settings\.longest was 3, is 4"),
        ({"stages": [Sampled(3)]}, r"stages was "),
        ({"shard_size": 5}, r"shard_size was 4, is 5"),
        ({"media": "embed"}, r'media was "copy", is "embed"'),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_another_plan_is_refused(tmp_path: Path, changes: dict[str, Any], problem: str, finished: bool) -> None:
    source = inputs(tmp_path / "in")
    plan: dict[str, Any] = {"stages": [Sampled(3), Related()], "seed": 1, "shard_size": 4}
    build(source, output=tmp_path / "out", **plan)
    if not finished:
        (tmp_path / "out" / "manifest.json").rename(tmp_path / "out" / "plan.json")
    before = content(tmp_path / "out")
    with pytest.raises(PrefalignError, match=f"holds a run of another plan: {problem}.*choose another folder"):
        build(source, output=tmp_path / "out", **plan | changes)
    assert content(tmp_path / "out") == before


def test_changed_inputs_are_refused(tmp_path: Path) -> None:
    build(inputs(tmp_path / "in"), [Sampled()], tmp_path / "out", seed=1)
    with pytest.raises(PrefalignError, match=r"inputs\.sha256 was "):
        build(inputs(tmp_path / "in", weight=2.0), [Sampled()], tmp_path / "out", seed=1)


def test_a_folder_of_other_data_is_left_alone(tmp_path: Path) -> None:
    source = inputs(tmp_path / "in")
    write_records(iterate(source), tmp_path / "out.parquet")
    before = content(tmp_path)
    with pytest.raises(PrefalignError, match=r"holds Parquet files and no manifest\.json"):
        build(source, [Sampled()], tmp_path, seed=1)
    assert content(tmp_path) == before


class Repeating(Stage):
    """Gives every record the same id."""

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        return (dataclasses.replace(record, id="same") for record in records)

    def settings(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("shard_size", [1, 64])
def test_an_id_made_twice_is_refused(tmp_path: Path, shard_size: int) -> None:
    with pytest.raises(RecordError, match="record 'same', field 'id': a record of this id was made already"):
        build(inputs(tmp_path / "in", 2), [Repeating()], tmp_path / "out", seed=1, shard_size=shard_size)


def test_an_id_made_before_a_restart_counts(tmp_path: Path) -> None:
    class Once(Repeating):
        failed = False

        def __call__(
            self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
        ) -> Iterator[PreferenceRecord]:
            for record in super().__call__(records, seed, report):
                if (tmp_path / "out" / "part-00000.parquet").exists() and not self.failed:
                    self.failed = True
                    raise Interrupted
                yield record

    stage = Once()
    source = inputs(tmp_path / "in", 2)
    with pytest.raises(Interrupted):
        build(source, [stage], tmp_path / "out", seed=1, shard_size=1)
    with pytest.raises(RecordError, match="a record of this id was made already"):
        build(source, [stage], tmp_path / "out", seed=1, shard_size=1)


def test_media_travel_with_the_set_and_count_as_inputs(tmp_path: Path, png: Callable[..., bytes]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(png())
    prompt = Prompt(text="p", media=(Media(kind="image", path="a.png"),))
    source = inputs(tmp_path / "in", prompt=prompt)
    first = build(source, [Sampled()], tmp_path / "out", seed=1)
    (tmp_path / "out").rename(tmp_path / "moved")
    record = open_records(tmp_path / "moved")[0]
    assert Path(record.prompt.media[0].path or "").read_bytes() == png()
    assert len(list((tmp_path / "moved" / "media").rglob("*.png"))) == 1

    (tmp_path / "in" / "a.png").rename(tmp_path / "in" / "b.png")
    renamed = inputs(tmp_path / "in", prompt=Prompt(text="p", media=(Media(kind="image", path="b.png"),)))
    assert build(renamed, [Sampled()], tmp_path / "other", seed=1)["outputs"] == first["outputs"]
    (tmp_path / "in" / "b.png").write_bytes(png((1, 1, 1)))
    changed = inputs(tmp_path / "in", prompt=Prompt(text="p", media=(Media(kind="image", path="b.png"),)))
    with pytest.raises(PrefalignError, match=r"inputs\.sha256 was "):
        build(changed, [Sampled()], tmp_path / "moved", seed=1)


def test_settings_must_be_plain(tmp_path: Path) -> None:
    class Odd(Sampled):
        def settings(self) -> dict[str, Any]:
            return {"model": object()}

    with pytest.raises(PrefalignError, match="the settings of the stages are not plain JSON values"):
        build(inputs(tmp_path / "in"), [Odd()], tmp_path / "out", seed=1)
    with pytest.raises(PrefalignError, match="shard_size of at least 1, got 0"):
        build(inputs(tmp_path / "in"), [Sampled()], tmp_path / "out", seed=1, shard_size=0)


def test_stages_have_seeds_of_their_own(tmp_path: Path) -> None:
    class Noting(Repeating):
        def __call__(
            self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
        ) -> Iterator[PreferenceRecord]:
            seeds.append(seed)
            return records

    seeds: list[int] = []
    list(run_stages(iterate(inputs(tmp_path / "in")), [Noting(), Noting()], seed=1))
    assert sorted(seeds) == sorted([derive_seed(1, 0), derive_seed(1, 1)])
    found = [derive_seed(1, part) for part in (0, 1, "a", "b")] + [derive_seed(2, 0)]
    assert len(set(found)) == 5
    assert all(0 <= seed < 2**63 for seed in found)


def test_a_missing_media_file_is_named_with_its_record_before_anything_is_made(tmp_path):
    responses = tuple(Response(media=(Media(kind="audio", path=f"{tmp_path}/{n}.wav"),)) for n in range(2))
    record = PreferenceRecord(id="r1", prompt=Prompt(text="rain"), responses=responses, verdict=Pair(0, 1))
    with pytest.raises(RecordError, match=r"0\.wav' is not there") as caught:
        records_hash([record])
    assert "'r1'" in str(caught.value)
