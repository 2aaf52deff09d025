"""The token policy beside TRL's DPO trainer on a real model: the same tokens, log-probabilities, loss and gradients."""

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from prefalign.data.sources import open_records
from prefalign.objectives.dpo import DPO
from prefalign.policies.reference import Frozen
from prefalign.policies.token import TokenPolicy
from prefalign.training.tuning import PreferenceTuning

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(900),
    # TRL 1.16 and Transformers 5.24 call each other by names that Transformers is about to drop.
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed in v6:FutureWarning"),
]


@pytest.fixture
def trl(smollm2, rows, tmp_path):
    """TRL's trainer over the rows, and its one batch of all of them: chosen rows first, then rejected ones."""
    from trl import DPOConfig, DPOTrainer

    def load():
        return AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32)

    plain = {"use_cpu": True, "bf16": False, "activation_checkpointing": False, "report_to": []}
    arguments = DPOConfig(output_dir=str(tmp_path / "trl"), beta=0.1, **plain)
    data = Dataset.from_list([{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in rows])
    trainer = DPOTrainer(
        model=load(),
        ref_model=load(),
        args=arguments,
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(smollm2),
    )
    return trainer, trainer.data_collator(list(trainer.train_dataset))


@pytest.fixture
def policy(smollm2):
    """Our policy with the weights in float32."""
    policy = TokenPolicy(smollm2)
    policy.configure_model()
    return policy


@pytest.fixture
def batch(policy, rows, write_rows):
    """The rows as our batch: chosen and rejected rows in turn."""
    records = open_records(write_rows(rows))
    return policy.codec.collate([policy.codec.encode(record) for record in records])


def in_turn(tensor):
    """TRL's order of rows (all chosen, all rejected) in ours."""
    return torch.stack(tensor.chunk(2), 1).flatten(0, 1)


def test_tokens_masks_and_log_probabilities_are_those_of_trl(trl, policy, batch):
    trainer, theirs = trl
    for name in ("input_ids", "attention_mask"):
        assert torch.equal(batch.inputs[name], in_turn(theirs[name])), name
    assert torch.equal(batch.inputs["completion_mask"], in_turn(theirs["completion_mask"]).bool())
    labels = theirs["input_ids"].masked_fill(theirs["completion_mask"] == 0, -100)
    with torch.no_grad():
        inputs = {name: theirs[name] for name in ("input_ids", "attention_mask")}
        expected = in_turn(trainer.model(**inputs, labels=labels, use_cache=False, fused_lm_head=True).log_probs)
        found = policy.scores(batch)
    sums = in_turn(torch.cat(trainer.compute_ref_log_probs(trainer.ref_model, theirs)))
    assert found.token_logps.min() < -3  # real text under a real model: nothing here is trivially equal
    torch.testing.assert_close(found.token_logps, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.logps, sums, rtol=0, atol=1e-3)


def test_the_end_token_is_scored_and_its_twin_the_padding_is_not(policy, batch):
    """Padding and end of turn share the id 2, so a mask made from ids would lose one or count the other."""
    ids, scored = batch.inputs["input_ids"], batch.inputs["completion_mask"]
    assert policy.codec.pad_id == policy.codec.tokenizer.eos_token_id == 2
    assert ((ids == 2) & (batch.inputs["attention_mask"] == 0)).any()
    assert ((ids == 2) & scored).sum(1).tolist() == [1] * len(ids)
    assert not scored[batch.inputs["attention_mask"] == 0].any()
    with torch.no_grad():
        together = policy.scores(batch)
        for row in range(len(ids)):
            length = int(batch.inputs["attention_mask"][row].sum())
            batch.inputs, kept = {n: v[row : row + 1, :length] for n, v in batch.inputs.items()}, batch.inputs
            alone = policy.scores(batch)
            batch.inputs = kept
            torch.testing.assert_close(alone.logps, together.logps[row : row + 1], rtol=0, atol=1e-3)


def test_loss_metrics_and_gradients_are_those_of_trl_away_from_the_start(trl, smollm2, batch):
    """Both policies are moved away from the reference in the same way; at the start every loss would be log 2."""
    trainer, theirs = trl
    module = PreferenceTuning(TokenPolicy(smollm2), DPO(beta=0.1), Frozen())
    module.configure_model()
    for model in (trainer.model, module.policy.model):
        with torch.no_grad():
            model.model.layers[29].mlp.down_proj.weight.mul_(1.2)
            model.model.layers[3].self_attn.q_proj.weight.mul_(0.8)
    trainer.model.train()  # its metrics are kept by mode
    expected = trainer.compute_loss(trainer.model, theirs)
    expected.backward()
    found = module.evaluate_batch(batch)
    found.loss.backward()
    assert abs(expected.item() - 0.6931) > 0.02
    torch.testing.assert_close(found.loss, expected, rtol=1e-4, atol=1e-5)
    for name in ("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"):
        assert found.metrics[name].item() == pytest.approx(trainer._metrics["train"][name][-1], abs=2e-4), name
    mine = dict(module.policy.model.named_parameters())
    for name, parameter in trainer.model.named_parameters():
        error = (mine[name].grad - parameter.grad).norm() / parameter.grad.norm()
        assert error < 1e-3, (name, error)
