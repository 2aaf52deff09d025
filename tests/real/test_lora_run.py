"""A LoRA run on a real model through the command, and its export read back without us."""

import csv
import json
import math
import os
import subprocess
import sys

import pytest
import torch
import yaml

from prefalign.data.sources import open_records
from prefalign.policies.token import LoraSettings, TokenPolicy

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]

STEPS = 6

READER = """
import json, sys
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

export, base, rows = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(export)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), export).eval()
sums = []
for row in json.load(open(rows)):
    for answer in (row["chosen"], row["rejected"]):
        start = len(tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"])
        ids = tokenizer.apply_chat_template(row["prompt"] + answer, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logps = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        sums.append(logps.gather(-1, ids[0, 1:, None])[start - 1 :].sum().item())
assert not any(name.partition(".")[0] in ("prefalign", "lightning") for name in sys.modules)
print(json.dumps(sums))
"""


def run(*command, **options):
    """Run a command and return what it printed."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def losses(folder):
    """The training losses of a run, from its CSV log."""
    (file,) = folder.glob("csv/*/metrics.csv")
    with file.open() as lines:
        return [float(row["train/loss"]) for row in csv.DictReader(lines) if row.get("train/loss")]


def test_a_lora_run_learns_and_its_export_needs_nothing_of_ours(smollm2, conversations, write_rows, tmp_path):
    # The last one's tokens merge across the end of the prompt, which the plain reader above does not look after.
    conversations = conversations[:-1]
    pairs = write_rows(conversations)
    config = {
        "trainer": {
            "accelerator": "cpu",
            "max_steps": STEPS,
            "log_every_n_steps": 1,
            "default_root_dir": str(tmp_path / "run"),
            "enable_progress_bar": False,
            "callbacks": [{"class_path": "prefalign.training.callbacks.export.Export"}],
        },
        "model": {
            "class_path": "prefalign.training.tuning.PreferenceTuning",
            "init_args": {
                "policy": {
                    "class_path": "prefalign.policies.token.TokenPolicy",
                    "init_args": {"model": smollm2, "lora": {"r": 8}},
                },
                "objective": {"class_path": "prefalign.objectives.dpo.DPO", "init_args": {"beta": 0.1}},
                "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 5e-4}},
            },
        },
        "data": {
            "class_path": "prefalign.data.module.PreferenceDataModule",
            "init_args": {"train": pairs, "batch_size": 3},
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    run("-m", "prefalign.cli.main", "fit", "--config", "config.yaml", cwd=tmp_path)
    seen = losses(tmp_path / "run")
    assert len(seen) == STEPS
    assert seen[0] == pytest.approx(math.log(2), abs=1e-5)  # the adapter starts at zero
    assert seen[-1] < 0.5 * seen[0]

    (tmp_path / "rows.json").write_text(json.dumps(conversations))
    export = tmp_path / "run" / "export"
    reader = ("-c", READER, str(export), smollm2, str(tmp_path / "rows.json"))
    found = torch.tensor(json.loads(run(*reader, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""})))

    # The same numbers from our own policy with the exported adapter's weights, and others than the base model's.
    policy = TokenPolicy(smollm2, lora=LoraSettings(r=8))
    policy.configure_model()
    batch = policy.codec.collate([policy.codec.encode(record) for record in open_records(pairs)])
    with torch.no_grad():
        base = policy.scores(batch).logps
        policy.model.load_adapter(str(export), adapter_name="trained")
        policy.model.set_adapter("trained")
        expected = policy.scores(batch).logps
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)
    shift = (found - base).view(-1, 2)
    assert (shift[:, 0] > shift[:, 1] + 1).all()  # every chosen answer rose against its rejected one
