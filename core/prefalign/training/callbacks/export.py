"""The finished model as a folder that Transformers, peft or Diffusers load without us, with its model card."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from prefalign.interfaces import PrefalignError
from prefalign.training.callbacks.folder import run_folder


class Export(Callback):
    """Write the trained model and its card when training ends, to `export` in the run's folder.

    Args:
        folder: where to write instead.
        card: also write the model card (README.md with the metadata that the hub reads).
    """

    def __init__(self, folder: str | None = None, card: bool = True) -> None:
        self.folder, self.card = folder, card

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse strategies under which one process does not hold the whole weights.

        Raises:
            PrefalignError: for a sharded strategy; before the training, not after it.
        """
        sharded = type(trainer.strategy).__name__ in {"FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy"}
        if stage == "fit" and sharded:
            raise PrefalignError(
                f"{type(trainer.strategy).__name__} spreads the weights over processes, and one alone cannot export "
                "them: drop the export callback and consolidate the checkpoint with `fabric consolidate`"
            )

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write."""
        if not trainer.is_global_zero:
            return
        trained = getattr(pl_module, "policy", None) or getattr(pl_module, "reward", None)
        folder = Path(self.folder) if self.folder else run_folder(trainer) / "export"
        folder.mkdir(parents=True, exist_ok=True)
        trained.save_pretrained(folder)  # type: ignore[union-attr]  # every module trains one of the two
        if self.card:
            metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
            config = getattr(pl_module, "run_config", None)
            (folder / "README.md").write_text(model_card(trained, config, metrics, trainer.global_step), "utf-8")


def model_card(trained: Any, config: dict[str, Any] | None, metrics: dict[str, float], steps: int) -> str:
    """The model card's text: where the model comes from, how it was trained, what was measured."""
    source = getattr(trained, "source", None)
    base = source if isinstance(source, str) else None
    model = (config or {}).get("model", {}).get("init_args", {})
    objective = model.get("objective") or {}
    head = ["---", "library_name: " + ("peft" if getattr(trained, "has_adapter", False) else "transformers")]
    if base and not Path(base).exists():
        head.append(f"base_model: {base}")
    head += ["tags:", "- prefalign", "- preference-alignment", "---", ""]
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("prefalign", "torch", "transformers"))
    body = [
        "# Preference-aligned model",
        "",
        f"Trained with prefalign for {steps} optimiser steps from "
        + (f"`{Path(base).name if Path(base).exists() else base}`." if base else "random weights."),
        "",
        "## Objective",
        "",
        "```json",
        json.dumps(objective, indent=2, default=str),
        "```",
        "",
        "## Last logged metrics",
        "",
        "| metric | value |",
        "|---|---|",
        *(f"| `{name}` | {value:.4g} |" for name, value in sorted(metrics.items())),
        "",
        f"Versions: {versions}.",
        "",
    ]
    return "\n".join(head + body)
