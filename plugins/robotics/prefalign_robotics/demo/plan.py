"""What a demonstration runs, and the folder that holds runs of one plan only."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from prefalign.data.atomic import atomic_path
from prefalign.interfaces import unknown_name
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.world import check_task

#: Source and target: an easy pair, its mirror image, and two whose tasks have little in common.
PAIRS = "button-press:window-open,window-open:window-close,faucet-close:door-open,button-press:sweep-into"


@dataclass(frozen=True)
class Plan:
    """How much of everything.

    Attributes:
        episodes: of each task; a quarter each by the expert, an expert of another goal, chance, and another task's
            expert.
        steps: of each episode.
        length: steps of the windows that are compared.
        block: windows a side in each transfer.
        blocks: transfers, of windows of their own.
        pairs: of the transferred ones that the reward learns from, drawn at random.
        reward_steps, cloning_steps, iql_steps: of the optimisers.
        rollouts: goal instances on which each policy is judged.
    """

    episodes: int = 160
    steps: int = 150
    length: int = 50
    block: int = 50
    blocks: int = 8
    pairs: int = 2000
    reward_steps: int = 500
    cloning_steps: int = 2000
    iql_steps: int = 5000
    rollouts: int = 20

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            least = {"episodes": 8, "block": 4}.get(name, 1)
            if value < least:
                raise SegmentError(f"demonstration: expected {name} of at least {least}, got {value}")
        if self.pairs > (found := self.blocks * self.block * (self.block - 1) // 2):
            raise SegmentError(f"demonstration: {self.blocks} blocks of {self.block} windows have {found} pairs")


#: For a first look.
QUICK = Plan(episodes=80, blocks=4, pairs=1000, cloning_steps=1000, iql_steps=2000, rollouts=10)


def claim(folder: Path, plan: Plan) -> None:
    """Make a folder that of a plan; what is in it already has to be of the same.

    Raises:
        SegmentError: for a folder of another plan, or one whose plan cannot be read.
    """
    file, wanted = folder / "plan.json", dataclasses.asdict(plan)
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as partial:
            partial.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
        return
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SegmentError(f"{file}: cannot be read ({error}); choose another --out") from None
    if not isinstance(found, dict):
        raise SegmentError(f"{file}: expected the settings of a demonstration; choose another --out")
    if found != wanted:
        others = [f"{name} {found.get(name)}" for name, value in wanted.items() if found.get(name) != value]
        raise SegmentError(
            f"{folder}: holds a demonstration of other settings ({', '.join(others) or 'more of them'}); give the same "
            "options, or choose another --out"
        )


def parse_pairs(text: str) -> list[tuple[str, str]]:
    """Pairs of tasks from `source:target,…`.

    Raises:
        SegmentError: for another form, or a task paired with itself.
        PrefalignError: for an unknown task, with near names.
        SimulatorError: if Meta-World is not installed.
    """
    pairs = []
    for part in text.split(","):
        source, colon, target = part.strip().partition(":")
        if not (source and colon and target):
            raise SegmentError(f"--pairs: expected source:target,source:target, got {part.strip()!r}")
        for task in (source, target):
            check_task(task)
        if source == target:
            raise SegmentError(f"--pairs: {source} cannot be source and target at once")
        pairs.append((source, target))
    return list(dict.fromkeys(pairs))


def parse_seeds(text: str) -> list[int]:
    """Seeds from `0,1,2`.

    Raises:
        SegmentError: for what is no whole number from 0 up.
    """
    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if not (part.isascii() and part.isdigit())]
    if wrong:
        raise SegmentError(f"--seeds: expected whole numbers from 0 up, such as 0,1,2; got {wrong[0]!r}")
    return list(dict.fromkeys(map(int, parts)))


def parse_shares(text: str) -> list[float]:
    """Shares of wrong labels from `0.2,0.35`; none from an empty text.

    Raises:
        SegmentError: for what is no number from 0 up and below one half.
    """
    shares = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            share = float(part)
        except ValueError:
            share = -1.0
        if not 0 <= share < 0.5:  # NaN included
            raise SegmentError(f"--label-noise: expected shares from 0 up and below 0.5, got {part!r}")
        shares.append(share)
    return list(dict.fromkeys(shares))


def parse_names(text: str, kind: str, known: Collection[str]) -> list[str]:
    """Known names of a kind, in the order given.

    Raises:
        PrefalignError: for an unknown one, with near names.
    """
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if name not in known:
            raise unknown_name(kind, name, known)
    return list(dict.fromkeys(names))
