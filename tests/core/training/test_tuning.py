"""Preference tuning end to end on a tiny model."""

import math

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from tests.core.training.conftest import Losses

from prefalign.interfaces import CapabilityError, Objective, PrefalignError
from prefalign.models.pretrained import LoraSettings
from prefalign.objectives.dpo import DPO
from prefalign.policies.cached import Cached
from prefalign.policies.reference import AdapterOff, Frozen, Moving
from prefalign.policies.token import TokenPolicy
from prefalign.testing.tiny import LLAMA


def weights(module):
    return {name: tensor.clone() for name, tensor in module.policy.state_dict().items()}


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_starts_at_log_two_and_learns(tuning, trainer, data):
    losses = Losses()
    run = trainer(callbacks=[losses], max_epochs=15)
    run.fit(tuning(), data())
    assert losses.seen[0] == pytest.approx(math.log(2), abs=1e-6)
    assert max(losses.seen[-6:]) < 0.35
    assert run.callback_metrics["train/rewards/accuracies"] == 1
    assert run.callback_metrics["val/rewards/margins"] > 0.3


@pytest.mark.parametrize("lora", [None, LoraSettings(r=4)])
def test_every_exact_reference_gives_the_same_losses(tuning, trainer, data, tokenizer, tmp_path, lora):
    """Frozen copy, adapter off and cache are three ways to the same numbers."""
    kinds = {"frozen": Frozen, "cached": lambda: Cached(str(tmp_path / "cache"))}
    if lora:
        kinds["off"] = AdapterOff
    seen = {}
    for name, make in kinds.items():
        losses = Losses()
        policy = TokenPolicy(dict(LLAMA), tokenizer, lora=lora)
        trainer(callbacks=[losses]).fit(tuning(policy=policy, reference=make()), data())
        seen[name] = losses.seen
    for name in kinds:
        assert seen[name] == pytest.approx(seen["frozen"], abs=2e-6), name


def test_the_cache_is_written_beside_the_records_and_used_again(tuning, trainer, data, pairs, monkeypatch, tmp_path):
    trainer(max_epochs=1).fit(tuning(reference=Cached()), data())
    files = list((tmp_path / ".prefalign" / "reference").rglob("*.safetensors"))
    assert len(files) == 1
    calls = []
    original = TokenPolicy.scores
    monkeypatch.setattr(
        TokenPolicy, "scores", lambda self, *a: calls.append(torch.is_grad_enabled()) or original(self, *a)
    )
    trainer(max_epochs=1, limit_val_batches=0).fit(tuning(reference=Cached()), data())
    assert calls == [True] * 6  # six training steps, and not one pass for the reference


def test_a_changed_model_never_meets_an_old_value(tuning, trainer, data, tokenizer, tmp_path):
    for seed in (0, 1):
        policy = TokenPolicy(dict(LLAMA), tokenizer, init_seed=seed)
        losses = Losses()
        trainer(max_epochs=1, callbacks=[losses]).fit(tuning(policy=policy, reference=Cached()), data())
        assert losses.seen[0] == pytest.approx(math.log(2), abs=1e-6)
    assert len(list((tmp_path / ".prefalign" / "reference").iterdir())) == 2


def test_token_weights_apply_to_cached_values(tuning, trainer, tmp_path, data):
    """The cache holds unweighted values, so the same cache serves a weighted set."""
    import json

    weighted = tmp_path / "weighted.jsonl"
    row = {"id": "w", "prompt": "say a: ", "chosen": "aaa", "rejected": "bb", "chosen_segments": [[0, 2, 5.0]]}
    weighted.write_text(json.dumps(row) + "\n")
    seen = []
    for reference in (Frozen(), Cached()):
        losses = Losses()
        trainer(max_epochs=3, callbacks=[losses]).fit(
            tuning(reference=reference), data(train=str(weighted), val=None, batch_size=1)
        )
        seen.append(losses.seen)
    assert seen[0] == pytest.approx(seen[1], abs=2e-6)
    assert seen[0][2] != pytest.approx(math.log(2), abs=1e-3)


def test_moving_reference_hard_update_returns_to_log_two(tuning, trainer, data):
    """With a hard update after every step the reference equals the policy at each next step."""
    losses = Losses()
    trainer(max_epochs=1, callbacks=[losses]).fit(tuning(reference=Moving(mixup=1.0, every=1)), data())
    assert losses.seen == pytest.approx([math.log(2)] * 6, abs=1e-6)


