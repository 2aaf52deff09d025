"""Implicit Q-learning finds what to do where imitation does not, and values as they are defined."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from tests.plugins.robotics.policies.conftest import SaveAt

from prefalign.interfaces import PrefalignError
from prefalign_robotics.policies.cloning import clone
from prefalign_robotics.policies.iql import ImplicitQLearning, learn_iql
from prefalign_robotics.policies.quiet_trainer import quiet_trainer
from prefalign_robotics.policies.transitions import TransitionBatches, Transitions
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.episodes import Episodes


def walk(count=60, steps=12, places=6, right=0.3, seed=0):
    """Walks along a chain of places, right in three steps of ten; each step at the right end earns 1."""
    generator = np.random.default_rng(seed)
    actions = np.where(generator.random((count, steps)) < right, 1.0, -1.0)
    place = np.zeros((count, steps), int)
    place[:, 0] = generator.integers(places, size=count)
    for step in range(1, steps):
        place[:, step] = np.clip(place[:, step - 1] + actions[:, step - 1].astype(int), 0, places - 1)
    return Episodes(
        np.eye(places, dtype=np.float32)[place],
        actions[..., None].astype(np.float32),
        (place == places - 1).astype(np.float32),
        np.zeros((count, steps), bool),
        np.full(count, "random"),
        np.zeros(count, np.float32),
        np.arange(count),
        "chain",
    )


def test_it_walks_to_the_reward_where_imitation_walks_away():
    episodes = walk()
    learned = learn_iql(
        episodes, episodes.rewards, 400, batch_size=128, hidden=(32, 32), learning_rate=3e-3, expectile=0.9,
        discount=0.9, rate=0.05,
    )  # fmt: skip
    assert (learned.act(np.eye(6)) > 0.3).all()
    assert (clone(episodes, 200, width=32, learning_rate=3e-3).act(np.eye(6)) < 0).all()


def solve(transitions, steps=300, **settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        learner = ImplicitQLearning(2, 1, (16,), 1e-2, rate=0.2, **settings)
    quiet_trainer(steps).fit(learner, TransitionBatches(transitions, steps, 8))
    return learner.networks


@pytest.mark.parametrize(("goes_on", "expected"), [(False, [2.0, 2.0]), (True, [3.0, 4.0])])
def test_values_of_two_states_are_exact(goes_on, expected):
    """A earns 1 and leads to B, B earns 2; γ = 1/2. One action, so that any expectile is the value.

    If B ends: Q(B) = 2, Q(A) = 1 + 2/2 = 2. If B leads to itself: Q(B) = 2 / (1 − 1/2) = 4, Q(A) = 1 + 4/2 = 3.
    """
    states = torch.eye(2)
    data = Transitions(
        states, torch.zeros(2, 1), torch.tensor([1.0, 2.0]), states[[1, 1]], torch.tensor([True, goes_on])
    )
    networks = solve(data, discount=0.5)
    with torch.no_grad():
        for values in (*networks.critics(states, torch.zeros(2, 1)), networks.value(states)[:, 0]):
            assert values.tolist() == pytest.approx(expected, abs=0.03)


def toy(seed=0):
    generator = np.random.default_rng(seed)
    return Episodes(
        generator.standard_normal((6, 10, 3)).astype(np.float32) * [1, 50, 0] + [0, 9, 4],
        generator.uniform(-1, 1, (6, 10, 2)).astype(np.float32),
        generator.uniform(0, 1, (6, 10)).astype(np.float32),
        np.zeros((6, 10), bool),
        np.full(6, "expert"),
        np.zeros(6, np.float32),
        np.arange(6),
        "toy",
    )


def small(episodes, rewards=None, **options):
    return learn_iql(
        episodes, episodes.rewards if rewards is None else rewards, 12, batch_size=8, hidden=(8, 8), **options
    )


def test_a_seed_gives_the_same_policy_and_rewards_have_no_unit():
    episodes, state = toy(), torch.get_rng_state()
    seen = toy(1).observations[0]
    first = small(episodes).act(seen)
    assert first.shape == (10, 2)
    assert first.dtype == np.float32
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng():
        torch.manual_seed(9)  # whatever the process drew before
        assert np.array_equal(first, small(episodes).act(seen))
    assert not np.array_equal(first, small(episodes, seed=1).act(seen))
    assert first == pytest.approx(small(episodes, 1024 * episodes.rewards).act(seen), abs=1e-6)
    assert not np.array_equal(first, small(episodes, -episodes.rewards).act(seen))


def test_only_the_actors_rate_falls():
    rates = []

    class Rates(Callback):
        def on_train_batch_start(self, trainer, *arguments):
            rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])

    trainer = Trainer(
        max_steps=4, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, callbacks=[Rates()],
    )  # fmt: skip
    small(toy(), trainer=trainer, learning_rate=1e-2)
    actor, others = zip(*rates, strict=True)
    assert actor == pytest.approx([1e-2, 1e-2 * (1 + 0.5**0.5) / 2, 5e-3, 1e-2 * (1 - 0.5**0.5) / 2])
    assert others == (1e-2,) * 4


def test_observations_are_standardised():
    scale = small(toy()).networks.actor.scale
    observations = toy().observations[:, :-1].reshape(-1, 3)
    assert scale.mean == pytest.approx(observations.mean(0), rel=1e-4)
    assert scale.deviation == pytest.approx([*observations.std(0)[:2], 1], rel=1e-4)


def test_a_run_goes_on_to_the_bit(tmp_path):
    def column(seed, width):
        return torch.randn(50, width, generator=torch.Generator().manual_seed(seed))

    data = Transitions(column(0, 3), column(1, 2), torch.arange(50.0) / 50, column(2, 3), torch.arange(50) % 7 > 0)

    def run(seed, callbacks=(), resumed=None):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            learner = ImplicitQLearning(3, 2, (8,), learning_rate=1e-2)
        trainer = Trainer(
            max_steps=20, max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, callbacks=list(callbacks),
        )  # fmt: skip
        trainer.fit(learner, TransitionBatches(data, 20, 6), ckpt_path=resumed)
        assert trainer.global_step == 20
        return learner.state_dict()

    whole = run(0, [SaveAt(7, tmp_path / "seven.ckpt")])
    again = run(1, resumed=tmp_path / "seven.ckpt")
    assert [name for name, value in whole.items() if not torch.equal(value, again[name])] == []


def test_a_checkpoint_gives_the_policy_back(tmp_path):
    trainer = Trainer(
        max_steps=3, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path, enable_checkpointing=False,
    )  # fmt: skip
    trained = small(toy(), trainer=trainer, expectile=0.8)
    assert trainer.global_step == 3
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = ImplicitQLearning.load_from_checkpoint(tmp_path / "a.ckpt", map_location="cpu")
    seen = toy(2).observations[0]
    assert np.array_equal(loaded.act(seen), trained.act(seen))
    assert loaded.networks.expectile == 0.8


def test_the_run_leaves_nothing_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small(toy())
    assert not any(tmp_path.iterdir())
    assert capsys.readouterr().out == ""


def test_what_cannot_be_learned_from_is_refused():
    episodes = toy()
    with pytest.raises(SegmentError, match="toy: expected steps and a batch to learn with, got 0 of 256"):
        learn_iql(episodes, episodes.rewards, 0)
    with pytest.raises(SegmentError, match=r"expected rewards \(6, 10\)"):
        learn_iql(episodes, episodes.returns)
    with pytest.raises(SegmentError, match="got 6 of the same return"):
        small(episodes, np.ones((6, 10)))
    with pytest.raises(PrefalignError, match=r"0 <= discount < 1 and learning_rate > 0; got 1\.0"):
        small(episodes, discount=1.0)
