"""Values that explain preferences, with the reward they stand for as small as it can be."""

import math

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from tests.plugins.robotics.policies.conftest import SaveAt

from prefalign.data.module import PreferenceDataModule
from prefalign.data.store import write_records
from prefalign.interfaces import Pair, PrefalignError, PreferenceRecord, Prompt, RecordError, Response
from prefalign.training.callbacks.export import Export
from prefalign_robotics.policies.gaussian import GaussianPolicy
from prefalign_robotics.policies.ipl import InversePreferenceLearning


def response(steps, seed, good):
    """Observations of two numbers; the action is the sign of the first, or mostly the opposite."""
    generator = np.random.default_rng(seed)
    observations = (generator.standard_normal((steps, 2)) * [1, 30] + [4, 0]).astype(np.float32)
    sign = np.where(generator.random(steps) < (0.7 if good else 0.3), 1, -1)
    actions = 0.8 * np.sign(observations[:, :1] - 4) * sign[:, None]
    return Response(arrays={"observations": observations, "actions": actions.astype(np.float32)})


def make_record(number, **fields):
    responses = (response(7, 2 * number, True), response(5, 2 * number + 1, False))
    return PreferenceRecord(
        **{"id": f"r{number}", "prompt": Prompt(), "responses": responses, "verdict": Pair(0, 1)} | fields
    )


def made(hidden=(8,), **options):
    learner = InversePreferenceLearning(GaussianPolicy(2, 1, hidden), **options)
    learner.configure_model()
    return learner


def batch_of(learner, records):
    return learner.codec.collate([learner.codec.encode(one) for one in records])


def test_the_loss_is_that_of_the_paper():
    """r = Q − γ V of the next observation; BCE on sums over T − 1 steps; λ · mean r²; both critics alike."""
    learner = made(discount=0.9, regularisation=2.0).eval()
    records = [make_record(0, verdict=Pair(0, 1, probability=0.8)), make_record(1, weight=3.0)]
    found = learner.evaluate_batch(batch_of(learner, records))
    networks, totals, squares = learner.networks, [], []
    with torch.no_grad():
        for one in records:
            for answer in one.responses:
                seen = torch.tensor(answer.arrays["observations"])
                done = torch.tensor(answer.arrays["actions"])
                rewards = networks.critics(seen[:-1], done[:-1]) - 0.9 * networks.value(seen[1:])[:, 0]
                totals.append(rewards.sum(1).tolist())
                squares += rewards.square().flatten().tolist()

    def nll(x):
        return math.log1p(math.exp(-x))

    first = [0.8 * nll(a - b) + 0.2 * nll(b - a) for a, b in zip(*totals[:2], strict=True)]
    second = [3 * nll(a - b) for a, b in zip(*totals[2:], strict=True)]
    assert found.per_sample.tolist() == pytest.approx([sum(first) / 2, sum(second) / 2], rel=1e-5)
    assert len(squares) == 2 * 2 * (6 + 4)
    metrics = {name: value.item() for name, value in found.metrics.items()}
    assert metrics["squared_reward"] == pytest.approx(sum(squares) / len(squares), rel=1e-5)
    parts = sum(found.per_sample.tolist()) / 2 + 2 * metrics["squared_reward"]
    assert found.loss.item() == pytest.approx(parts + metrics["value_loss"] + metrics["actor_loss"], rel=1e-5)
    assert found.margins.tolist() == pytest.approx(
        [sum(totals[0]) / 2 - sum(totals[1]) / 2, sum(totals[2]) / 2 - sum(totals[3]) / 2], abs=1e-5
    )


def test_padding_counts_for_nothing():
    learner, records = made().eval(), [make_record(0), make_record(1)]
    alone = [learner.evaluate_batch(batch_of(learner, [one])).per_sample for one in records]
    longer = make_record(9, responses=(response(20, 1, True), response(3, 2, False)))
    together = learner.evaluate_batch(batch_of(learner, [*records, longer])).per_sample
    torch.testing.assert_close(together[:2], torch.cat(alone))


def test_preferences_do_not_reach_the_value():
    """V learns from Q alone, as if there were no preferences."""
    learner = made().eval()
    batch = batch_of(learner, [make_record(0)])
    weight = learner.networks.value[0].weight
    (found,) = torch.autograd.grad(learner.evaluate_batch(batch).loss, [weight])
    known, seen = batch.inputs["mask"][:, 1:], learner.networks.actor.standardised(batch.inputs["observations"])
    alone = learner.networks.improvement(seen[:, :-1][known], batch.inputs["actions"][:, :-1][known])
    torch.testing.assert_close(found, torch.autograd.grad(alone.value, [weight])[0])


