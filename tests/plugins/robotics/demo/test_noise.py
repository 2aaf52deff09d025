"""Wrong labels are as many as asked for, and fresh windows are fresh."""

import numpy as np
import pytest
from tests.plugins.robotics.demo.conftest import PLAN, reaching_episodes

from prefalign.data.sources import open_records
from prefalign_robotics.demo import noise
from prefalign_robotics.demo.noise import endure
from prefalign_robotics.demo.preparation import Prepared


@pytest.fixture
def prepared(tmp_path):
    return Prepared(tmp_path, reaching_episodes("carry-left", 80), np.zeros(80), {})


@pytest.mark.parametrize("share", [0.0, 0.35])
def test_rewards_learn_from_wrong_labels_and_are_judged_on_fresh_windows(prepared, monkeypatch, share):
    learned, judged = [], []

    def learn(pairs, run, seed, steps, objective):
        learned.append((pairs, run.name, objective))
        return objective

    def step_rewards(reward, segments):
        judged.append(segments)
        # The robust one sees how far the thing has come (number 4), the other one the opposite.
        sign = 1 if reward == "robust" else -1
        return sign * segments.observations[..., 4], None

    monkeypatch.setattr(noise, "learn", learn)
    monkeypatch.setattr(noise, "step_rewards", step_rewards)
    found = endure(prepared, share, 0, PLAN, lambda line: None)
    assert found["robust"] > 0.6
    assert found["robust"] + found["bradley_terry"] == pytest.approx(1)
    assert [(name, objective) for _, name, objective in learned] == [
        (name, name) for name in ("robust", "bradley_terry")
    ]
    assert learned[0][0] == learned[1][0]
    settled = prepared.episodes.settled()
    place = {row.tobytes(): index for index, row in enumerate(settled.observations.reshape(-1, 39))}

    def cells(observations):
        return np.array([place[row.tobytes()] for row in observations])

    wrong, episodes = [], set()
    for record in open_records(str(learned[0][0])):
        responses = [cells(response.arrays["observations"]) for response in record.responses]
        returns = [settled.rewards.reshape(-1)[at].sum(dtype=np.float64) for at in responses]
        wrong.append(returns[record.verdict.chosen] < returns[record.verdict.rejected])
        assert record.verdict.probability == 1  # told as certain
        episodes |= {at[0] // PLAN.steps for at in responses}
    assert len(wrong) == 400
    # 400 draws: a standard deviation of 0.024.
    assert np.mean(wrong) == pytest.approx(share, abs=0.08 if share else 0)
    assert max(episodes) < 60
    assert {cells(window)[0] // PLAN.steps for window in judged[0].observations} <= set(range(60, 80))