def test_moving_reference_mixes_by_its_share(tuning, trainer, data):
    module = tuning(reference=Moving(mixup=0.25, every=1))
    module.configure_model()
    start = weights(module)
    trainer(max_steps=1, max_epochs=1).fit(module, data())
    for name, moved in module.reference.copy.state_dict().items():
        expected = 0.75 * start[name] + 0.25 * module.policy.state_dict()[name]
        torch.testing.assert_close(moved, expected, rtol=1e-6, atol=1e-7)


def test_accumulation_equals_the_larger_batch(tuning, trainer, data):
    large, small = tuning(), tuning()
    trainer().fit(large, data(batch_size=8))
    trainer(accumulate_grad_batches=4).fit(small, data(batch_size=2))
    for name, tensor in weights(large).items():
        torch.testing.assert_close(weights(small)[name], tensor, rtol=1e-4, atol=2e-5)


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("reference", [Frozen, lambda: Moving(0.5, 3), Cached])
@pytest.mark.parametrize("stop", [4, 6, 9])
def test_resuming_continues_bit_for_bit(tuning, trainer, data, tmp_path, reference, stop):
    """Stopped in mid-epoch (4, 9 of 6 steps an epoch) and at its end (6)."""
    whole_losses, first_losses, rest_losses = Losses(), Losses(), Losses()
    whole = tuning(reference=reference(), schedule="cosine", warmup=0.2)
    trainer(callbacks=[whole_losses], max_epochs=3).fit(whole, data())
    save = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=stop, save_top_k=-1)

    class Stop(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == stop:
                raise KeyboardInterrupt

    first = tuning(reference=reference(), schedule="cosine", warmup=0.2)
    run = trainer(callbacks=[first_losses, save, Stop()], max_epochs=3, enable_checkpointing=True)
    with pytest.raises(SystemExit):
        run.fit(first, data())
    (file,) = [f for f in (tmp_path / "ckpt").iterdir() if f"step={stop}" in f.name]
    resumed = tuning(reference=reference(), schedule="cosine", warmup=0.2)
    torch.manual_seed(999)
    again = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=stop, save_top_k=-1)
    run = trainer(callbacks=[rest_losses, again], max_epochs=3, enable_checkpointing=True)
    run.fit(resumed, data(), ckpt_path=file, weights_only=True)
    assert first_losses.seen + rest_losses.seen == whole_losses.seen
    assert_same_weights(weights(resumed), weights(whole))


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("stop", [4, 6, 9])
def test_a_run_that_ended_by_its_steps_goes_on_bit_for_bit(tuning, trainer, data, tmp_path, stop):
    """Ended in mid-epoch (4, 9 of 6 steps an epoch) and with an epoch (6), then given more steps."""
    whole_losses, first_losses, rest_losses = Losses(), Losses(), Losses()
    steps = {"max_epochs": -1, "enable_checkpointing": True}
    whole = tuning(reference=Frozen())
    trainer(callbacks=[whole_losses], max_steps=16, max_epochs=-1).fit(whole, data())
    save = ModelCheckpoint(tmp_path / "ckpt", save_last=True)
    trainer(callbacks=[first_losses, save], max_steps=stop, **steps).fit(tuning(reference=Frozen()), data())
    resumed = tuning(reference=Frozen())
    run = trainer(callbacks=[rest_losses, ModelCheckpoint(tmp_path / "ckpt")], max_steps=16, **steps)
    run.fit(resumed, data(), ckpt_path=tmp_path / "ckpt" / "last.ckpt", weights_only=True)
    assert first_losses.seen + rest_losses.seen == whole_losses.seen
    assert_same_weights(weights(resumed), weights(whole))


def test_resuming_against_another_reference_is_refused(tuning, trainer, data, tokenizer, tmp_path):
    save = ModelCheckpoint(tmp_path / "ckpt", save_last=True)
    trainer(callbacks=[save], enable_checkpointing=True).fit(tuning(), data())
    other = tuning(policy=TokenPolicy(dict(LLAMA), tokenizer, init_seed=5))
    with pytest.raises(PrefalignError, match="reference model of this run is not the one"):
        trainer(max_epochs=4).fit(other, data(), ckpt_path=tmp_path / "ckpt" / "last.ckpt")


