"""A robot's policy under the objectives of language models."""

import json
import math

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from safetensors.torch import load_file, save_file
from tests.plugins.robotics.policies.conftest import SaveAt

from prefalign.data.module import PreferenceDataModule
from prefalign.data.store import write_records
from prefalign.interfaces import CapabilityError, Pair, PrefalignError, PreferenceRecord, Prompt, RecordError, Response
from prefalign.objectives.dpo import DPO
from prefalign.objectives.pairs import PAIR_LOSSES
from prefalign.objectives.reference_free import CPO, ORPO, SimPO
from prefalign.policies.cached import Cached
from prefalign.policies.reference import Frozen
from prefalign.training.callbacks.export import Export
from prefalign.training.tuning import PreferenceTuning
from prefalign_robotics.policies.gaussian import GaussianPolicy


def good_actions(observations):
    """What the preferred behaviour does: 0.8 · sign of the first number, and the second number, bounded."""
    first = 0.8 * np.sign(observations[:, 0] - 5)
    return np.stack([first, np.tanh(observations[:, 1] / 100)], -1).astype(np.float32)


def make_record(number, probability=1.0, lengths=(6, 4)):
    """A response that acts well in seven steps of ten beside one of three, both the other way round else."""
    generator = np.random.default_rng(number)
    responses = []
    for share, steps in zip((0.7, 0.3), lengths, strict=True):
        observations = (generator.standard_normal((steps, 3)) * [1, 100, 0] + [5, 0, 2]).astype(np.float32)
        actions = good_actions(observations) * np.where(generator.random((steps, 1)) < share, 1, -1)
        responses.append(Response(arrays={"observations": observations, "actions": actions.astype(np.float32)}))
    return PreferenceRecord(
        id=f"r{number}",
        prompt=Prompt(text="task"),
        responses=tuple(responses),
        verdict=Pair(0, 1, probability=probability),
    )


def made(**options):
    policy = GaussianPolicy(3, 2, **{"hidden": [8, 8], **options})
    policy.configure_model()
    return policy


def batch_of(policy, count=3):
    return policy.collate([policy.encode(make_record(number)) for number in range(count)])


def test_scores_are_sums_over_the_steps_of_minus_the_squared_distance():
    policy = made().eval()
    scores = policy.scores(batch_of(policy))
    assert scores.units == "nats"
    assert scores.lengths.tolist() == [6, 4] * 3
    for row, (record, side) in enumerate([(n, s) for n in range(3) for s in range(2)]):
        arrays = make_record(record).responses[side].arrays
        distances = ((policy.act(arrays["observations"]) - arrays["actions"]) ** 2).sum(1)
        assert scores.token_logps[row, : len(distances)].detach().numpy() == pytest.approx(-distances, rel=1e-5)
        assert not scores.token_logps[row, len(distances) :].any()
        assert scores.logps[row].item() == pytest.approx(-distances.sum(), rel=1e-5)


def test_the_log_probability_is_that_of_a_gaussian_of_variance_one_half():
    """log N(a; π, ½) = −(a − π)² − ½ log π for each number of the action."""
    policy = made().eval()
    batch = batch_of(policy, 1)
    mean = policy.actor(batch.inputs["observations"])
    exact = torch.distributions.Normal(mean, math.sqrt(0.5)).log_prob(batch.inputs["actions"]).sum(-1)
    constant = 2 * -0.5 * math.log(math.pi)
    mask = batch.inputs["mask"]
    torch.testing.assert_close(policy.scores(batch).token_logps[mask], exact[mask] - constant, atol=1e-5, rtol=0)


