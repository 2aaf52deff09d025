"""Pairs within prompts: by hand on a small set, and BATON's published counts on the real one."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from prefalign.data.sources import iterate, open_records
from prefalign.interfaces import Pair, RecordError
from prefalign_audio.baton.labels import LabelSource
from prefalign_audio.baton.pairs import LabelCounts, count_labels, within_prompt_pairs, write_pairs

Write = Callable[..., Path]

#: Caption -> labels of its clips: 2 × 1 + 0 + 1 × 3 pairs.
SMALL = {"bird then bell": (1, 0, 1), "a then b": (1, 1), "rain, wind and then hail": (0, 1, 0, 0)}


def small(labels: Write, field: str = "feedback") -> LabelSource:
    rows = [
        {"captions": caption, "location": f"{number}_{caption}_{i}.wav", field: label}
        for number, (caption, given) in enumerate(SMALL.items())
        for i, label in enumerate(given)
    ]
    return LabelSource(labels(rows))


def counts_of(source: LabelSource) -> LabelCounts:
    return count_labels(iterate(source))


def test_a_small_set(labels: Write) -> None:
    source = small(labels)
    counts = counts_of(source)
    assert (counts.prompts, counts.clips, counts.positives, counts.mixed, counts.pairs) == (3, 9, 5, 2, 5)
    assert counts.tasks == {"integrity": 2, "temporal": 1}
    pairs = list(within_prompt_pairs(iterate(source)))
    ends = [[Path(r.media[0].path or "").name[:-4] for r in pair.responses] for pair in pairs]
    assert ends == [
        ["0_bird then bell_0", "0_bird then bell_1"],
        ["0_bird then bell_2", "0_bird then bell_1"],
        *(["2_rain, wind and then hail_1", f"2_rain, wind and then hail_{i}"] for i in (0, 2, 3)),
    ]
    assert [pair.verdict for pair in pairs] == [Pair()] * 5
    assert len({pair.id for pair in pairs}) == 5
    assert pairs[0].prompt.conditions["task"] == "integrity"


def test_scores_are_cut_at_a_threshold(labels: Write) -> None:
    """0.5 is not above 0.5; above 0.2 all but one are good."""
    given = [0.5, 0.75, 0.25, 0.125]
    rows = [{"captions": "a then b", "location": f"{i}.wav", "SED": score} for i, score in enumerate(given)]
    source = LabelSource(labels(rows))
    half, low = count_labels(iterate(source)), count_labels(iterate(source), 0.2)
    assert (half.positives, half.pairs, low.positives, low.pairs) == (1, 3, 3, 3)
    assert len(list(within_prompt_pairs(iterate(source), 0.2))) == 3
    assert count_labels(iterate(source), 0.9).mixed == 0


def test_pairs_are_written_without_the_clips_and_read_with_them(labels: Write, tmp_path: Path) -> None:
    source = small(labels)
    out = tmp_path / "elsewhere" / "pairs.jsonl"
    out.parent.mkdir()
    assert write_pairs(within_prompt_pairs(iterate(source)), out, source.media_folder) == 5
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows[0]["responses"][0]["media"][0]["path"] == "0_bird then bell_0.wav"
    with pytest.raises(RecordError, match=r"pairs.jsonl, line 1.*expected an existing file"):
        open_records(out, media_folder=tmp_path)
    for record in iterate(source):
        for response in record.responses:
            Path(response.media[0].path or "").write_bytes(b"RIFF")
    read = list(iterate(open_records(out, media_folder=tmp_path)))
    assert read == list(within_prompt_pairs(iterate(source)))


def test_the_labels_of_two_events(real_labels: dict[int, Path]) -> None:
    """The published statistics of the integrity task."""
    source = LabelSource(real_labels[2])
    counts = counts_of(source)
    assert (counts.prompts, counts.clips, counts.positives, counts.mixed, counts.pairs) == (220, 1094, 686, 177, 905)
    assert counts.tasks == {"integrity": 220}
    assert sum(1 for _ in within_prompt_pairs(iterate(source))) == 905


def test_the_labels_of_three_events(real_labels: dict[int, Path], labels: Write) -> None:
    """The published list leaves out four clips that the grouped file of the same labels has, of prompts 30 (1 and 0)
    and 32 (0 and 0). Without them 203 prompts are mixed, with 1,053 pairs; with them 204, with 1,059.
    """
    source = LabelSource(real_labels[3])
    counts = counts_of(source)
    assert (counts.prompts, counts.clips, counts.positives, counts.mixed, counts.pairs) == (216, 1059, 474, 203, 1053)
    assert sum(1 for _ in within_prompt_pairs(iterate(source))) == 1053

    with gzip.open(real_labels[3], "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for prompt, number, label in (("0030", 3, 1), ("0030", 4, 0), ("0032", 0, 0), ("0032", 1, 0)):
        like = next(row for row in rows if f"/{prompt}_" in row["location"])
        location = re.sub(r"_\d\.wav$", f"_{number}.wav", like["location"])
        rows.append({**like, "location": location, "feedback": label})
    counts = counts_of(LabelSource(labels(rows)))
    assert (counts.prompts, counts.clips, counts.positives, counts.mixed, counts.pairs) == (216, 1063, 475, 204, 1059)
    assert counts.tasks == {"temporal": 216}
