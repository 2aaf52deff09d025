"""Time and peak memory of one diffusion DPO step of ours beside the same step as Diffusers' research script takes it.

    python benchmarks/denoising_step.py --json step.json

The peer is the algorithm of `examples/research_projects/diffusion_dpo/train_diffusion_dpo.py` in huggingface/diffusers,
written anew: winners and losers concatenated in one batch, one noise and one timestep for both of a pair, mean squared
errors of the policy with gradient and of the reference without, −log σ(β · (reference's difference − policy's)). That
script trains an adapter and switches it off for the reference. For full weights, which it does not offer, the
reference is a frozen second network, as in the paper's own script (SalesforceAIResearch/DiffusionDPO, train.py).
Neither can cache the reference's errors: in the cached modes our cached step stands beside the same uncached one.

A step is the forward passes, the loss, what is logged of it, the backward pass and the optimiser, on latents and text
states that are there already. Loading data, encoders, gradient clipping and the training loops are left out on both
sides. Both start from the same weights, and the peer is given the very noise and timesteps that ours draws: drawing
them is in our step and not in the peer's. The run fails unless their losses agree at every step.

How time and memory are measured stands in `turns.py`.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import itertools
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import torch
from torch import Tensor
from turns import Arm, in_fresh_process, machine, peak_of_steps, table, take_turns

BETA = 2500.0  # the script's, on whole errors
# β times two units in the last place of a float32 error near 1: rounding alone moves the losses by a part of it.
TOLERANCE = BETA * 2**-22
RANK, ALPHA, ADAPTED = 4, 4, ["to_k", "to_q", "to_v", "to_out.0"]  # the script's
RATE, WEIGHT_DECAY = {"full": 1e-7, "lora": 1e-4}, 1e-2
REPLAYS = 4
CHANNELS, SIDE, TOKENS, WIDTH = 4, 16, 77, 128
MODEL = {
    "sample_size": SIDE,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "block_out_channels": (64, 128, 256),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 32,
    "attention_head_dim": 8,
    "cross_attention_dim": WIDTH,
}
PEER = "diffusers"
MODES = tuple(itertools.product(("full", "lora"), ("live", "cached")))


@dataclass(frozen=True)
class Workload:
    """What both sides train on.

    Attributes:
        pairs: pairs per step.
        side: latents of a picture's side.
    """

    pairs: int = 2
    side: int = SIDE


@dataclass(frozen=True)
class Pairs:
    """Random latents and text states; winner and loser of a pair share the text.

    Attributes:
        ids: of the records.
        chosen, rejected: (pairs, channels, side, side).
        states: (pairs, tokens, width) of the text encoder.
    """

    ids: list[str]
    chosen: Tensor
    rejected: Tensor
    states: Tensor


def draw_pairs(workload: Workload) -> Pairs:
    """The same for both sides."""
    generator = torch.Generator().manual_seed(0)
    shape = (workload.pairs, CHANNELS, workload.side, workload.side)
    chosen, rejected = (torch.randn(shape, generator=generator) for _ in range(2))
    states = torch.randn(workload.pairs, TOKENS, WIDTH, generator=generator)
    return Pairs([str(index) for index in range(workload.pairs)], chosen, rejected, states)


def write_network(folder: Path) -> None:
    """Our network with random weights, as Diffusers reads it."""
    from prefalign.models.diffusers.unet import UNet

    denoiser = UNet(MODEL)
    denoiser.configure_model()
    denoiser.save_pretrained(folder)


def build_ours(folder: Path, workload: Workload, weights: str, reference: str) -> Arm:
    """Our policy, objective and training module, without Lightning's loop."""
    from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Response
    from prefalign.models.diffusers.unet import UNet
    from prefalign.models.latents import CONDITION, LATENTS
    from prefalign.models.pretrained import LoraSettings
    from prefalign.objectives.dpo import DPO
    from prefalign.policies.cached import Cached
    from prefalign.policies.denoising import DenoisingPolicy
    from prefalign.policies.reference import Auto
    from prefalign.training.tuning import PreferenceTuning

    lora = LoraSettings(r=RANK, alpha=ALPHA, target_modules=ADAPTED) if weights == "lora" else None
    policy = DenoisingPolicy(UNet(MODEL), lora=lora, score="mse", replays=REPLAYS)
    module = PreferenceTuning(policy, DPO(beta=BETA), Cached() if reference == "cached" else Auto())
    module.configure_model()
    pairs = draw_pairs(workload)

    def response(latents: Tensor, states: Tensor) -> Response:
        arrays = {LATENTS: latents.numpy(), f"{CONDITION}encoder_hidden_states": states.numpy()}
        return Response(arrays=arrays)

    examples = [
        module.codec.encode(
            PreferenceRecord(
                id=name,
                prompt=Prompt(text=name),
                responses=(response(chosen, states), response(rejected, states)),
                verdict=Pair(),
            )
        )
        for name, chosen, rejected, states in zip(pairs.ids, pairs.chosen, pairs.rejected, pairs.states, strict=True)
    ]
    batch = module.codec.collate(examples, module.needs)
    assert module.reference is not None
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        module.reference.prepare(policy, [[batch]], Path(name))
    prepared = time.perf_counter() - started
    optimizer = new_optimizer(module, weights)
    visits = itertools.count()

    def step() -> float:
        # A batch of its own for every visit, as the loader makes it: what was noised is kept in the batch.
        visit = torch.full((len(pairs.ids),), next(visits))
        loss = module.evaluate_batch(replace(batch, inputs=dict(batch.inputs), visits=visit)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return Arm(step, prepared if reference == "cached" else 0.0)


def build_peer(folder: Path, workload: Workload, weights: str, reference: str) -> Arm:
    """The research script's step; `reference` changes nothing in it."""
    from diffusers import DDPMScheduler, UNet2DConditionModel
    from peft import LoraConfig
    from torch.nn.functional import logsigmoid, mse_loss

    from prefalign.functional.replay import replayed_noise

    unet: Any = UNet2DConditionModel.from_pretrained(folder)
    frozen: Any = None
    if weights == "lora":
        unet.requires_grad_(False)
        torch.manual_seed(0)
        unet.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=ADAPTED))
    else:
        frozen = copy.deepcopy(unet).requires_grad_(False).eval()
    unet.train()
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    pairs = draw_pairs(workload)
    latents = torch.cat([pairs.chosen, pairs.rejected])
    draws = []
    for replay in range(REPLAYS):
        uniform, noise = replayed_noise(0, pairs.ids, [replay] * len(pairs.ids), latents.shape[1:])
        draws.append((noise, (uniform.float().double() * scheduler.config.num_train_timesteps).long()))
    optimizer = new_optimizer(unet, weights)
    visits = itertools.count()

    def step() -> float:
        noise, timesteps = draws[next(visits) % REPLAYS]
        noise, timesteps = noise.repeat(2, 1, 1, 1), timesteps.repeat(2)
        noisy = scheduler.add_noise(latents, noise, timesteps)
        states = pairs.states.repeat(2, 1, 1)

        def errors(network: Any) -> Tensor:
            predicted = network(noisy, timesteps, states).sample
            return mse_loss(predicted.float(), noise.float(), reduction="none").mean((1, 2, 3))

        def difference(found: Tensor) -> Tensor:
            chosen, rejected = found.chunk(2)
            return chosen - rejected

        of_policy = errors(unet)
        if frozen is None:
            unet.disable_adapters()
        with torch.no_grad():
            of_reference = errors(unet if frozen is None else frozen)
        if frozen is None:
            unet.enable_adapters()
        logits = difference(of_reference) - difference(of_policy)
        loss = -logsigmoid(BETA * logits).mean()
        right = (logits > 0).float().mean() + 0.5 * (logits == 0).float().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        for logged in (of_policy.mean(), of_reference.mean(), right):
            logged.item()
        return loss.item()

    return Arm(step)


