"""Masks and alarms in real training steps of a small generator: seconds on one core."""

import math

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer

from prefalign.data.build import run_stages
from prefalign.data.module import PreferenceDataModule
from prefalign.data.store import write_parquet
from prefalign.interfaces import Media, Pair, PreferenceRecord, Prompt, Response
from prefalign.objectives.dpo import DPO
from prefalign.policies.cached import Cached
from prefalign.training.callbacks.displacement import LikelihoodDisplacement
from prefalign.training.tuning import PreferenceTuning
from prefalign_mesh3d.demo.shapes import draw_shapes
from prefalign_mesh3d.mesh.clouds import cloud_bytes, cloud_of
from prefalign_mesh3d.mesh.grid import canonical, frame_of, quantise
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.objectives.masked_dpo import MaskedDPO
from prefalign_mesh3d.pairs.face_rules import ManifoldFaces
from prefalign_mesh3d.pairs.masks import MaskFaces
from prefalign_mesh3d.policies.mesh_policy import MeshPolicy
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh

TOKENIZER = DeepMesh(2, 2, 4)
SIZES = {
    "width": 32,
    "heads": 2,
    "inner": 64,
    "depths": [2],
    "points": {"latents": 4, "width": 32, "heads": 2, "layers": 1, "frequencies": 2, "out_width": 32},
}


def stream(grid):
    return (*TOKENIZER.encode(grid).tolist(), TOKENIZER.eos_id)


def pairs(count):
    """A closed shape against the same shape with a hole of two faces, under the shape's cloud."""
    records = []
    for i, shape in enumerate(draw_shapes(count, seed=0)):
        placed = Mesh(frame_of(shape).place(shape.vertices), shape.faces)
        grid = quantise(placed, TOKENIZER.levels)
        holed = canonical(grid.vertices, np.delete(grid.faces, [i % len(grid.faces), 7], axis=0), grid.levels)
        prompt = Prompt(media=(Media(kind="points", data=cloud_bytes(cloud_of(placed, 16, i))),))
        responses = (Response(token_ids=stream(grid)), Response(token_ids=stream(holed)))
        records.append(PreferenceRecord(id=f"shape{i}", prompt=prompt, responses=responses, verdict=Pair()))
    return records


class Logged(Callback):
    """Keeps the metrics of every step."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.steps.append({name: value.item() for name, value in trainer.callback_metrics.items()})


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Trains a generator on pairs, from given weights or new ones; returns what was logged, and the weights."""

    def train(objective, records, steps, *callbacks, start=None, lr=1e-3):
        folder = tmp_path_factory.mktemp("run")
        write_parquet(records, folder / "pairs.parquet")
        torch.manual_seed(0)
        policy = MeshPolicy(dict(SIZES), TOKENIZER, points=16)
        policy.configure_model()
        if start is not None:
            policy.load_state_dict(start)
        module = PreferenceTuning(
            policy,
            objective,
            Cached(str(folder / "reference")) if "reference" in objective.needs else None,
            optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0),
        )
        logged = Logged()
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            default_root_dir=folder,
            max_steps=steps,
            max_epochs=-1,
            gradient_clip_val=1.0,
            callbacks=[*callbacks, logged],
        )
        trainer.fit(module, PreferenceDataModule(train=str(folder / "pairs.parquet"), batch_size=4))
        return logged.steps, policy.state_dict()

    return train


@pytest.fixture(scope="module")
def base(train):
    """Weights after supervised steps on the closed shapes."""
    return train(DPO(loss_type="sft"), pairs(4), 80, lr=1e-2)[1]


def test_dpo_without_an_anchor_raises_the_alarm(train, base):
    """The margin grows, every pair is ranked as judged, and the chosen meshes are unlearnt with the rejected ones."""
    with pytest.warns(UserWarning, match="the chosen responses have become less likely than under the reference"):
        steps, _ = train(DPO(beta=0.1), pairs(4), 8, LikelihoodDisplacement(smoothing=0.5), start=base)
    assert steps[-1]["alarm/likelihood_displacement"] == 1
    assert steps[-1]["train/rewards/accuracies"] == 1
    assert steps[-1]["train/rewards/chosen"] < -1 < 5 < steps[-1]["train/rewards/margins"]


def test_an_anchor_keeps_it_silent(train, base):
    """A warning would be an error here."""
    objective = DPO(beta=0.1, nll_weight=10.0)
    steps, _ = train(objective, pairs(4), 8, LikelihoodDisplacement(smoothing=0.5), start=base)
    assert {step["alarm/likelihood_displacement"] for step in steps} == {0}
    assert steps[-1]["train/rewards/chosen"] > -0.5
    assert steps[-1]["train/rewards/margins"] > 5


def test_masks_reach_the_loss_as_sums(train):
    """Every face of the chosen shapes is good, so that they count whole; of the rejected only those at the hole do."""
    masked = list(run_stages(pairs(4), [MaskFaces(TOKENIZER, ManifoldFaces())], 0))
    steps, _ = train(MaskedDPO(mask_form="logp_sum"), masked, 6)
    assert steps[0]["train/loss"] == pytest.approx(math.log(2), abs=1e-6)
    last = {name.removeprefix("train/"): value for name, value in steps[-1].items()}
    assert last["rewards/chosen"] == pytest.approx(0.1 * last["logps/chosen_shift"], rel=1e-4)
    assert abs(last["rewards/rejected"] - 0.1 * last["logps/rejected_shift"]) > 0.1
    assert last["loss"] < steps[0]["train/loss"]
    assert (last["masks/empty_chosen"], last["masks/empty_rejected"]) == (0, 0)


def test_masked_masses_are_trained(train):
    masked = list(run_stages(pairs(4), [MaskFaces(TOKENIZER, ManifoldFaces())], 0))
    steps, _ = train(MaskedDPO(nll_weight=1.0), masked, 6)
    losses = [step["train/loss/sigmoid"] for step in steps]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert losses[-1] < 0.5
    assert steps[-1]["train/nll_loss"] < steps[0]["train/nll_loss"]
