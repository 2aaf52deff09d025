"""Denoisers tuned end to end: they learn, resume to the bit, keep to their anchor, and are watched for drift."""

import copy
import math
import warnings

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from tests.core.training.conftest import Losses

from prefalign.data.module import PreferenceDataModule
from prefalign.data.store import write_parquet
from prefalign.interfaces import CapabilityError, Group, PreferenceRecord, RecordError, Response
from prefalign.models.pretrained import LoraSettings
from prefalign.objectives.dpo import DPO
from prefalign.objectives.reward_weighted import Anchored, RewardWeighted
from prefalign.policies.cached import Cached
from prefalign.policies.denoising import DenoisingPolicy
from prefalign.policies.reference import Frozen, Moving
from prefalign.testing.denoisers import SmallDenoiser, latent_pairs
from prefalign.training.callbacks.drift import DenoisingDrift


@pytest.fixture
def records(tmp_path):
    """24 training pairs, 8 validation pairs, and 10 anchors: single responses that count as wholly good."""
    write_parquet(latent_pairs(24), tmp_path / "train.parquet")
    write_parquet(latent_pairs(8, seed=1), tmp_path / "val.parquet")
    single = [
        PreferenceRecord(id=r.id, prompt=r.prompt, responses=r.responses[:1], verdict=Group((1.0,)))
        for r in latent_pairs(10, seed=2)
    ]
    write_parquet(single, tmp_path / "anchor.parquet")
    return tmp_path


@pytest.fixture
def data(records):
    def make(**options):
        paths = {"train": str(records / "train.parquet"), "val": str(records / "val.parquet")}
        return PreferenceDataModule(**{**paths, "batch_size": 4, **options})

    return make


def policy(**options):
    return DenoisingPolicy(SmallDenoiser(), **options)


def test_starts_at_log_two_and_learns(tuning, trainer, data):
    losses = Losses()
    run = trainer(callbacks=[losses], max_epochs=30)
    run.fit(tuning(DPO(beta=20.0), policy=policy(), lr=1e-2), data())
    assert losses.seen[0] == pytest.approx(math.log(2), abs=1e-5)
    assert sum(losses.seen[-12:]) / 12 < 0.35
    assert run.callback_metrics["val/rewards/accuracies"] > 0.8
    assert run.callback_metrics["val/mse/rejected"] > run.callback_metrics["val/ref_mse/rejected"]


@pytest.mark.parametrize("lora", [None, LoraSettings(r=2)])
def test_cached_and_computed_references_give_the_same_losses(tuning, trainer, data, tmp_path, lora):
    seen = []
    for reference in (None, Cached(str(tmp_path / "cache"))):
        losses = Losses()
        module = tuning(DPO(beta=50.0), reference, policy=policy(lora=lora, replays=2), lr=1e-2)
        trainer(callbacks=[losses], max_epochs=4).fit(module, data())
        seen.append(losses.seen)
    assert seen[1] == pytest.approx(seen[0], abs=1e-6)
    assert len(set(seen[0])) > 20


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("stop", [4, 6, 9])
@pytest.mark.parametrize("kind", ["frozen", "cached", "moving", "anchored"])
def test_resuming_continues_bit_for_bit(tuning, trainer, data, tmp_path, kind, stop):
    """Stopped in mid-epoch (4, 9 of 6 steps an epoch) and at its end (6); noise, order and anchors go on."""
    references = {"frozen": Frozen, "moving": lambda: Moving(0.5, 2), "cached": lambda: Cached(str(tmp_path / "c"))}
    options = {"anchor": str(tmp_path / "anchor.parquet"), "anchor_batch_size": 3} if kind == "anchored" else {}

    def module():
        objective = Anchored(DPO(beta=20.0), 0.5) if kind == "anchored" else DPO(beta=20.0)
        reference = references.get(kind, Frozen)()
        return tuning(objective, reference, policy=policy(replays=2 if kind == "cached" else None), lr=1e-2)

    whole_losses, first_losses, rest_losses = Losses(), Losses(), Losses()
    whole = module()
    trainer(callbacks=[whole_losses], max_epochs=3).fit(whole, data(**options))

    class Stop(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == stop:
                raise KeyboardInterrupt

    def saving():
        return ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=stop, save_top_k=-1)

    run = trainer(callbacks=[first_losses, saving(), Stop()], max_epochs=3, enable_checkpointing=True)
    with pytest.raises(SystemExit):
        run.fit(module(), data(**options))
    (file,) = [f for f in (tmp_path / "ckpt").iterdir() if f"step={stop}" in f.name]
    resumed = module()
    torch.manual_seed(999)
    run = trainer(callbacks=[rest_losses, saving()], max_epochs=3, enable_checkpointing=True)
    run.fit(resumed, data(**options), ckpt_path=file, weights_only=True)
    assert first_losses.seen + rest_losses.seen == whole_losses.seen
    for (name, one), two in zip(whole.policy.state_dict().items(), resumed.policy.state_dict().values(), strict=True):
        assert torch.equal(one, two), name


