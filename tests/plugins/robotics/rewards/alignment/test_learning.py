"""People's comparisons find what matters among distractors, through the core's training; a resumed run is the same."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from scipy.stats import spearmanr
from tests.plugins.robotics.rewards.alignment.conftest import distracted

from prefalign.data.module import PreferenceDataModule
from prefalign.data.store import write_records
from prefalign.objectives.reward_modelling import BradleyTerry
from prefalign.training.reward_learning import RewardLearning
from prefalign_robotics.rewards.alignment.demonstrations import DemonstrationReward
from prefalign_robotics.rewards.alignment.encoders import PerceptronEncoder
from prefalign_robotics.rewards.alignment.objective import ChosenProbability
from prefalign_robotics.rewards.alignment.reward import AlignedReward
from prefalign_robotics.rewards.alignment.triplets import triplets
from prefalign_robotics.segments.segments import Segments
from prefalign_robotics.teacher.scripted import ScriptedTeacher


@pytest.fixture
def train_file(tmp_path):
    observations, quality = distracted(80, 0)
    segments = Segments(observations, np.zeros((80, 8, 1), np.float32), "turn")
    rewards = quality[:, None].repeat(8, 1)
    made = triplets(segments, rewards, 150, ScriptedTeacher(equal=1.0))
    assert 0 < sum(len(set(one.verdict.ranks)) == 1 for one in made) < 75
    write_records(made, tmp_path / "triplets.parquet")
    return str(tmp_path / "triplets.parquet")


def trainer(folder, callbacks=(), **options):
    quiet = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "default_root_dir": folder,
    }
    return Trainer(**{**quiet, "max_epochs": 20, "callbacks": list(callbacks), **options})


def learning(objective, **options):
    torch.manual_seed(0)
    reward = AlignedReward(PerceptronEncoder(12, [], 8), **options)
    return RewardLearning(reward, objective, optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-2))


def correlation(encoder, epsilon):
    """Spearman's, of the totals of unseen trajectories with what they are worth, by three good demonstrations."""
    known, worth = distracted(40, 1)
    rollouts, quality = distracted(60, 2)
    demonstrations = known[np.argsort(-worth)[:3]]
    reward = DemonstrationReward(demonstrations, encoder, epsilon=epsilon, iterations=1000, squashing="none")
    return spearmanr(reward.score(rollouts).sum(1), quality)[0]


@pytest.mark.parametrize("objective", [BradleyTerry(), ChosenProbability()], ids=["likelihood", "probability"])
def test_an_aligned_space_ranks_what_the_raw_one_does_not(objective, train_file, tmp_path):
    """Distances of raw observations follow the distractors, which are three times as large and stand still."""
    module = learning(objective, epsilon=0.2)
    trainer(tmp_path).fit(module, PreferenceDataModule(train=train_file, batch_size=16))
    assert correlation(module.reward.encoder, 0.2) > 0.85
    assert abs(correlation(None, 0.2)) < 0.5


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
def test_resuming_continues_bit_for_bit(train_file, tmp_path):
    """Stopped in mid-epoch with a scale that is still being measured."""

    def parts(*more):
        losses = Losses()
        save = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=5, save_top_k=-1)
        run = trainer(tmp_path, [losses, save, *more], max_epochs=2, enable_checkpointing=True)
        return learning(BradleyTerry(), epsilon=0.2), losses, run, PreferenceDataModule(train=train_file, batch_size=16)

    first, first_losses, run, data = parts(Stop())
    with pytest.raises(SystemExit):
        run.fit(first, data)
    (file,) = [f for f in (tmp_path / "ckpt").iterdir() if "step=5" in f.name]
    resumed, rest_losses, run, data = parts()
    run.fit(resumed, data, ckpt_path=file, weights_only=True)
    whole, whole_losses, run, data = parts()
    run.fit(whole, data)
    assert len(whole_losses.seen) == 20
    assert first_losses.seen + rest_losses.seen == whole_losses.seen
    for key, tensor in whole.reward.state_dict().items():
        assert torch.equal(resumed.reward.state_dict()[key], tensor), key