def test_gradients_are_exact():
    policy = made(hidden=[4]).double()
    batch = batch_of(policy)
    batch.inputs["observations"] = batch.inputs["observations"].double()
    policy.eval()

    def logps(*parameters):
        names = [name for name, _ in policy.actor.network.named_parameters()]
        held = dict(zip(names, parameters, strict=True))
        seen = policy.actor.standardised(batch.inputs["observations"])
        mean = torch.func.functional_call(policy.actor.network, held, (seen,))
        return -((mean - batch.inputs["actions"].double()).square().sum(-1) * batch.inputs["mask"]).sum(-1)

    parameters = [p.detach().clone().requires_grad_() for p in policy.actor.network.parameters()]
    assert torch.autograd.gradcheck(logps, parameters)
    logps(*parameters).sum().backward()
    policy.scores(batch).logps.sum().backward()
    for mine, theirs in zip(policy.actor.network.parameters(), parameters, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_the_scale_is_measured_unless_there_is_a_reference():
    policy = made()
    policy.scores(batch_of(policy), frozenset({"reference"}))
    assert policy.actor.scale.count == 0
    policy.scores(batch_of(policy), frozenset({"likelihood"}))
    assert policy.actor.scale.count == 30
    policy.eval().scores(batch_of(policy))
    assert policy.actor.scale.count == 30
    seen = batch_of(policy).inputs["observations"][batch_of(policy).inputs["mask"]]
    torch.testing.assert_close(policy.actor.scale.mean, seen.mean(0))


@pytest.fixture
def train_file(tmp_path):
    write_records([make_record(number) for number in range(64)], tmp_path / "train.parquet")
    return str(tmp_path / "train.parquet")


class Losses(Callback):
    """Keeps every training loss, to the bit."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(outputs["loss"].item())


def tune(train_file, tmp_path, objective, policy=None, reference=None, steps=3, callbacks=(), **fit):
    seed_everything(0)
    losses = Losses()
    trainer = Trainer(
        max_steps=steps, max_epochs=-1, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path,
        callbacks=[losses, *callbacks],
    )  # fmt: skip
    module = PreferenceTuning(
        policy or GaussianPolicy(3, 2, [16, 16]),
        objective,
        reference,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
    )
    trainer.fit(module, PreferenceDataModule(train=train_file, batch_size=16), **fit)
    return module.policy, losses.seen


#: Where the loss starts with the policy as its own reference; β = 0.1.
STARTS = {"sigmoid": math.log(2), "ipo": 25.0, "hinge": 1.0, "cpl_kl": math.log(2), "apo_zero": 1.0, "aot": math.log(2)}


@pytest.mark.parametrize("name", STARTS)
def test_training_starts_where_policy_and_reference_agree(name, train_file, tmp_path):
    _, seen = tune(train_file, tmp_path, DPO(loss_type=name), reference=Frozen())
    assert seen[0] == pytest.approx(STARTS[name], abs=1e-5)
    assert seen[-1] != seen[0]


@pytest.mark.parametrize(
    "objective",
    [
        *(lambda n=n: DPO(loss_type=n) for n in sorted({*PAIR_LOSSES} - {*STARTS, "exo_pair"})),
        lambda: DPO(loss_type="exo_pair", label_smoothing=1e-3),
        lambda: DPO(loss_type="cpl", nll_weight=0.1),
        lambda: DPO(average=True),
        lambda: DPO(ld_alpha=0.5),
        CPO,
        SimPO,
        ORPO,
    ],
)
def test_every_pairwise_objective_takes_its_scores(objective):
    """The scores of a policy and of its disturbed copy, through the objective, to finite gradients."""
    objective, policy, other = objective(), made().eval(), made(init_seed=1).eval()
    assert objective.needs <= policy.provides | {"reference"}
    batch = batch_of(policy)
    out = objective(policy.scores(batch, objective.needs), other.scores(batch).detach(), batch.relations)
    out.loss.backward()
    gradients = [p.grad for p in policy.parameters()]
    assert all(g.isfinite().all() for g in gradients)
    assert any(g.any() for g in gradients)


def test_a_cached_reference_gives_the_losses_of_the_frozen_copy(train_file, tmp_path):
    first, _ = tune(train_file, tmp_path, DPO(loss_type="cpl"), steps=4)
    first.save_pretrained(tmp_path / "start")

    def losses(reference):
        start = GaussianPolicy(3, 2, [16, 16], weights=str(tmp_path / "start"))
        return tune(train_file, tmp_path, DPO(loss_type="cpl_kl"), start, reference, steps=6)[1]

    seen = [losses(reference) for reference in (Frozen(), Cached(str(tmp_path / "cache")))]
    assert seen[0][0] == pytest.approx(math.log(2), abs=1e-6)
    assert seen[1] == pytest.approx(seen[0], abs=1e-6)


def test_stored_scores_come_back():
    policy = made().eval()
    batch = batch_of(policy)
    scores = policy.scores(batch).detach()
    again = policy.restored(policy.stored(scores), batch)
    for name in ("logps", "lengths", "token_logps", "mask"):
        assert torch.equal(getattr(again, name), getattr(scores, name)), name


def test_cloning_then_preferences(train_file, tmp_path):
    """The mean of the chosen is 0.7 − 0.3 of the good behaviour; what tells the pairs apart is all of it."""
    unseen = np.random.default_rng(99).standard_normal((200, 3)) * [1, 100, 0] + [5, 0, 2]

    def miss(policy):
        return float(np.abs(policy.act(unseen) - good_actions(unseen))[np.abs(unseen[:, 0] - 5) > 0.5].mean())

    cloned, _ = tune(
        train_file, tmp_path, DPO(loss_type="sft"), steps=120, callbacks=[Export(str(tmp_path / "cloned"), card=False)]
    )
    assert cloned.actor.scale.settled
    start = GaussianPolicy(3, 2, [16, 16], weights=str(tmp_path / "cloned"))
    tuned, seen = tune(train_file, tmp_path, DPO(loss_type="cpl"), start, steps=60)
    assert seen[-1] < seen[0]
    assert miss(cloned) == pytest.approx(0.6 * np.abs(good_actions(unseen)).mean(), abs=0.1)
    assert miss(tuned) < miss(cloned) / 2
    # The scale came with the weights, and stayed.
    assert torch.equal(tuned.actor.scale.mean, cloned.actor.scale.mean)


def test_a_run_goes_on_to_the_bit(train_file, tmp_path):
    file = tmp_path / "five.ckpt"
    whole, seen = tune(train_file, tmp_path, DPO(loss_type="cpl"), steps=12, callbacks=[SaveAt(5, file)])
    again, rest = tune(train_file, tmp_path, DPO(loss_type="cpl"), steps=12, ckpt_path=file)
    assert rest == seen[5:]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_saved_and_loaded_it_acts_the_same(tmp_path):
    policy = made(init_seed=3)
    policy.scores(batch_of(policy))
    policy.save_pretrained(tmp_path / "out")
    loaded = GaussianPolicy.from_pretrained(tmp_path / "out")
    seen = make_record(7).responses[0].arrays["observations"]
    assert np.array_equal(loaded.act(seen), policy.act(seen))
    assert loaded.actor.scale.settled
    assert not policy.actor.scale.settled
    assert loaded.codec.fingerprint() == policy.codec.fingerprint()
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["gaussian_policy.json", "model.safetensors"]


def test_seeds_differ_and_leave_the_global_generator_alone():
    state = torch.get_rng_state()
    seen = make_record(7).responses[0].arrays["observations"]
    one, same, other = (made(init_seed=seed).act(seen) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_autocast_does_not_coarsen_the_scores():
    policy = made().eval()
    exact = policy.scores(batch_of(policy)).logps
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(policy.scores(batch_of(policy)).logps, exact)


def test_what_is_refused(tmp_path):
    policy = GaussianPolicy(3, 2)
    for use in (lambda: policy.act(np.zeros((1, 3))), lambda: policy.save_pretrained(tmp_path / "x")):
        with pytest.raises(PrefalignError, match="call configure_model first"):
            use()
    with pytest.raises(CapabilityError, match=r"run it in a simulator .*roll_out"):
        policy.sample([Prompt(text="task")])
    with pytest.raises(PrefalignError, match="at least 1 unit"):
        GaussianPolicy(3, 2, [0])
    with pytest.raises(PrefalignError, match="so this is no Gaussian policy"):
        GaussianPolicy.from_pretrained(tmp_path)
    wide = make_record(0)
    wide.responses[1].arrays["actions"][2, 1] = -1.5
    with pytest.raises(RecordError, match=r"actions in \[−1, 1\].*got 1\.5") as found:
        policy.encode(wide)
    assert found.value.field == "responses[1].arrays.actions"


def saved(folder, **changes):
    made().save_pretrained(folder)
    file = folder / "gaussian_policy.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


def test_damaged_folders_are_named(tmp_path):
    with pytest.raises(PrefalignError, match="do not fit this version"):
        GaussianPolicy.from_pretrained(saved(tmp_path / "a", colour=1))
    with pytest.raises(PrefalignError, match="cannot be loaded"):
        GaussianPolicy.from_pretrained(saved(tmp_path / "b", hidden=[9]))
    (saved(tmp_path / "c") / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(PrefalignError, match="cannot be loaded"):
        GaussianPolicy.from_pretrained(tmp_path / "c")
    (saved(tmp_path / "d") / "gaussian_policy.json").write_text('{"hidden"')
    with pytest.raises(PrefalignError, match="was it cut off"):
        GaussianPolicy.from_pretrained(tmp_path / "d")
    policy = GaussianPolicy(3, 2, [9], weights=str(saved(tmp_path / "e")))
    with pytest.raises(PrefalignError, match=r"'hidden': \[8, 8\].* and this policy .*'hidden': \[9\]"):
        policy.configure_model()
    tensors = load_file(saved(tmp_path / "f") / "model.safetensors")
    tensors.pop("scale.mean")
    save_file(tensors, tmp_path / "f" / "model.safetensors")
    with pytest.raises(PrefalignError, match="cannot be loaded"):
        GaussianPolicy.from_pretrained(tmp_path / "f")
