"""Trains the tiny model and writes this process's losses and its final weights; started by test_distributed.py."""

import json
import sys
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from safetensors.torch import save_file

from prefalign.data.module import PreferenceDataModule
from prefalign.objectives.dpo import DPO
from prefalign.policies.cached import Cached
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.policies.reference import Frozen
from prefalign.policies.token import TokenPolicy
from prefalign.testing.denoisers import SmallDenoiser
from prefalign.testing.tiny import LLAMA
from prefalign.training.tuning import PreferenceTuning


class Losses(Callback):
    def __init__(self, folder):
        self.folder, self.seen = folder, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(outputs["loss"].item())

    def on_train_end(self, trainer, pl_module):
        (self.folder / f"losses-{trainer.global_rank}.json").write_text(json.dumps(self.seen))
        if trainer.is_global_zero:
            save_file(
                {k: v.contiguous() for k, v in pl_module.policy.state_dict().items()},
                self.folder / "weights.safetensors",
            )


def main() -> None:
    folder, tokenizer, train, devices, reference, family = sys.argv[1:]
    torch.set_num_threads(1)
    if family == "tokens":
        policy, objective = TokenPolicy(dict(LLAMA), tokenizer), DPO(beta=0.1)
    else:
        policy, objective = DenoisingPolicy(SmallDenoiser(), replays=2), DPO(beta=50.0)
    module = PreferenceTuning(
        policy,
        objective,
        {"frozen": Frozen, "cached": Cached}[reference](),
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=3e-3),
    )
    trainer = Trainer(
        accelerator="cpu",
        devices=int(devices),
        strategy="ddp" if int(devices) > 1 else "auto",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Losses(Path(folder))],
    )
    trainer.fit(module, PreferenceDataModule(train, batch_size=8 // int(devices)))


if __name__ == "__main__":
    main()
