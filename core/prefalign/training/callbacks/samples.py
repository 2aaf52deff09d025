"""A table of what the policy says to a few fixed prompts, after every validation."""

from __future__ import annotations

import json
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table

from prefalign.training.callbacks.folder import run_folder


class SampleTable(Callback):
    """Greedy answers to the first validation prompts, printed and kept in `samples/step-N.jsonl` of the run's folder.

    Args:
        count: number of prompts.
        max_new_tokens: limit of an answer.
    """

    def __init__(self, count: int = 4, max_new_tokens: int = 64) -> None:
        self.count, self.max_new_tokens = count, max_new_tokens

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sample, print, write."""
        policy, data = getattr(pl_module, "policy", None), getattr(trainer, "datamodule", None)
        encoded = getattr(data, "encoded", {}).get("val")
        if trainer.sanity_checking or not trainer.is_global_zero or policy is None or encoded is None:
            return
        records = [encoded.record(index) for index in range(min(self.count, len(encoded)))]
        answers = policy.sample([record.context(0) for record in records], max_new_tokens=self.max_new_tokens)
        rows: list[dict[str, Any]] = []
        table = Table(title=f"samples at step {trainer.global_step}")
        for column in ("prompt", "answer", "chosen in the data"):
            table.add_column(column, overflow="fold")
        for record, (answer,) in zip(records, answers, strict=True):
            prompt = record.context(0).text or " ".join(message.text for message in record.context(0).messages)
            row = {"id": record.id, "prompt": prompt, "answer": answer.text, "chosen": record.responses[0].text}
            rows.append(row)
            table.add_row(*(str(row[name] or "") for name in ("prompt", "answer", "chosen")))
        Console().print(table)
        folder = run_folder(trainer) / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"step-{trainer.global_step:06d}.jsonl").write_text(lines, encoding="utf-8")
        for logger in trainer.loggers:
            add = getattr(logger.experiment, "add_text", None)
            if add is not None:
                add("samples", "\n\n".join(f"**{r['prompt']}** {r['answer']}" for r in rows), trainer.global_step)
