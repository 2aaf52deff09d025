"""Triplets: two trajectories, and an anchor by which they are judged. Made of rankings."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from prefalign.interfaces import Group, PreferenceRecord, Prompt, Ranking, Response
from prefalign.interfaces.verdict import ranking
from prefalign_robotics.rewards.codec import ACTIONS, OBSERVATIONS
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Segments
from prefalign_robotics.teacher.scripted import ScriptedTeacher


def anchored(record: PreferenceRecord) -> PreferenceRecord:
    """A ranking of three or more, with its best as the anchor of the others, which keep their order.

    The anchor becomes the record's `reference_answer`. Of several best ones it is the first; if all are equal, what is
    left is a tie (the released code's equal triplets). Verdicts on further criteria are left out.

    Raises:
        RecordError: for a record without ranking or scores, or of fewer than three responses.
    """
    verdict = record.verdict
    order = ranking(verdict) if isinstance(verdict, Group) else verdict
    if not isinstance(order, Ranking):
        raise record.error(f"expected a ranking, or a group with rewards, got a {type(verdict).__name__}", "verdict")
    if len(order.ranks) < 3:
        raise record.error(
            f"expected three responses or more to take an anchor from, got {len(order.ranks)}", "responses"
        )
    best = order.ranks.index(min(order.ranks))
    rest = [index for index in range(len(order.ranks)) if index != best]
    return replace(
        record,
        responses=tuple(record.responses[index] for index in rest),
        verdict=Ranking(tuple(order.ranks[index] for index in rest)),
        reference_answer=record.responses[best],
        criteria={},
    )


def triplets(
    segments: Segments, rewards: np.ndarray, count: int, teacher: ScriptedTeacher | None = None, seed: int = 0
) -> list[PreferenceRecord]:
    """Different threes of segments, compared among one another by a teacher, the best of each as anchor.

    Args:
        segments: N of them, at least three; whole episodes are usual. Their name is the prompt, and begins the ids.
        rewards: (N, T) that the teacher knows.
        count: of threes to ask about, three comparisons each.
        teacher: who compares; the larger return without fail if None. Threes with a comparison that it does not answer
            are left out, and those whose comparisons run in a circle are ties.
        seed: of the draw and of the teacher.

    Raises:
        SegmentError: for more threes than there are, or rewards that do not fit.
    """
    if rewards.shape != (len(segments), segments.steps):
        expected = (len(segments), segments.steps)
        raise SegmentError(f"{segments.name}: expected rewards {expected} of the segments' steps, got {rewards.shape}")
    if not 1 <= count <= math.comb(len(segments), 3):
        raise SegmentError(
            f"{segments.name}: {len(segments)} segments make {math.comb(len(segments), 3)} triplets, not {count}"
        )
    drawn = _draw(len(segments), count, seed)
    asked = np.stack([drawn[:, [0, 1]], drawn[:, [0, 2]], drawn[:, [1, 2]]], 1).reshape(-1, 2)
    answers = (teacher or ScriptedTeacher()).answer(rewards, asked, seed)
    labels = np.full(len(asked), np.nan)
    labels[answers.rows] = answers.comparisons.labels
    made = []
    for members, (b_over_a, c_over_a, c_over_b) in zip(drawn, labels.reshape(-1, 3), strict=True):
        wins = ((1 - b_over_a) + (1 - c_over_a), b_over_a + (1 - c_over_b), c_over_a + c_over_b)
        if np.isfinite(wins).all():
            made.append(anchored(_ranked(segments, members, Group(tuple(float(w) for w in wins)))))
    return made


def _draw(segments: int, count: int, seed: int) -> np.ndarray:
    """(count, 3) different threes, each in ascending order."""
    generator, seen = np.random.default_rng(seed), dict[tuple[int, ...], None]()
    while len(seen) < count:
        seen[tuple(np.sort(generator.choice(segments, 3, replace=False)).tolist())] = None
    return np.array(list(seen))


def _ranked(segments: Segments, members: np.ndarray, verdict: Group) -> PreferenceRecord:
    return PreferenceRecord(
        id="-".join([segments.name, *map(str, members)]),
        prompt=Prompt(text=segments.name),
        responses=tuple(
            Response(arrays={OBSERVATIONS: segments.observations[row], ACTIONS: segments.actions[row]})
            for row in members
        ),
        verdict=verdict,
        source=segments.name,
        provenance={"source": "scripted"},
    )
