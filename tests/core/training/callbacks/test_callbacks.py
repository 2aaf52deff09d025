"""The callbacks: what they write, when they speak up, and that none of them changes the training."""

import json

import pytest
import torch
from PIL import Image

from prefalign.interfaces import PrefalignError
from prefalign.policies.token import LoraSettings, TokenPolicy
from prefalign.testing.tiny import LLAMA
from prefalign.training.callbacks.displacement import LikelihoodDisplacement
from prefalign.training.callbacks.export import Export
from prefalign.training.callbacks.histograms import MarginHistogram
from prefalign.training.callbacks.samples import SampleTable


def test_none_of_them_changes_what_is_trained(tuning, trainer, data, tmp_path):
    bare, watched = tuning(), tuning()
    trainer(max_epochs=2).fit(bare, data())
    callbacks = [Export(), MarginHistogram(), SampleTable(2, 4), LikelihoodDisplacement()]
    trainer(max_epochs=2, callbacks=callbacks).fit(watched, data())
    for name, tensor in bare.policy.state_dict().items():
        assert torch.equal(watched.policy.state_dict()[name], tensor), name


def test_samples_are_printed_and_kept(tuning, trainer, data, tmp_path, capsys):
    module = tuning()
    trainer(max_epochs=1, callbacks=[SampleTable(count=3, max_new_tokens=5)]).fit(module, data())
    assert "samples at step 6" in capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "samples" / "step-000006.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["pair-0000", "pair-0001", "pair-0002"]
    record = data_record(module, rows[0]["id"])
    assert rows[0]["answer"] == module.policy.sample([record.prompt], max_new_tokens=5)[0][0].text


def data_record(module, name):
    encoded = module.trainer.datamodule.encoded["val"]
    return next(encoded.record(i) for i in range(len(encoded)) if encoded.record(i).id == name)


def test_margins_are_drawn(tuning, trainer, data, tmp_path):
    trainer(max_epochs=2, callbacks=[MarginHistogram(bins=8)]).fit(tuning(), data())
    pictures = sorted(path.name for path in (tmp_path / "margins").iterdir())
    assert pictures == ["step-000006.png", "step-000012.png"]
    with Image.open(tmp_path / "margins" / pictures[0]) as picture:
        assert picture.size == (720, 420)


class Logged:
    """Stands in for trainer and module: one metric value after another."""

    def __init__(self):
        self.callback_metrics, self.global_step, self.should_stop, self.log_values = {}, 0, False, []

    def log(self, name, value):
        self.log_values.append(value)

    def step(self, alarm, chosen, margin):
        self.callback_metrics = {
            "train/rewards/chosen": torch.tensor(chosen),
            "train/rewards/margins": torch.tensor(margin),
        }
        self.global_step += 1
        alarm.on_train_batch_end(self, self, None, None, 0)


def test_displacement_warns_once_and_only_when_both_fall():
    alarm, run = LikelihoodDisplacement(threshold=1.0, smoothing=0.5), Logged()
    run.step(alarm, -0.5, 2.0)  # below zero, but not by the threshold
    run.step(alarm, 3.0, 2.0)
    assert run.log_values == [0.0, 0.0]
    with pytest.warns(UserWarning, match=r"step 3: the chosen responses have become less likely"):
        run.step(alarm, -9.0, 2.0)
    run.step(alarm, -9.0, 2.0)
    assert run.log_values == [0.0, 0.0, 1.0, 1.0]
    assert not run.should_stop


def test_displacement_is_silent_while_the_margin_is_not_positive():
    alarm, run = LikelihoodDisplacement(), Logged()
    run.step(alarm, -9.0, -1.0)
    assert run.log_values == [0.0]


def test_displacement_hears_a_small_fall_once_the_margin_is_large():
    """A chosen log-probability of 0.9 nats below the reference at a margin of 21 nats, both times a beta of 0.1."""
    alarm, run = LikelihoodDisplacement(threshold=0.0, smoothing=0.0, min_margin=1.0), Logged()
    run.step(alarm, 0.0, 2.1)
    run.step(alarm, -0.09, 1.0)
    assert run.log_values == [0.0, 0.0]
    with pytest.warns(UserWarning, match=r"rewards/chosen -0.09\) while the margin is 2.10"):
        run.step(alarm, -0.09, 2.1)
    assert run.log_values == [0.0, 0.0, 1.0]


def test_displacement_can_stop_the_run_and_survives_a_restart():
    alarm, run = LikelihoodDisplacement(smoothing=0.0, action="stop"), Logged()
    with pytest.warns(UserWarning, match="less likely"):
        run.step(alarm, -2.0, 1.0)
    assert run.should_stop
    again = LikelihoodDisplacement(smoothing=0.0)
    again.load_state_dict(alarm.state_dict())
    run.step(again, -2.0, 1.0)  # no second warning, which would be an error here


def test_displacement_refuses_senseless_settings():
    with pytest.raises(PrefalignError, match="threshold of at least 0, got -1"):
        LikelihoodDisplacement(threshold=-1)
    with pytest.raises(PrefalignError, match="min_margin of at least 0, got nan"):
        LikelihoodDisplacement(min_margin=float("nan"))


def test_export_reads_back_without_us(tuning, trainer, data, tmp_path):
    from transformers import AutoModelForCausalLM

    module = tuning()
    trainer(max_epochs=1, callbacks=[Export()]).fit(module, data())
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "export")
    for name, tensor in module.policy.model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    card = (tmp_path / "export" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "`val/rewards/accuracies`" in card
    assert "for 6 optimiser steps from random weights" in card


def test_an_adapter_is_exported_as_peft_reads_it(tuning, trainer, data, tmp_path, tokenizer):
    from peft import PeftModel

    base = TokenPolicy(dict(LLAMA), tokenizer)
    base.configure_model()
    base.save_pretrained(tmp_path / "base")
    policy = TokenPolicy(str(tmp_path / "base"), lora=LoraSettings(r=2))
    module = tuning(policy=policy, lr=1e-2)
    trainer(max_epochs=1, callbacks=[Export()]).fit(module, data())
    again = PeftModel.from_pretrained(base.model, tmp_path / "export")
    ids = torch.arange(4, 12)[None]
    torch.testing.assert_close(again(input_ids=ids).logits, policy.model(input_ids=ids).logits, rtol=0, atol=1e-6)
    assert str(tmp_path) not in (tmp_path / "export" / "README.md").read_text()
