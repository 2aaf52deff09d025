"""Time and peak memory of one DPO step of ours beside the same step of TRL's trainer.

    python benchmarks/preference_step.py --json step.json

A step is the forward pass, the loss, the backward pass and the optimiser; loading data and the training loops around
the step are left out on both sides. Both start from the same weights, see the same tokens and take the same AdamW
steps, and the run fails unless their losses agree at every step, so that no side can win by doing less.

How time and memory are measured stands in `turns.py`.

Activation checkpointing is off on both sides (TRL's own default is on). TRL computes entropy, mean logits and token
accuracy in every step; that is part of its step. On CPUs it projects every position to the vocabulary, on GPUs those of
the completions only; `--compact-trl` makes it do here what it does there.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import random
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import torch
from turns import Arm, in_fresh_process, machine, peak_of_steps, table, take_turns

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
MODES = tuple(itertools.product(("full", "lora"), ("live", "cached")))


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


BUILD: dict[str, Callable[..., Arm]] = {"prefalign": build_ours, "TRL": build_trl}


def measure_time(folder: Path, workload: Workload, mode: tuple[str, str], repetitions: int) -> dict[str, Any]:
    """The times of both sides; see `take_turns`.

    Raises:
        RuntimeError: if the losses of the two sides part.
    """
    arms = {name: build(folder, workload, *mode) for name, build in BUILD.items()}
    return take_turns(arms, repetitions, relative=1e-3, absolute=1e-5)


def measure_memory(folder: Path, workload: Workload, name: str, mode: tuple[str, str]) -> int:
    """Peak bytes of one side's steps; run it in a fresh process."""
    quieten()
    import_everything()
    return peak_of_steps(lambda: BUILD[name](folder, workload, *mode))


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
    packages = ("prefalign", "torch", "transformers", "peft", "trl", "lightning")
    facts = {
        "machine": machine(*packages),
        "model": MODEL,
        "workload": asdict(workload),
        "repetitions": options.repetitions,
    }
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder)
        for weights, reference in MODES:
            print(f"measuring {weights} weights with a {reference} reference", file=sys.stderr)
            result = {"weights": weights, "reference": reference}
            result |= measure_time(folder, workload, (weights, reference), options.repetitions)
            result["peak_bytes"] = {
                side: in_fresh_process(measure_memory, folder, workload, side, (weights, reference)) for side in BUILD
            }
            results.append(result)
    print(json.dumps(facts, indent=2))
    print()
    print(table(results, ("weights", "reference"), "TRL"))
    if options.json:
        options.json.write_text(json.dumps({**facts, "results": results}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
