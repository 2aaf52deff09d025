"""The rewards learn through the core's training, from labels that may be wrong, and a resumed run is the same run."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from tests.plugins.robotics.conftest import make_task

from prefalign.data.module import PreferenceDataModule
from prefalign.data.store import write_records
from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Response
from prefalign.objectives.reward_modelling import BradleyTerry
from prefalign.objectives.robust_reward import RobustReward
from prefalign.rewards.combine import Ensemble
from prefalign.training.reward_learning import RewardLearning
from prefalign_robotics.rewards.mlp import MarkovReward
from prefalign_robotics.rewards.transformer import PreferenceTransformerReward


def records_of(count, seed, pairs, probability=1.0):
    """Pairs of segments of one task, judged rightly with this probability, and labelled with it."""
    segments, comparisons = make_task(count, seed, "task")
    generator = np.random.default_rng(seed)
    made = []
    for number in generator.permutation(len(comparisons))[:pairs]:
        first, second = comparisons.pairs[number]
        better = int(comparisons.labels[number])
        chosen = better if generator.random() < probability else 1 - better
        responses = tuple(
            Response(arrays={"observations": segments.observations[row], "actions": segments.actions[row]})
            for row in (first, second)
        )
        verdict = Pair(chosen, 1 - chosen, probability=probability)
        made.append(
            PreferenceRecord(id=f"{seed}-{number}", prompt=Prompt(text="task"), responses=responses, verdict=verdict)
        )
    return made


@pytest.fixture
def train_file(tmp_path):
    write_records(records_of(40, 0, 128, 0.8), tmp_path / "train.parquet")
    return str(tmp_path / "train.parquet")


def trainer(folder, callbacks=(), epochs=8, **options):
    quiet = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "default_root_dir": folder,
    }
    return Trainer(**{**quiet, "max_epochs": epochs, "callbacks": list(callbacks), **options})


def learning(reward, objective, lr=3e-3):
    torch.manual_seed(0)
    return RewardLearning(reward, objective, optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=lr))


def unseen(reward, pairs=300):
    """Share of pairs of another draw of the task that the reward orders rightly."""
    reward.eval()
    batch = reward.codec.collate([reward.codec.encode(one) for one in records_of(40, 9, pairs)])
    with torch.no_grad():
        return (reward.compare(batch) > 0.5).float().mean().item()


REWARDS = {
    "markov": lambda: MarkovReward(3, 2, [32, 32]),
    "gaussian": lambda: MarkovReward(3, 2, [32, 32], gaussian=True, every=2),
    "transformer": lambda: PreferenceTransformerReward(3, 2, max_steps=6, width=32, heads=2),
    "gaussian transformer": lambda: PreferenceTransformerReward(3, 2, max_steps=6, width=32, heads=2, gaussian=True),
    "ensemble": lambda: Ensemble([MarkovReward(3, 2, [32], init_seed=seed) for seed in range(2)]),
}


@pytest.mark.parametrize("name", REWARDS)
def test_learns_what_is_better_from_labels_of_which_a_fifth_are_wrong(name, train_file, tmp_path):
    reward = REWARDS[name]()
    objective = RobustReward(entropy_floor=-2.0) if "gaussian" in name else BradleyTerry()
    trainer(tmp_path).fit(learning(reward, objective), PreferenceDataModule(train=train_file, batch_size=16))
    assert unseen(reward) > 0.9


class Losses(Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(outputs["loss"].item())


class Stop(Callback):
    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 5:
            raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("name", ["gaussian", "gaussian transformer"])
def test_resuming_continues_bit_for_bit(name, train_file, tmp_path):
    """Stopped in mid-epoch with a scale that is still being measured, draws from the reward, and dropout."""

    def parts(*more):
        losses = Losses()
        save = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=5, save_top_k=-1)
        run = trainer(tmp_path, [losses, save, *more], epochs=2, enable_checkpointing=True)
        module = learning(REWARDS[name](), RobustReward())
        return module, losses, run, PreferenceDataModule(train=train_file, batch_size=16)

    first, first_losses, run, data = parts(Stop())
    with pytest.raises(SystemExit):
        run.fit(first, data)
    (file,) = [f for f in (tmp_path / "ckpt").iterdir() if "step=5" in f.name]
    resumed, rest_losses, run, data = parts()
    torch.manual_seed(999)
    run.fit(resumed, data, ckpt_path=file, weights_only=True)
    whole, whole_losses, run, data = parts()
    run.fit(whole, data)
    assert len(whole_losses.seen) == 16
    assert first_losses.seen + rest_losses.seen == whole_losses.seen
    for key, tensor in whole.reward.state_dict().items():
        assert torch.equal(resumed.reward.state_dict()[key], tensor), key
