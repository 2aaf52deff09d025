import dataclasses

import pytest
import torch

from prefalign_vision_llm.demo import pretraining
from prefalign_vision_llm.demo.pretraining import GateNotReachedError, PretrainingRecipe, pretrain
from prefalign_vision_llm.demo.scenes import ICON_WORLD

SHORT = PretrainingRecipe(
    alignment_steps=3, alignment_batch=8, clean_steps=3, noisy_steps=2, batch=8, label_gate=None, answer_gate=None
)


def _pretrain(model, processor, annotated, log=lambda line: None, **changes):
    recipe = dataclasses.replace(SHORT, **changes)
    return pretrain(model, processor, ICON_WORLD, annotated, annotated, recipe, seed=3, log=log)


def test_a_base_that_does_not_see_is_refused(model, processor, annotated):
    """Some 2 of 12 objects are present, so that saying "none" is right for about 80 % of the labels."""
    with pytest.raises(GateNotReachedError, match=r"seed 3: after 3 steps of alignment .* right, expected 99\.50%"):
        _pretrain(model, processor, annotated, label_gate=0.995)


def test_a_base_that_guesses_is_refused(model, processor, annotated):
    with pytest.raises(GateNotReachedError, match=r"seed 3: after 3 steps .* not below 0\.2 \(0\.693 is guessing\)"):
        _pretrain(model, processor, annotated, answer_gate=0.2)


def test_the_clean_stage_ends_when_the_gate_opens(model, processor, annotated, monkeypatch):
    """From ln 2 the average approaches a loss of 0.1 as 0.1 + 0.5931 * 0.95^n, which is below 0.2 from n = 35 on."""
    monkeypatch.setattr(pretraining._InstructionTrainer, "step", lambda *_, **__: 0.1)
    report = _pretrain(model, processor, annotated, answer_gate=0.2, clean_steps=100)
    assert report.clean_steps == 35
    assert report.clean_answer_loss == pytest.approx(0.1 + 0.593147 * 0.95**35)


def test_without_gates_all_steps_are_taken_and_the_stages_train_what_they_should(model, processor, annotated):
    before = {name: parameter.clone() for name, parameter in model.state_dict().items()}
    lines = []
    assert _pretrain(model, processor, annotated, lines.append, clean_steps=0, noisy_steps=0).clean_steps == 0
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    parts = {name.split(".")[1] for name in changed}
    assert parts == {"vision_tower", "multi_modal_projector", "language_model"}
    assert {name for name in changed if "language_model" in name} == {"model.language_model.embed_tokens.weight"}
    assert len(lines) == 3

    tower = {name: value.clone() for name, value in model.model.vision_tower.state_dict().items()}
    assert _pretrain(model, processor, annotated, alignment_steps=0).clean_steps == 3
    assert all(torch.equal(value, tower[name]) for name, value in model.model.vision_tower.state_dict().items())
    assert not any(parameter.requires_grad for parameter in model.model.vision_tower.parameters())
    assert not torch.equal(model.lm_head.weight, before["lm_head.weight"])


def test_the_same_seed_trains_the_same_model(processor, annotated, model):
    second = type(model)(model.config)
    second.load_state_dict(model.state_dict())
    second.model.vision_tower.post_layernorm.requires_grad_(False)
    assert _pretrain(model, processor, annotated) == _pretrain(second.eval(), processor, annotated)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), second.parameters(), strict=True))
