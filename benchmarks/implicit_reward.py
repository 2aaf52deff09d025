"""What preferences over its own candidates are worth to a diffusion policy, in Meta-World.

    python benchmarks/implicit_reward.py --seeds 0 1 2 --out runs/implicit_reward --json implicit_reward.json

A policy imitates a mixture of experts, strangers and chance, so that it is a weak one. In the states that it gets into,
eight chunks of actions are drawn from it, and the simulator, put back each time, tells what each earns. On these
rankings the policy is tuned through `prefalign fit` by Diffusion-DPO, with the logarithm (`sigmoid`) and without it, as
DeformPAM's code has it (`negative_sigmoid`; arXiv 2410.11584). Compared are, on goal instances that nothing before has
met:

- `base`: the policy that imitates;
- `random_of_8`: of eight chunks of the base, one at random: the control of all that choose;
- `tuned/…`: the tuned policy by itself;
- `selected/…`: of eight chunks of the base, the one that the tuned policy's implicit reward likes best (DeformPAM).

Shown are success and return with intervals over goal instances, and over seeds the mean and the sample standard
deviation; training again with another seed moves the figures further than the intervals of one seed say.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefalign.training.arms import run_arm
from prefalign_robotics.policies.diffusion.acting import ChunkPolicy, Judge, Planner
from prefalign_robotics.policies.diffusion.denoiser import ActionDenoiser
from prefalign_robotics.policies.diffusion.preparation import BASE, CANDIDATES, Plan, prepare
from prefalign_robotics.policies.diffusion.selection import ImplicitReward
from prefalign_robotics.simulator.rollouts import evaluate

PRESET, LINKS = "robotics/deformpam-tiny", ("negative_sigmoid", "sigmoid")


def tune(prepared: Path, link: str, seed: int, steps: int) -> Path:
    """Tune the base of a prepared folder through `prefalign fit`; the folder of the tuned policy."""
    run = prepared / link
    policy = {"init_args": {"denoiser": {"init_args": {"model": str(prepared / BASE)}}, "noise_seed": seed}}
    config = {
        "seed_everything": seed,
        "model": {"init_args": {"policy": policy, "objective": {"init_args": {"loss_type": link}}}},
        "data": {"init_args": {"train": str(prepared / CANDIDATES), "seed": seed}},
        "trainer": {"max_steps": steps, "default_root_dir": str(run)},
    }
    run_arm(config, run, preset=PRESET)
    return run / "export"


def random_judge(seed: int) -> Judge:
    """Likes candidates by chance."""
    generator = torch.Generator().manual_seed(seed)

    def judge(observations: np.ndarray, actions: Tensor) -> Tensor:
        return torch.rand(actions.shape[:2], generator=generator)

    return judge


def run_seed(folder: Path, plan: Plan, steps: int, rollouts: int) -> dict[str, dict[str, Any]]:
    """Figures of every arm of one seed."""
    prepared = folder / f"{plan.task}-seed{plan.seed}"
    prepare(prepared, plan, log=lambda text: print(text, flush=True))
    base, judges = ActionDenoiser(str(prepared / BASE)), random_judge(plan.seed)
    arms: dict[str, Planner] = {
        "base": Planner(base, seed=plan.seed),
        f"random_of_{plan.candidates}": Planner(base, judges, candidates=plan.candidates, seed=plan.seed),
    }
    for link in LINKS:
        tuned = ActionDenoiser(str(tune(prepared, link, plan.seed, steps)))
        arms[f"tuned/{link}"] = Planner(tuned, seed=plan.seed)
        reward = ImplicitReward(tuned, base, seed=plan.seed)
        arms[f"selected/{link}"] = Planner(base, reward, candidates=plan.candidates, seed=plan.seed)
    figures = {}
    for name, planner in arms.items():
        found = evaluate(ChunkPolicy(planner, plan.execute), plan.task, rollouts, plan.steps, plan.seed)
        figures[name] = {
            part: {"estimate": value.estimate, "low": value.low, "high": value.high}
            for part, value in (("success", found.success), ("return", found.mean_return))
        }
        print(f"seed {plan.seed}, {name}: {_shown(figures[name])}", flush=True)
    return figures


def over_seeds(seeds: Sequence[dict[str, dict[str, Any]]]) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and sample standard deviation (0 for a single seed) of every arm's figures."""
    summary: dict[str, dict[str, tuple[float, float]]] = {}
    for name in seeds[0]:
        summary[name] = {}
        for part in ("success", "return"):
            values = np.array([seed[name][part]["estimate"] for seed in seeds])
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            summary[name][part] = float(values.mean()), float(spread)
    return summary


def _shown(figures: dict[str, Any]) -> str:
    success, earned = figures["success"], figures["return"]
    return (
        f"success {success['estimate']:.2f} [{success['low']:.2f}, {success['high']:.2f}], "
        f"return {earned['estimate']:.0f} [{earned['low']:.0f}, {earned['high']:.0f}]"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    plan = Plan()
    parser.add_argument("--task", default=plan.task, help="of Meta-World (default %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="default 0")
    parser.add_argument("--demonstrations", type=int, default=plan.demonstrations, help="default %(default)s")
    parser.add_argument("--imitation-steps", type=int, default=plan.imitation_steps, help="default %(default)s")
    parser.add_argument("--episodes", type=int, default=plan.episodes, help="to compare candidates in (default 15)")
    parser.add_argument("--steps", type=int, default=300, help="of tuning (default %(default)s)")
    parser.add_argument("--rollouts", type=int, default=20, help="goal instances (default %(default)s)")
    parser.add_argument("--length", type=int, default=plan.steps, help="steps of an episode (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/implicit_reward"), help="default %(default)s")
    parser.add_argument("--json", type=Path, help="write figures here")
    options = parser.parse_args(argv)
    plan = replace(
        plan,
        task=options.task,
        demonstrations=options.demonstrations,
        imitation_steps=options.imitation_steps,
        episodes=options.episodes,
        steps=options.length,
    )
    torch.set_num_threads(1)
    seeds = [run_seed(options.out, replace(plan, seed=s), options.steps, options.rollouts) for s in options.seeds]
    summary = over_seeds(seeds)
    print(f"\n{plan.task}, {len(seeds)} seeds: mean ± sample standard deviation")
    for name, parts in summary.items():
        shown = ", ".join(f"{part} {mean:.2f} ± {spread:.2f}" for part, (mean, spread) in parts.items())
        print(f"{name:28s} {shown}")
    if options.json is not None:
        host = {"python": platform.python_version(), "torch": torch.__version__}
        made = {"task": plan.task, "seeds": dict(zip(options.seeds, seeds, strict=True)), "summary": summary, **host}
        options.json.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
