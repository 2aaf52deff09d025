"""Two real processes, unequal shares: every process computes what one process would."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, sys
import torch
import torch.distributed as dist
from prefalign_audio.metrics.event_accuracy import EventAccuracy
from prefalign_audio.metrics.frechet import FrechetDistance
from prefalign_audio.metrics.functional.events import EventRule
from prefalign_audio.metrics.reward_quality import RewardQuality
from prefalign_audio.metrics.sound_guard import SoundGuard
from prefalign_audio.metrics.tagging import InceptionScore, TaggerKL
from prefalign_audio.sound.waveform import Waveform

rank, rendezvous = int(sys.argv[1]), sys.argv[2]
if rank >= 0:
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
share = {-1: slice(0, 50), 0: slice(0, 32), 1: slice(32, 50)}[rank]
generator = torch.Generator().manual_seed(0)
features, others, logits = (torch.randn(50, 4, generator=generator) for _ in range(3))
scores = torch.rand(50, generator=generator)
labels, prompts = (scores * 7).long() % 2, [f"prompt {index // 5}" for index in range(50)]
probabilities = torch.rand(50, 6, 2, generator=generator)
rule = EventRule(threshold=0.7, gap=0.1)
frechet, kl, score = FrechetDistance(4, infinity=True), TaggerKL(4), InceptionScore(4, splits=3)
events, quality, guard = EventAccuracy(["a", "b"], rule=rule), RewardQuality(rounds=50), SoundGuard()
frechet.update(features[share], real=False)
frechet.update(others[share], real=True)
kl.update(features[share], logits[share])
score.update(logits[share])
events.update(probabilities[share], [["a", "b"]] * len(probabilities[share]))
quality.update(scores[share], labels[share], prompts[share])
guard.update([Waveform(row[None] * (number % 3), 8) for number, row in enumerate(features)][share])
found = {}
for metric in (frechet, kl, score, events, quality, guard):
    found |= {f"{type(metric).__name__}/{name}": value.item() for name, value in metric.compute().items()}
print(json.dumps(found))
if rank >= 0:
    dist.destroy_process_group()
"""


def run(rank: int, meeting: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(rank), str(meeting)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_two_processes_agree_on_the_whole(tmp_path: Path) -> None:
    """The shares are 32 and 18 of 50; sums may differ in their last digits only."""
    processes = [run(rank, tmp_path / "meeting") for rank in (-1, 0, 1)]
    alone, *both = (json.loads(process.communicate(timeout=240)[0]) for process in processes)
    assert len(alone) > 25
    assert both[0] == both[1]
    for name, value in alone.items():
        assert abs(both[0][name] - value) < 1e-6, name
    assert 0 < alone["EventAccuracy/temporal"] < alone["EventAccuracy/integrity"] < 1
    assert alone["SoundGuard/silent"] > 0
