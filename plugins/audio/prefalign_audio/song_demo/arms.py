"""The arms of the demonstration: the preset `audio/levo-tiny`, and what each arm changes in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prefalign.training.arms import run_arm

#: One preference run for each of these is merged with the others.
CRITERIA = ("lyric", "prompt", "musicality")


@dataclass(frozen=True)
class Arm:
    """A run.

    Attributes:
        title: what tables call it.
        pairs: set of preferences that it trains on.
        kind: `single` criterion, `rival` of merging, or `control`.
        steps: of its training; rivals take as many as the three runs on single criteria together.
    """

    title: str
    pairs: str
    kind: str = "single"
    steps: int = 400


ARMS: dict[str, Arm] = {
    "lyric": Arm("DPO, lyric", "lyric"),
    "prompt": Arm("DPO, prompt", "prompt"),
    "musicality": Arm("DPO, musicality", "musicality"),
    "mixed": Arm("one run, all pairs mixed", "mixed", "rival", 1200),
    "rank_sum": Arm("one run, best against worst by sum of ranks", "rank_sum", "rival", 1200),
    "cross": Arm("one run, pairs that agree on two criteria", "cross", "rival", 1200),
    "coin": Arm("all pairs, chosen by a coin (control)", "coin", "control"),
}


def train(name: str, prepared: Path, words: Path, seed: int) -> float:
    """Run an arm through `prefalign fit`; its model is then in `arms/<name>/export` of the seed's folder.

    Returns:
        Seconds of wall time.
    """
    arm, run = ARMS[name], prepared / "arms" / name
    conditioner = {"class_path": "audio/song_conditions", "init_args": {"vocabulary": str(words)}}
    family = {"init_args": {"model": str(prepared / "base" / "export"), "conditioner": conditioner}}
    change = {
        "seed_everything": seed,
        "model": {"init_args": {"policy": {"init_args": {"model": family}}}},
        "data": {"init_args": {"train": str(prepared / f"pairs-{arm.pairs}.parquet"), "seed": seed}},
        "trainer": {"max_steps": arm.steps, "default_root_dir": str(run)},
    }
    return float(run_arm(change, run, preset="audio/levo-tiny")["seconds"])