def test_validation_meets_the_same_noise_every_time(tuning, trainer, data):
    class Kept(Callback):
        def __init__(self):
            self.losses = []

        def on_validation_end(self, trainer, pl_module):
            self.losses.append(trainer.callback_metrics["val/ref_mse/chosen"].item())

    kept = Kept()
    trainer(callbacks=[kept], max_epochs=3).fit(tuning(DPO(), policy=policy(), lr=1e-4), data())
    assert len(set(kept.losses[1:])) == 1


@pytest.fixture
def alike(tuning, trainer, records):
    """A function that makes a policy fitted to responses of one kind, which then are told apart by pairs that nothing
    distinguishes: the loss can only be lowered by pushing errors up."""
    rows = []
    for record in latent_pairs(24, seed=3):
        rejected = Response(arrays={"latents": -record.responses[1].arrays["latents"]})
        rows.append(
            PreferenceRecord(
                id=record.id, prompt=record.prompt, responses=(record.responses[0], rejected), verdict=record.verdict
            )
        )
    write_parquet(rows, records / "alike.parquet")
    fitted = tuning(DPO(loss_type="sft"), policy=policy(), lr=1e-2)
    trainer(max_epochs=60).fit(fitted, PreferenceDataModule(str(records / "alike.parquet"), batch_size=4))
    return lambda: copy.deepcopy(fitted.policy), PreferenceDataModule(str(records / "alike.parquet"), batch_size=4)


def test_the_drift_alarm_is_loud_on_bare_dpo_and_silent_with_the_winners_error(tuning, trainer, alike):
    fitted, data = alike
    found = {}
    for name, options in {"dpo": {}, "crpo": {"nll_weight": 1.0}}.items():
        module = tuning(DPO(beta=2.0, **options), policy=fitted(), lr=1e-2)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = trainer(callbacks=[DenoisingDrift()], max_epochs=60)
            run.fit(module, data)
        alarms = [str(w.message) for w in caught if "denoising error has grown" in str(w.message)]
        found[name] = len(alarms), run.callback_metrics["drift/chosen"].item()
    assert found["dpo"][0] == 1
    assert found["crpo"][0] == 0
    assert found["dpo"][1] > 0.5 > 0.1 > found["crpo"][1]


def test_the_alarm_can_stop_the_run(tuning, trainer, alike):
    fitted, data = alike
    run = trainer(callbacks=[DenoisingDrift(action="stop")], max_epochs=60)
    with pytest.warns(UserWarning, match="Add the chosen error to the loss"):
        run.fit(tuning(DPO(beta=2.0), policy=fitted(), lr=1e-2), data)
    assert 20 < run.global_step < 300


def test_an_anchoring_set_needs_an_objective_that_reads_it_and_the_other_way_round(tuning, trainer, data, records):
    anchor = str(records / "anchor.parquet")
    with pytest.raises(CapabilityError, match="put it into core/anchored"):
        trainer().fit(tuning(DPO(), policy=policy()), data(anchor=anchor))
    with pytest.raises(CapabilityError, match=r"set data\.anchor"):
        trainer().fit(tuning(Anchored(DPO()), policy=policy()), data())
    with pytest.raises(RecordError, match="an anchoring record has one response"):
        trainer().fit(tuning(Anchored(DPO()), policy=policy()), data(anchor=str(records / "val.parquet")))


def test_reward_weighting_learns_towards_the_rewarded(tuning, trainer, records):
    """Responses about +1 have reward 1, those about −1 reward 0: afterwards samples lie above 0."""
    rows = [
        PreferenceRecord(id=f"{r.id}-{i}", prompt=r.prompt, responses=(r.responses[i],), verdict=Group((1.0 - i,)))
        for r in latent_pairs(48)
        for i in range(2)
    ]
    write_parquet(rows, records / "rated.parquet")
    module = tuning(Anchored(RewardWeighted(), 0.25), policy=policy(), lr=1e-2)
    data = PreferenceDataModule(
        str(records / "rated.parquet"), batch_size=16, anchor=str(records / "anchor.parquet"), anchor_batch_size=4
    )
    run = trainer(max_epochs=60)
    run.fit(module, data)
    metrics = run.callback_metrics
    assert metrics["train/anchor/effective_weight"] == pytest.approx(0.25 / metrics["train/weights/mean"].item())
    prompts = [record.prompt for record in latent_pairs(4)]
    drawn = module.policy.sample(prompts, 8, generator=torch.Generator().manual_seed(0), guidance=1.0, steps=16)
    assert sum(r.arrays["latents"].mean() for g in drawn for r in g) / 32 > 0.5