class Losses(Callback):
    """Keeps every training loss, to the bit."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(outputs["loss"].item())


def descend(learner, records, steps):
    """Steps as training takes them, on all the records at once."""
    learner.configure_model()
    learner.train()
    optimizer, batch = learner.configure_optimizers(), batch_of(learner, records)
    for _ in range(steps):
        optimizer.zero_grad()
        learner.evaluate_batch(batch).loss.backward()
        optimizer.step()
        learner.networks.follow()
    return learner.eval()


@pytest.fixture
def train_file(tmp_path):
    write_records([make_record(number) for number in range(64)], tmp_path / "train.parquet")
    return str(tmp_path / "train.parquet")


def test_it_finds_the_smallest_reward_that_explains_the_preferences():
    """One pair, one step each, no discount: rewards x and −x minimise −log σ(2x) + λx², so λx = σ(−2x)."""
    states = [np.array([[0, 0], [0, 1]], np.float32), np.array([[1, 0], [1, 1]], np.float32)]
    both = tuple(Response(arrays={"observations": s, "actions": np.zeros((2, 1), np.float32)}) for s in states)
    learner = InversePreferenceLearning(GaussianPolicy(2, 1, (16,)), 1e-2, discount=0.0, regularisation=0.5)
    descend(learner, [make_record(0, responses=both)], 300)
    low, high = 0.0, 2.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 * middle < 1 / (1 + math.exp(2 * middle)) else (low, middle)
    seen = learner.networks.actor.standardised(torch.tensor(np.stack([s[0] for s in states])))
    with torch.no_grad():
        for critic in learner.networks.critics(seen, torch.zeros(2, 1)):
            assert critic.tolist() == pytest.approx([low, -low], abs=0.02)


def test_the_policy_does_what_was_preferred():
    """The data as a whole does either thing as often, so that cloning it would stand still."""
    learner = InversePreferenceLearning(
        GaussianPolicy(2, 1, (16, 16)), 1e-2, regularisation=0.5, discount=0.5, temperature=10.0
    )
    descend(learner, [make_record(number) for number in range(64)], 200)
    unseen = np.array([[3, 0], [5, 0], [2.5, 20], [5.5, -20]], np.float32)
    assert (learner.policy.act(unseen)[:, 0] * [-1, 1, -1, 1] > 0.4).all()


def test_a_run_goes_on_to_the_bit_and_exports_its_policy(train_file, tmp_path):
    def run(init_seed, callbacks, **options):
        torch.manual_seed(init_seed)
        learner, losses = InversePreferenceLearning(GaussianPolicy(2, 1, (8,), init_seed=init_seed)), Losses()
        trainer = Trainer(
            max_steps=11, max_epochs=-1, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, callbacks=[losses, *callbacks],
        )  # fmt: skip
        trainer.fit(learner, PreferenceDataModule(train=train_file, batch_size=16), **options)
        return learner, losses.seen

    whole, seen = run(0, [SaveAt(6, tmp_path / "six.ckpt"), Export(str(tmp_path / "out"), card=False)])
    again, rest = run(1, [], ckpt_path=tmp_path / "six.ckpt")
    assert rest == seen[6:]
    assert [n for n, value in whole.state_dict().items() if not torch.equal(value, again.state_dict()[n])] == []
    unseen = np.ones((3, 2), np.float32)
    assert np.array_equal(GaussianPolicy.from_pretrained(tmp_path / "out").act(unseen), whole.policy.act(unseen))


def test_what_is_refused():
    single = make_record(0, responses=(response(2, 0, True), response(1, 1, False)))
    learner = made()
    with pytest.raises(RecordError, match="at least 2 steps, as a step counts by what was seen after it") as found:
        learner.codec.encode(single)
    assert found.value.field == "responses[1].arrays"
    with pytest.raises(PrefalignError, match="margins, which inverse preference learning cannot honour"):
        learner.evaluate_batch(batch_of(learner, [make_record(0, margin=0.5)]))
    for wrong in ({"discount": 1.0}, {"regularisation": 0.0}, {"learning_rate": 0.0}):
        with pytest.raises(PrefalignError, match="0 <= discount < 1, learning_rate > 0 and regularisation > 0"):
            made(**wrong)
    with pytest.raises(PrefalignError, match="0 < expectile < 1"):
        made(expectile=1.0)
