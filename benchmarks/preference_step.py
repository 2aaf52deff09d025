"""Time and peak memory of one DPO step of ours beside the same step of TRL's trainer.

    python benchmarks/preference_step.py --json step.json

A step is the forward pass, the loss, the backward pass and the optimiser; loading data and the training loops around
the step are left out on both sides. Both start from the same weights, see the same tokens and take the same AdamW
steps, and the run fails unless their losses agree at every step, so that no side can win by doing less.

Time: both live in one process and take turns, so that whatever else the machine does hits both alike; a repetition
gives one ratio. CPU time is reported beside wall time, for machines that are not idle. Memory: each side runs alone in
a fresh process; the figure is the peak during the steps above the size before the model was built (Linux only).

Activation checkpointing is off on both sides (TRL's own default is on). TRL computes entropy, mean logits and token
accuracy in every step; that is part of its step. On CPUs it projects every position to the vocabulary, on GPUs those of
the completions only; `--compact-trl` makes it do here what it does there.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib
import itertools
import json
import multiprocessing
import os
import platform
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import torch

BETA, RATE, RANK, ALPHA = 0.1, 1e-4, 16, 32
VOCABULARY = 32_000
MODEL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}
ARMS = ("prefalign", "trl")
MODES = tuple(itertools.product(("full", "lora"), ("live", "cached")))
WARM_UP = 3
MEMORY_STEPS = 4


@dataclass(frozen=True)
class Workload:
    """What both sides train on.

    Attributes:
        pairs: pairs per step.
        prompt: tokens of each prompt.
        response: most tokens of each response.
        compact_trl: let TRL project the completion's positions only, as it does on GPUs, and not all of them.
    """

    pairs: int = 4
    prompt: int = 64
    response: int = 64
    compact_trl: bool = False


@dataclass
class Arm:
    """One side, ready to take steps; `step` returns the loss before the step."""

    step: Callable[[], float]


def write_model(folder: Path) -> None:
    """A small Llama with random weights, and a tokenizer with one token per word."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    names = ["<pad>", "<bos>", "<eos>", "<unk>", *(f"w{i}" for i in range(4, VOCABULARY))]
    inner = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **special)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'] }} {% if m['role'] == 'assistant' %}<eos>{% endif %}{% endfor %}"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**MODEL)).save_pretrained(folder)