def new_optimizer(module: torch.nn.Module, weights: str) -> torch.optim.Optimizer:
    """The same AdamW for both sides."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trained, lr=RATE[weights], weight_decay=WEIGHT_DECAY)


BUILD: dict[str, Callable[..., Arm]] = {"prefalign": build_ours, PEER: build_peer}


def measure_time(folder: Path, workload: Workload, mode: tuple[str, str], repetitions: int) -> dict[str, Any]:
    """The times of both sides; see `take_turns`.

    Raises:
        RuntimeError: if the losses of the two sides part.
    """
    arms = {name: build(folder, workload, *mode) for name, build in BUILD.items()}
    return {"prepared": arms["prefalign"].prepared, **take_turns(arms, repetitions, relative=0.0, absolute=TOLERANCE)}


def measure_memory(folder: Path, workload: Workload, name: str, mode: tuple[str, str]) -> int:
    """Peak bytes of one side's steps; run it in a fresh process."""
    quieten()
    # What either side needs, so that libraries do not count as memory of one of them.
    for module in ("prefalign.training.tuning", "prefalign.policies.cached", "peft", "diffusers.models.unets"):
        importlib.import_module(module)
    from diffusers import DDIMScheduler, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel  # noqa: F401  # loaded lazily

    return peak_of_steps(lambda: BUILD[name](folder, workload, *mode))


def quieten() -> None:
    """Keep the libraries' own talk out of the table."""
    import diffusers

    warnings.simplefilter("ignore")
    diffusers.utils.logging.set_verbosity_error()


def main() -> None:
    """Measure every mode, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=20, help="timed steps of each side")
    parser.add_argument("--pairs", type=int, default=Workload.pairs, help="pairs per step")
    parser.add_argument("--side", type=int, default=Workload.side, help="latents of a picture's side")
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    workload = Workload(options.pairs, options.side)
    quieten()
    packages = ("prefalign", "torch", "diffusers", "transformers", "peft", "lightning")
    facts = {
        "machine": machine(*packages),
        "model": MODEL,
        "workload": asdict(workload),
        "repetitions": options.repetitions,
    }
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_network(folder)
        for mode in MODES:
            timed = measure_time(folder, workload, mode, options.repetitions)
            results.append({"weights": mode[0], "reference": mode[1], **timed})
            print("{}, {}: CPU ratio {cpu_ratio[median]:.2f}".format(*mode, **timed), file=sys.stderr)
        for mode, result in zip(MODES, results, strict=True):
            result["peak_bytes"] = {
                side: in_fresh_process(measure_memory, folder, workload, side, mode) for side in BUILD
            }
            print("{}, {}: {peak_bytes}".format(*mode, **result), file=sys.stderr)
    print(json.dumps(facts, indent=2))
    print()
    print(table(results, ("weights", "reference"), PEER))
    for result in results:
        if result["prepared"]:
            print(f"{result['weights']}: {REPLAYS} errors of each row cached in {1000 * result['prepared']:.0f} ms")
    if options.json:
        options.json.write_text(json.dumps({**facts, "results": results}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