def test_a_checkpoint_holds_no_second_copy_of_a_frozen_reference(tuning, trainer, data, tmp_path):
    save = ModelCheckpoint(tmp_path / "ckpt", save_last=True)
    trainer(callbacks=[save], enable_checkpointing=True, max_epochs=1).fit(tuning(), data())
    state = torch.load(tmp_path / "ckpt" / "last.ckpt", weights_only=True)["state_dict"]
    assert state
    assert all(key.startswith(("policy.", "objective.")) for key in state)


class Demanding(Objective):
    needs = frozenset({"telepathy"})

    def forward(self, policy, reference, relations):
        raise AssertionError("never reached")


def test_an_impossible_objective_is_refused_before_weights_are_loaded(tokenizer, tuning):
    policy = TokenPolicy("/no/such/model", tokenizer)
    with pytest.raises(CapabilityError, match="Demanding needs telepathy, which policy TokenPolicy cannot give"):
        tuning(objective=Demanding(), policy=policy)


def test_adapter_off_needs_an_adapter(tuning):
    module = tuning(reference=AdapterOff())
    with pytest.raises(CapabilityError, match="set lora on the policy"):
        module.configure_model()


def test_nothing_to_train_is_said(tuning, trainer, data, tokenizer):
    policy = TokenPolicy(dict(LLAMA), tokenizer, frozen=["model", "lm_head"])
    with pytest.raises(PrefalignError, match="every parameter is frozen"):
        trainer().fit(tuning(policy=policy), data())


def test_reference_free_objectives_have_no_reference(tuning):
    from prefalign.objectives.dpo import DPO

    module = tuning(objective=DPO(loss_type="sft"))
    assert module.reference is None


def test_worker_processes_give_the_same_batches(tuning, trainer, data):
    alone, helped = Losses(), Losses()
    trainer(callbacks=[alone], max_epochs=1).fit(tuning(), data())
    trainer(callbacks=[helped], max_epochs=1).fit(tuning(), data(num_workers=2))
    assert alone.seen == helped.seen


def test_bad_records_stop_the_run_before_any_step_or_are_set_aside(tuning, trainer, data, pairs, tokenizer):
    from pathlib import Path

    path = Path(pairs[0])
    lines = path.read_text().splitlines()
    lines.insert(3, '{"id": "long", "prompt": "' + "x" * 60 + '", "chosen": "a", "rejected": "b"}')
    path.write_text("\n".join(lines) + "\n")
    policy = TokenPolicy(dict(LLAMA), tokenizer, max_length=40)
    losses = Losses()
    with pytest.raises(PrefalignError, match=r"train\.jsonl.*'long'.*never cut"):
        trainer(callbacks=[losses]).fit(tuning(policy=policy), data())
    assert losses.seen == []
    policy = TokenPolicy(dict(LLAMA), tokenizer, max_length=40)
    module = data(on_bad_record="skip")
    with pytest.warns(UserWarning, match="left out 1 of 25"):
        trainer(callbacks=[losses], max_epochs=1).fit(tuning(policy=policy), module)
    assert len(losses.seen) == 6


def test_the_default_beta_is_trls(tuning):
    assert DPO().beta == 0.1


def test_validation_means_are_over_records_and_skip_what_a_batch_lacks():
    """Two batches of 3 and 1 records: (3·1 + 1·5)/4 = 2; the margin was reported by the second batch alone."""
    from prefalign.training.module import EpochMeans

    means = EpochMeans()
    means.add({"loss": torch.tensor(1.0)}, 3)
    means.add({"rewards/margins": torch.tensor(7.0), "loss": torch.tensor(5.0)}, 1)
    assert means.compute() == {"loss": 2.0, "rewards/margins": 7.0}


def test_kept_records_are_encoded_once(tuning, trainer, data, monkeypatch):
    from prefalign.models.tokens import TextCodec

    encoded, original = [], TextCodec.encode
    monkeypatch.setattr(TextCodec, "encode", lambda self, record: encoded.append(record.id) or original(self, record))
    plain, kept = Losses(), Losses()
    trainer(callbacks=[plain]).fit(tuning(), data(val=None))
    encoded.clear()
    trainer(callbacks=[kept]).fit(tuning(), data(val=None, check_encoding=False, keep_encoded=True))
    assert len(encoded) == 24
    assert kept.seen == plain.seen