def write_pairs(workload: Workload) -> list[dict[str, Any]]:
    """Conversations of random words; responses are between half as long as allowed and as long."""
    draw = random.Random(0)

    def words(count: int) -> str:
        return " ".join(f"w{draw.randrange(4, VOCABULARY)}" for _ in range(count))

    def turn(role: str, count: int) -> list[dict[str, str]]:
        return [{"role": role, "content": words(count)}]

    def length() -> int:
        return draw.randint(workload.response // 2, workload.response) - 1  # the end token is one more

    return [
        {
            "prompt": turn("user", workload.prompt),
            "chosen": turn("assistant", length()),
            "rejected": turn("assistant", length()),
        }
        for _ in range(workload.pairs)
    ]


def build_ours(folder: Path, workload: Workload, weights: str, reference: str) -> Arm:
    """Our policy, objective and training module, without Lightning's loop."""
    from prefalign.interfaces import Message, Pair, PreferenceRecord, Prompt, Response
    from prefalign.objectives.dpo import DPO
    from prefalign.policies.cached import Cached
    from prefalign.policies.reference import Auto
    from prefalign.policies.token import LoraSettings, TokenPolicy
    from prefalign.training.tuning import PreferenceTuning

    lora = LoraSettings(r=RANK, alpha=ALPHA) if weights == "lora" else None
    module = PreferenceTuning(
        TokenPolicy(str(folder), lora=lora), DPO(beta=BETA), Cached() if reference == "cached" else Auto()
    )
    module.configure_model()

    def response(turns: list[dict[str, str]]) -> Response:
        return Response(text=turns[0]["content"])

    codec = module.policy.codec
    examples = [
        codec.encode(
            PreferenceRecord(
                id=str(index),
                prompt=Prompt(messages=(Message("user", (row["prompt"][0]["content"],)),)),
                responses=(response(row["chosen"]), response(row["rejected"])),
                verdict=Pair(),
            )
        )
        for index, row in enumerate(write_pairs(workload))
    ]
    batch = codec.collate(examples, module.needs)
    assert module.reference is not None
    module.reference.prepare(module.policy, [[batch]], folder)
    optimizer = new_optimizer(module)

    def step() -> float:
        loss = module.evaluate_batch(batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return Arm(step)


def build_trl(folder: Path, workload: Workload, weights: str, reference: str) -> Arm:
    """TRL's DPO trainer, without its loop."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer
    from trl.trainer import utils

    if workload.compact_trl:
        # The one place that decides it; the kernels that do the arithmetic ask a name of their own.
        utils._use_triton = lambda device: True
    lora = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    arguments = DPOConfig(
        output_dir=str(folder / "trl"),
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        report_to=[],
        beta=BETA,
        seed=0,
        precompute_ref_log_probs=reference == "cached",
    )
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        args=arguments,
        train_dataset=Dataset.from_list(write_pairs(workload)),
        processing_class=AutoTokenizer.from_pretrained(folder),
        peft_config=lora if weights == "lora" else None,
    )
    batch = trainer.data_collator(list(trainer.train_dataset))
    optimizer = new_optimizer(trainer.model)
    trainer.model.train()

    def step() -> float:
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.item())

    return Arm(step)


def new_optimizer(module: torch.nn.Module) -> torch.optim.Optimizer:
    """The same AdamW for both sides."""
    return torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=RATE, weight_decay=0.0)


BUILD = {"prefalign": build_ours, "trl": build_trl}


def measure_time(folder: Path, workload: Workload, mode: tuple[str, str], repetitions: int) -> dict[str, Any]:
    """Wall and CPU seconds of every step of both sides, taken in turns that swap their order each time.

    Raises:
        RuntimeError: if the losses of the two sides part.
    """
    arms = {name: BUILD[name](folder, workload, *mode) for name in ARMS}
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
    for repetition in range(WARM_UP + repetitions):
        for name in ARMS if repetition % 2 else reversed(ARMS):
            wall, cpu = time.perf_counter(), time.process_time()
            loss = arms[name].step()
            taken[name].append({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "loss": loss})
        ours, theirs = (taken[name][-1]["loss"] for name in ARMS)
        if abs(ours - theirs) > 1e-3 * max(abs(theirs), 0.01):
            raise RuntimeError(f"{mode}, step {repetition}: the losses part, {ours} and {theirs}")
    kept = {name: steps[WARM_UP:] for name, steps in taken.items()}
    return {
        "steps": kept,
        "seconds": {name: statistics.median(step["wall"] for step in steps) for name, steps in kept.items()},
        "first_and_last_loss": [taken["prefalign"][0]["loss"], taken["prefalign"][-1]["loss"]],
        **{f"{clock}_ratio": spread(kept, clock) for clock in ("wall", "cpu")},
    }


def spread(steps: dict[str, list[dict[str, float]]], clock: str) -> dict[str, float]:
    """Least, median and greatest ratio of ours to theirs over the repetitions."""
    ratios = [ours[clock] / theirs[clock] for ours, theirs in zip(*(steps[name] for name in ARMS), strict=True)]
    return {"min": min(ratios), "median": statistics.median(ratios), "max": max(ratios)}


def status(field: str) -> int:
    """A size of this process in bytes, as the kernel counts it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def measure_memory(folder: Path, workload: Workload, name: str, mode: tuple[str, str]) -> int:
    """Peak bytes of this process during the steps, above its size with everything imported; run it in a fresh one."""
    quieten()
    import_everything()
    before = status("VmRSS")
    arm = BUILD[name](folder, workload, *mode)
    Path("/proc/self/clear_refs").write_text("5")  # start the peak anew
    for _ in range(MEMORY_STEPS):
        arm.step()
    return status("VmHWM") - before


def import_everything() -> None:
    """Import what either side needs, so that libraries do not count as memory of one of them."""
    for module in ("prefalign.training.tuning", "prefalign.policies.cached", "peft", "trl.trainer.dpo_trainer"):
        importlib.import_module(module)


def quieten() -> None:
    """Keep the libraries' own talk out of the table."""
    import transformers

    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    packages = ("prefalign", "torch", "transformers", "peft", "trl", "lightning")
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def table(results: list[dict[str, Any]]) -> str:
    """The results as Markdown. Ratios are ours over TRL's: below 1 we are faster or smaller."""
    lines = [
        "| weights | reference | ours | TRL | wall ratio, median (min to max) | CPU ratio, median (min to max) "
        "| ours, peak | TRL, peak | peak ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        spreads = " | ".join(
            "{median:.2f} ({min:.2f} to {max:.2f})".format(**result[f"{clock}_ratio"]) for clock in ("wall", "cpu")
        )
        seconds = " | ".join(f"{1000 * result['seconds'][name]:.0f} ms" for name in ARMS)
        peaks = [result["peak_bytes"][name] for name in ARMS]
        sizes = " | ".join(f"{peak / 2**20:.0f} MiB" for peak in peaks)
        mode = f"{result['weights']} | {result['reference']}"
        lines.append(f"| {mode} | {seconds} | {spreads} | {sizes} | {peaks[0] / peaks[1]:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure every mode, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=20, help="timed steps of each side")
    parser.add_argument("--pairs", type=int, default=Workload.pairs, help="pairs per step")
    parser.add_argument("--prompt", type=int, default=Workload.prompt, help="tokens of each prompt")
    parser.add_argument("--response", type=int, default=Workload.response, help="most tokens of each response")
    parser.add_argument(
        "--compact-trl", action="store_true", help="let TRL project completions only, as it does on GPUs"
    )
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    workload = Workload(options.pairs, options.prompt, options.response, options.compact_trl)
    quieten()
    facts = {"machine": machine(), "model": MODEL, "workload": asdict(workload), "repetitions": options.repetitions}
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder)
        for weights, reference in MODES:
            print(f"measuring {weights} weights with a {reference} reference", file=sys.stderr)
            result = {"weights": weights, "reference": reference}
            result |= measure_time(folder, workload, (weights, reference), options.repetitions)
            result["peak_bytes"] = {}
            for arm in ARMS:
                spawn = multiprocessing.get_context("spawn")
                with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
                    memory = pool.submit(measure_memory, folder, workload, arm, (weights, reference))
                    result["peak_bytes"][arm] = memory.result()
            results.append(result)
    print(json.dumps(facts, indent=2))
    print()
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps({**facts, "results": results}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
