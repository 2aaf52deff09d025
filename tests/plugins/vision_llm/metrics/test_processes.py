"""Two real processes, unequal shares: every process computes what one process would."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, sys
import torch.distributed as dist
from prefalign_vision_llm.metrics.chair import CHAIR
from prefalign_vision_llm.metrics.over_generalisation import OverGeneralisation
from prefalign_vision_llm.metrics.pope import POPE

rank, rendezvous = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
captions = ["a dog and a cat", "a cat", "two dogs", "a room", "cats"]
objects = [["dog"], ["cat"], ["cat"], ["dog"], ["cat"]]
chair, pope, scenes = CHAIR(), POPE(), OverGeneralisation({"home": ["cat"]})
share = slice(0, 4) if rank == 0 else slice(4, 5)
chair.update(captions[share], objects[share])
pope.update(["yes", "no", "yes", "no", "eh"][share], ["yes", "yes", "no", "no", "yes"][share])
scenes.update(captions[share], objects[share], ["home", None, "home", None, "home"][share])
result = {**chair.compute(), **{f"pope/{k}": v for k, v in pope.compute().items()}, **scenes.compute()}
counts = chair.counts()
cats = [counts.mentions["cat"], counts.hallucinated["cat"]]
print(json.dumps({**{k: v.item() for k, v in result.items()}, "cats": cats, "own": chair.captions.item()}))
dist.destroy_process_group()
"""


def test_two_processes_agree_on_the_whole(tmp_path: Path) -> None:
    """Mentions dog cat | cat | dog | - | cat: 2 of 5 hallucinated, in 2 of 5 captions, recalls 3 of 5.

    POPE: 2 right yes, 1 wrong yes, 1 right no, 1 missed, 1 unparsed. Cats at home 1 of 2 wrong, overall 1 of 3.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "meeting")], stdout=subprocess.PIPE, text=True, env=environment
        )
        for rank in range(2)
    ]
    outputs = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    assert [output.pop("own") for output in outputs] == [4, 1]  # local states come back after the sync
    assert outputs[0] == outputs[1]
    expected = {"chair_i": 40, "chair_s": 40, "recall": 60, "captions": 5, "pope/accuracy": 60, "pope/unparsed": 20}
    for name, value in (expected | {"delta": 50 - 100 / 3}).items():
        assert abs(outputs[0][name] - value) < 1e-4, name
    assert outputs[0]["cats"] == [3, 1]
