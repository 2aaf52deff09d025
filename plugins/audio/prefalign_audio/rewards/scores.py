"""Score files: what a reward said of clips, with the reward's name on it.

The first line is a header with the reward's fingerprint; each other line holds a clip's id and its score in [0, 1].
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefalign.data.atomic import atomic_path
from prefalign.interfaces import PrefalignError

#: First key of the header, and the layout's number.
_MARK, _EDITION = "prefalign_scores", 1


class ScoreFileError(PrefalignError):
    """A score file that cannot be used; the message names file and line."""


@dataclass(frozen=True)
class ScoreFile:
    """Scores of clips by one reward.

    Attributes:
        fingerprint: of the reward that gave them.
        reward: what it is called, for people.
        scores: by clip id, each in [0, 1].
    """

    fingerprint: str
    reward: str
    scores: Mapping[str, float]


def write_scores(path: Path, scores: Mapping[str, float], fingerprint: str, reward: str) -> None:
    """Write a score file, whole or not at all.

    Raises:
        ScoreFileError: for a score outside [0, 1] or an empty id.
    """
    for clip, score in scores.items():
        if problem := _problem(clip, score):
            raise ScoreFileError(f"{path}: clip {clip!r}: {problem}")
    header = {_MARK: _EDITION, "fingerprint": fingerprint, "reward": reward}
    lines = [header, *({"id": clip, "score": float(score)} for clip, score in scores.items())]
    with atomic_path(Path(path)) as partial:
        partial.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")


def read_scores(path: Path, fingerprint: str | None = None) -> ScoreFile:
    """Read a score file.

    Args:
        path: the file.
        fingerprint: of the reward whose scores are wanted; None takes any.

    Raises:
        ScoreFileError: for another reward's scores, a file without header, damaged lines, scores outside [0, 1], and
            ids that come twice.
    """
    try:
        lines = Path(path).read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ScoreFileError(f"{path}: cannot be read ({error})") from None
    header = _line(path, 1, lines[0]) if lines[0].strip() else {}
    if header.get(_MARK) != _EDITION or not all(isinstance(header.get(n), str) for n in ("fingerprint", "reward")):
        raise ScoreFileError(
            f"{path}: line 1 is no header of a score file; expected "
            f'{{"{_MARK}": {_EDITION}, "fingerprint": …, "reward": …}}: scores without it may be any model\'s'
        )
    if fingerprint is not None and header["fingerprint"] != fingerprint:
        raise ScoreFileError(
            f"{path}: scores of another model: the file is by {header['reward']!r} with fingerprint "
            f"{header['fingerprint']}, and {fingerprint} is expected; score the clips anew"
        )
    scores: dict[str, float] = {}
    for number, text in enumerate(lines[1:], start=2):
        if not text.strip():
            continue
        row = _line(path, number, text)
        clip, score = row.get("id"), row.get("score")
        problem = _problem(clip, score)
        if problem is None and clip in scores:
            problem = f"the id {clip!r} comes twice"
        if problem is not None:
            raise ScoreFileError(f"{path}, line {number}: {problem}")
        scores[str(clip)] = float(row["score"])
    return ScoreFile(header["fingerprint"], header["reward"], scores)


def _line(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except ValueError as error:
        raise ScoreFileError(f"{path}, line {number}: no JSON ({error}); was the file cut off?") from None
    if not isinstance(row, dict):
        raise ScoreFileError(f"{path}, line {number}: expected an object, got {type(row).__name__}")
    return row


def _problem(clip: Any, score: Any) -> str | None:
    if not isinstance(clip, str) or not clip:
        return f"expected an id as text, got {clip!r}"
    # NaN fails both comparisons.
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not 0 <= score <= 1:
        return f"expected a score in [0, 1], got {score!r}"
    return None
