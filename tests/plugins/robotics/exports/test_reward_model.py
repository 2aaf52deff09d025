"""A core reward answers LeRobot's calls with one number a row."""

import numpy as np
import pytest
import torch

from prefalign.interfaces import PreferenceRecord, Relations
from prefalign.interfaces.reward import Reward, RewardOutput
from prefalign.interfaces.scores import Batch
from prefalign_robotics.exports.reward_model import LeRobotReward, RewardConfig
from prefalign_robotics.rewards.mlp import MarkovReward
from prefalign_robotics.rewards.transformer import PreferenceTransformerReward
from prefalign_robotics.segments.errors import SegmentError


class Codec:
    """Pads the steps of all responses to those of the longest and one more, so that a mask matters."""

    def encode(self, record: PreferenceRecord):
        return record

    def collate(self, examples, needs=frozenset()):
        arrays = [response.arrays for record in examples for response in record.responses]
        steps = max(len(held["actions"]) for held in arrays) + 1

        def stack(name):
            padded = [np.pad(held[name], ((0, steps - len(held[name])), (0, 0)), constant_values=99) for held in arrays]
            return torch.from_numpy(np.stack(padded))

        mask = torch.tensor([[step < len(held["actions"]) for step in range(steps)] for held in arrays])
        inputs = {"observations": stack("observations"), "actions": stack("actions"), "mask": mask}
        return Batch(inputs=inputs, relations=Relations.from_records(examples), keys=[r.id for r in examples])

    def fingerprint(self):
        return "test"


class StepReward(Reward):
    """The first number of the observation, plus a tenth of the first action's, times a weight."""

    def __init__(self, whole=False, valid=True):
        super().__init__()
        self.codec, self.whole, self.valid = Codec(), whole, valid
        self.weight = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, batch):
        mask = batch.inputs["mask"]
        steps = self.weight * (batch.inputs["observations"][:, :, :1] + batch.inputs["actions"][:, :, :1] / 10)
        valid = torch.tensor([self.valid] * len(mask))
        out = RewardOutput(mean=steps, valid=valid, mask=mask)
        return out.totals() if self.whole else out


OBSERVATIONS = torch.arange(12.0).reshape(2, 3, 2)
ACTIONS = torch.ones(2, 3, 1)


def test_windows_are_rewarded_for_their_last_step():
    model = LeRobotReward(StepReward())
    rewards = model.compute_reward({"observation.state": OBSERVATIONS, "action": ACTIONS, "task": ["a", "b"]})
    assert rewards.tolist() == pytest.approx([2 * 4.1, 2 * 10.1])
    assert rewards.dtype == torch.float32
    assert not rewards.requires_grad


def test_single_steps_need_no_axis_of_steps():
    batch = {"observation.state": OBSERVATIONS[:, 0], "action": ACTIONS[:, 0].double()}
    assert LeRobotReward(StepReward()).compute_reward(batch).tolist() == pytest.approx([0.2, 12.2])


def test_a_reward_of_whole_segments_gives_its_number():
    batch = {"observation.state": OBSERVATIONS, "action": ACTIONS}
    rewards = LeRobotReward(StepReward(whole=True)).compute_reward(batch)
    assert rewards.tolist() == pytest.approx([2 * (0 + 2 + 4 + 0.3), 2 * (6 + 8 + 10 + 0.3)])


def test_observations_stand_side_by_side_in_the_order_of_the_configuration():
    config = RewardConfig(observations=("observation.environment_state", "observation.state"), action="act")
    batch = {
        "observation.state": OBSERVATIONS,
        "observation.environment_state": torch.full((2, 3, 1), 7.0),
        "act": ACTIONS,
    }
    assert LeRobotReward(StepReward(), config).compute_reward(batch).tolist() == pytest.approx([14.2, 14.2])


@pytest.mark.parametrize("build", [MarkovReward, PreferenceTransformerReward])
def test_rewards_of_this_plugin_answer_as_they_do_outside_of_training(build):
    torch.manual_seed(0)
    reward = build(observation_size=2, action_size=1)
    model = LeRobotReward(reward)
    model.train()  # in which the scales would take these numbers for their measure
    batch = {"observation.state": OBSERVATIONS, "action": ACTIONS}
    first = model.compute_reward(batch)
    assert first.shape == (2,)
    assert torch.equal(model.compute_reward(batch), first)
    assert not reward.observation_scale.training
    alone = model.compute_reward({"observation.state": OBSERVATIONS[1:], "action": ACTIONS[1:]})
    assert torch.allclose(alone, first[1:], atol=1e-5)


def test_it_says_what_lerobot_asks_of_a_model_that_is_not_trained():
    model = LeRobotReward(StepReward())
    assert (model.name, model.config_class, model.is_trainable) == ("prefalign", RewardConfig, False)
    assert (model.config.type, model.config.device) == ("prefalign", "cpu")
    assert [parameter.item() for parameter in model.get_optim_params()] == [2.0]
    model.reset()
    with pytest.raises(NotImplementedError, match="prefalign fit"):
        model({})


def test_rows_that_cannot_be_judged_have_no_number():
    batch = {"observation.state": OBSERVATIONS, "action": ACTIONS}
    with pytest.raises(SegmentError, match=r"cannot judge rows \[0, 1\]"):
        LeRobotReward(StepReward(valid=False)).compute_reward(batch)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"action": None}, "expected a tensor under 'action' of the batch; it holds observation.state"),
        ({"action": torch.ones(2, 2, 1)}, r"as many rows and steps, got \(2, 3\) and \(2, 2\)"),
        ({"action": torch.ones(2)}, r"expected 'action' of \(batch, numbers\)"),
        ({"observation.state": OBSERVATIONS / 0}, "'observation.state' of row 0 is not finite"),
    ],
)
def test_batches_that_do_not_fit_are_refused(changed, message):
    batch = {"observation.state": OBSERVATIONS, "action": ACTIONS} | changed
    with pytest.raises(SegmentError, match=message):
        LeRobotReward(StepReward()).compute_reward(batch)
