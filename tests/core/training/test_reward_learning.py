"""Reward learning end to end on a tiny model."""

import json
import math

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from tests.core.training.conftest import Losses

from prefalign.interfaces import CapabilityError, PrefalignError
from prefalign.models.pretrained import LoraSettings
from prefalign.objectives.reward_modelling import BradleyTerry, Gaussian, Pointwise
from prefalign.rewards.combine import Ensemble
from prefalign.rewards.token import TokenReward
from prefalign.testing.tiny import LLAMA, word_pairs
from prefalign.training.callbacks.export import Export
from prefalign.training.reward_learning import RewardLearning


@pytest.fixture
def learning(tokenizer):
    """A function that makes a module; its arguments replace the defaults."""

    def make(reward=None, objective=None, lr=1e-2, gaussian=False, **fields):
        torch.manual_seed(0)
        return RewardLearning(
            reward or TokenReward(dict(LLAMA), tokenizer, gaussian=gaussian),
            objective or BradleyTerry(),
            optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=lr),
            **fields,
        )

    return make


def write_pairs(path, count, seed=0):
    """Pairs as hand-written JSONL."""
    rows = [
        {"id": r.id, "prompt": r.prompt.text, "chosen": r.responses[0].text, "rejected": r.responses[1].text}
        for r in word_pairs(count, seed)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def unseen(module, count=200):
    """Share of new pairs that the trained reward ranks as judged."""
    reward = module.reward.eval()
    batch = reward.codec.collate([reward.codec.encode(record) for record in word_pairs(count, seed=77)])
    with torch.no_grad():
        share = (reward.compare(batch) > 0.5).float().mean().item()
    reward.train()
    return share


#: Weights of a size that suits 32 dimensions; with Transformers' own the tiny model needs minutes.
LEARNER = {**LLAMA, "initializer_range": 0.15}


@pytest.mark.parametrize("gaussian", [False, True], ids=["bradley-terry", "gaussian"])
def test_learns_to_judge_unseen_pairs(learning, trainer, data, tokenizer, tmp_path, gaussian):
    """From a coin's chance to nine of ten, in some 200 steps."""
    reward = TokenReward(LEARNER, tokenizer, gaussian=gaussian, init_seed=1)
    module = learning(reward, Gaussian() if gaussian else BradleyTerry(), lr=5e-3)
    module.configure_model()
    before = unseen(module)
    records = write_pairs(tmp_path / "many.jsonl", 512), write_pairs(tmp_path / "val.jsonl", 200, seed=1)
    stop = EarlyStopping("val/accuracy", mode="max", stopping_threshold=0.95, patience=99)
    run = trainer(callbacks=[stop], max_epochs=12)
    run.fit(module, data(train=records[0], val=records[1], batch_size=16))
    assert 0.35 < before < 0.65
    assert unseen(module) > 0.9
    logged = {name: value.item() for name, value in run.callback_metrics.items()}
    assert logged["val/accuracy"] > 0.9
    assert logged["val/min_reward"] < logged["val/mean_reward"] < logged["val/max_reward"]
    assert logged["val/margin"] > 1
    names = {"loss", "accuracy", "margin", "min_reward", "mean_reward", "max_reward"}
    assert logged.keys() == {f"{stage}/{name}" for stage in ("train", "val") for name in names}


@pytest.mark.parametrize("objective", [BradleyTerry, Gaussian, Pointwise])
def test_starts_where_the_theory_says(learning, trainer, data, objective):
    """Without a head all rewards are 0, P = 1/2 and the loss log 2, also averaged over any variance."""
    losses, module = Losses(), learning(objective=objective(), gaussian=True)
    module.configure_model()
    torch.nn.init.zeros_(module.reward.model.score.weight)
    trainer(callbacks=[losses], max_epochs=6).fit(module, data())
    assert losses.seen[0] == pytest.approx(math.log(2), abs=1e-6)
    assert min(losses.seen[-6:]) < 0.6


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("stop", [4, 6])
def test_resuming_continues_bit_for_bit(learning, trainer, data, tmp_path, stop):
    """Stopped in mid-epoch (4 of 6 steps) and at its end, with an objective that draws random numbers."""

    def parts(*more):
        module = learning(objective=Gaussian(samples=8), gaussian=True, schedule="cosine", warmup=0.2)
        losses = Losses()
        save = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=stop, save_top_k=-1)
        return module, losses, trainer(callbacks=[losses, save, *more], max_epochs=3, enable_checkpointing=True)

    class Stop(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == stop:
                raise KeyboardInterrupt

    first, first_losses, run = parts(Stop())
    with pytest.raises(SystemExit):
        run.fit(first, data())
    (file,) = [f for f in (tmp_path / "ckpt").iterdir() if f"step={stop}" in f.name]
    resumed, rest_losses, run = parts()
    torch.manual_seed(999)
    run.fit(resumed, data(), ckpt_path=file, weights_only=True)
    whole, whole_losses, run = parts()
    run.fit(whole, data())
    assert first_losses.seen + rest_losses.seen == whole_losses.seen
    for name, tensor in whole.reward.state_dict().items():
        assert torch.equal(resumed.reward.state_dict()[name], tensor), name


def test_ensemble_members_learn_as_if_alone(trainer, data, tokenizer):
    """The mean of two losses halves the gradients, to the bit; twice the step undoes it."""

    def run(reward, lr):
        losses = Losses()
        optimizer = lambda parameters: torch.optim.SGD(parameters, lr=lr)  # noqa: E731
        fitted = trainer(callbacks=[losses])
        fitted.fit(RewardLearning(reward, BradleyTerry(), optimizer=optimizer), data())
        return losses.seen, fitted.callback_metrics

    members = [TokenReward(dict(LLAMA), tokenizer, init_seed=seed) for seed in (0, 1)]
    together, metrics = run(Ensemble(members), lr=0.2)
    alone = []
    for seed, member in enumerate(members):
        single = TokenReward(dict(LLAMA), tokenizer, init_seed=seed)
        alone.append(run(single, lr=0.1)[0])
        for mine, theirs in zip(member.parameters(), single.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)
    assert together == pytest.approx([(a + b) / 2 for a, b in zip(*alone, strict=True)], abs=1e-6)
    assert {"val/accuracy", "val/margin"} <= metrics.keys()


def test_accumulation_equals_the_larger_batch(learning, trainer, data):
    large, small = learning(lr=1e-3), learning(lr=1e-3)
    trainer().fit(large, data(batch_size=8))
    trainer(accumulate_grad_batches=4).fit(small, data(batch_size=2))
    for mine, theirs in zip(large.parameters(), small.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=5e-5)


def test_worker_processes_give_the_same_batches(learning, trainer, data):
    seen = []
    for workers in (0, 2):
        losses = Losses()
        trainer(callbacks=[losses], max_epochs=1).fit(learning(), data(num_workers=workers))
        seen.append(losses.seen)
    assert seen[0] == seen[1]


def test_the_trained_reward_is_exported_for_transformers(learning, trainer, data, tmp_path):
    from transformers import AutoModelForSequenceClassification

    module = learning()
    trainer(callbacks=[Export(str(tmp_path / "out"))]).fit(module, data())
    batch = module.codec.collate([module.codec.encode(record) for record in word_pairs(3)])
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    inputs = {name: batch.inputs[name] for name in ("input_ids", "attention_mask")}
    torch.testing.assert_close(module.reward(batch).mean, theirs(**inputs).logits, rtol=1e-4, atol=1e-5)
    assert "val/accuracy" in (tmp_path / "out" / "README.md").read_text()


def test_lora_leaves_the_trunk_as_it_was(learning, trainer, data, tokenizer):
    module = learning(TokenReward(dict(LLAMA), tokenizer, lora=LoraSettings(r=4)))
    module.configure_model()
    before = {name: tensor.clone() for name, tensor in module.reward.state_dict().items()}
    trainer(max_epochs=1).fit(module, data())
    moved = {name for name, tensor in module.reward.state_dict().items() if not torch.equal(before[name], tensor)}
    assert moved == {name for name, parameter in module.reward.named_parameters() if parameter.requires_grad}


def test_a_reward_without_variance_is_refused_before_the_first_step(learning, trainer, data):
    losses = Losses()
    with pytest.raises(CapabilityError, match="needs a reward with a variance"):
        trainer(callbacks=[losses]).fit(learning(objective=Gaussian()), data())
    assert losses.seen == []


def test_nothing_to_train_is_said(learning, trainer, data, tokenizer):
    reward = TokenReward(dict(LLAMA), tokenizer, frozen=["model", "score"])
    with pytest.raises(PrefalignError, match="every parameter is frozen"):
        trainer().fit(learning(reward), data())


class Logged(Callback):
    """Keeps the training metrics of every step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append({name.removeprefix("train/"): v.item() for name, v in trainer.logged_metrics.items()})


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")  # TRL's and accelerate's own
def test_every_step_is_trls(trainer, data, pairs, tokenizer, tmp_path):
    """TRL's whole reward trainer from the same weights, on the same full batches: loss and metrics of each step."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    start = TokenReward(LEARNER, tokenizer)
    start.configure_model()
    start.save_pretrained(tmp_path / "start")
    with open(pairs[0]) as file:
        rows = [json.loads(line) for line in file]
    settings = RewardConfig(
        output_dir=str(tmp_path / "trl"),
        per_device_train_batch_size=24,
        max_steps=8,
        learning_rate=3e-3,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        center_rewards_coefficient=0.01,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
    )
    peer = RewardTrainer(
        model=str(tmp_path / "start"),
        args=settings,
        train_dataset=Dataset.from_list([{k: row[k] for k in ("prompt", "chosen", "rejected")} for row in rows]),
        processing_class=AutoTokenizer.from_pretrained(tokenizer),
    )
    peer.train()
    theirs = [entry for entry in peer.state.log_history if "accuracy" in entry]
    ours = Logged()
    module = RewardLearning(
        TokenReward(str(tmp_path / "start")),
        BradleyTerry(center_rewards_coefficient=0.01),
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.0),
    )
    trainer(callbacks=[ours], max_epochs=8).fit(module, data(val=None, batch_size=24))
    assert len(ours.seen) == len(theirs) == 8
    for step, (mine, peers) in enumerate(zip(ours.seen, theirs, strict=True)):
        for name in ("loss", "accuracy", "margin", "min_reward", "mean_reward", "max_reward"):
            assert mine[name] == pytest.approx(peers[name], abs=2e-4), (step, name)
