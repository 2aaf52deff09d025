"""What is trained, what is shared with the reference, and what is refused; on the smallest LLaVA."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from prefalign.interfaces import CapabilityError, PrefalignError, PreferenceRecord, Prompt
from prefalign.models.pretrained import LoraSettings
from prefalign.policies.reference import AdapterOff, Frozen
from prefalign_vision_llm.policies.chat_vlm import ChatVLM
from prefalign_vision_llm.policies.vision import vision_parts

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

MakeRecord = Callable[..., PreferenceRecord]


def test_every_family_names_its_parts(family: Any) -> None:
    """Tower, projector and language model cover the network; the head and the embeddings belong to language."""
    model = family.model()
    parts = vision_parts(model)
    seen = {id(parameter) for parameter in parts.parameters()}
    rest = [name for name, parameter in model.named_parameters() if id(parameter) not in seen]
    assert len(parts.tower) == 1
    assert bool(parts.projector) == (not family.name.startswith("qwen"))
    assert all("language_model" in name or "text_model" in name or name.startswith("lm_head") for name in rest)
    assert seen
    assert rest


@pytest.mark.parametrize(
    ("train_vision", "words"),
    [("none", ()), ("projector", ("multi_modal_projector",)), ("all", ("multi_modal_projector", "vision_tower"))],
)
def test_trained_parts(llava_family: Any, train_vision: Any, words: tuple[str, ...]) -> None:
    policy = llava_family.policy(train_vision=train_vision)
    for name, parameter in policy.network.named_parameters():
        wanted = any(word in name for word in words) or "language_model" in name or "lm_head" in name
        assert parameter.requires_grad == wanted, name


def test_parts_that_are_not_trained_stay_in_evaluation_mode(
    llava_family: Any, make_prompt: Callable[..., Prompt]
) -> None:
    """As loaded, after an answer (for which everything is in evaluation mode), and when training mode is asked for."""
    policy = llava_family.policy(train_vision="projector")
    model = policy.network.model

    def check() -> None:
        assert not any(part.training for part in model.vision_tower.modules())
        assert model.multi_modal_projector.training
        assert model.language_model.training

    check()
    policy.sample([make_prompt(1)], max_new_tokens=1)
    check()
    model.vision_tower.norm = nn.BatchNorm1d(2)
    policy.train()
    check()
    assert not policy.eval().network.model.language_model.training


def test_adapters_are_for_the_language_model(llava_family: Any, make_record: MakeRecord) -> None:
    """CLIP has layers named `q_proj` too; they get an adapter only where vision is trained."""
    for settings in (LoraSettings(r=2, target_modules=["q_proj", "v_proj"]), LoraSettings(r=2)):
        names = [n for n, p in llava_family.policy(lora=settings).model.named_parameters() if p.requires_grad]
        assert names
        assert all("language_model" in name and "lora" in name for name in names)
    everywhere = llava_family.policy(lora=LoraSettings(r=2), train_vision="all").model
    names = [name for name, parameter in everywhere.named_parameters() if parameter.requires_grad]
    assert any("vision_tower" in name for name in names)
    assert any("multi_modal_projector" in name for name in names)


def test_the_adapter_off_reference_makes_no_vision_pass(llava_family: Any, make_record: MakeRecord) -> None:
    policy, base = llava_family.policy(lora=LoraSettings(r=2)), llava_family.policy()
    for name, parameter in policy.model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)
    passes: list[int] = []
    policy.network.model.vision_tower.register_forward_hook(lambda *_: passes.append(1))
    batch = policy.collate([policy.encode(make_record(1))])
    scores = policy.scores(batch)
    reference = AdapterOff()
    reference.configure(policy)
    off = reference.scores(policy, batch)
    assert len(passes) == 1
    torch.testing.assert_close(off.logps, base.scores(base.collate([base.encode(make_record(1))])).logps)
    assert (scores.logps - off.logps).abs().max() > 1e-3


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_features_of_a_frozen_tower_keep_no_graph(llava_family: Any, make_record: MakeRecord) -> None:
    """Recomputation with an adapter makes embeddings require gradients; a frozen tower keeps no activations even so."""
    policy = llava_family.policy(lora=LoraSettings(r=2), gradient_checkpointing=True).train()
    batch = policy.collate([policy.encode(make_record(1))])
    for _ in range(2):
        policy.scores(batch).logps.sum().backward()
    assert not any(part.requires_grad for part in batch.inputs["image_features"][1].pooler_output)
    assert any(p.grad is not None and p.grad.any() for p in policy.parameters())


def test_whole_vision_modules_beside_an_adapter_must_be_asked_for_twice(llava_family: Any) -> None:
    settings = LoraSettings(r=2, target_modules=["q_proj"], modules_to_save=["multi_modal_projector"])
    with pytest.raises(PrefalignError, match=r"modules_to_save names vision modules.*train_vision: none"):
        llava_family.policy(lora=settings)
    policy = llava_family.policy(lora=settings, train_vision="projector")
    names = [name for name, parameter in policy.model.named_parameters() if parameter.requires_grad]
    assert any("multi_modal_projector" in name and "modules_to_save" in name for name in names)


def test_copies_share_what_is_not_trained(llava_family: Any) -> None:
    """A frozen reference of a model with a frozen tower holds one tower, and language weights of its own."""
    policy = llava_family.policy(train_vision="projector")
    twin = copy.deepcopy(policy)
    assert twin.network.model.vision_tower is policy.network.model.vision_tower
    assert twin.network.model.multi_modal_projector is not policy.network.model.multi_modal_projector
    assert twin.network.model.language_model is not policy.network.model.language_model
    assert twin.network is not policy.network


def test_unfreezing_a_shared_tower_is_refused(llava_family: Any, make_record: MakeRecord) -> None:
    policy = llava_family.policy()
    reference = Frozen()
    reference.configure(policy)
    batch = policy.collate([policy.encode(make_record(1))])
    policy.network.model.vision_tower.requires_grad_(True)
    with pytest.raises(PrefalignError, match="set to be trained after the reference was made"):
        reference.scores(policy, batch)


def test_kept_features_are_dropped_when_the_tower_changes(llava_family: Any, make_record: MakeRecord) -> None:
    policy = llava_family.policy()
    batch = policy.collate([policy.encode(make_record(1))])
    before = policy.scores(batch).logps
    assert "image_features" in batch.inputs
    policy.network.load_state_dict(
        {name: value * 2 if "vision" in name else value for name, value in policy.network.state_dict().items()}
    )
    after = policy.scores(batch).logps
    fresh = policy.scores(policy.collate([policy.encode(make_record(1))])).logps
    assert (before - after).abs().max() > 1e-3
    torch.testing.assert_close(after, fresh, rtol=0, atol=0)


def test_kept_features_do_not_outlive_the_freezing(llava_family: Any, make_record: MakeRecord) -> None:
    """A tower that no reference shares may be unfrozen: batches that were scored before train it like any other."""
    policy = llava_family.policy()
    batch = policy.collate([policy.encode(make_record(1))])
    policy.scores(batch)
    policy.network.model.vision_tower.requires_grad_(True)
    policy.scores(batch).logps.sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in policy.network.model.vision_tower.parameters())
    fresh = policy.collate([policy.encode(make_record(1))])
    policy.scores(fresh)
    assert "image_features" not in fresh.inputs


def test_text_only_rows_keep_images_company(
    family: Any, make_record: MakeRecord, make_prompt: Callable[..., Prompt]
) -> None:
    """Rows without images neither take others' images nor shift them."""
    policy = family.policy()
    text = make_record(prompt=make_prompt(text="is there a cup ?"), chosen="yes .", rejected="no .", id="text")
    if family.name == "paligemma":
        with pytest.raises(PrefalignError, match="the processor PaliGemmaProcessor refuses the prompt"):
            policy.encode(text)
        return
    examples = [policy.encode(record) for record in (make_record(1), text, make_record(2, 3))]
    alone = torch.cat([policy.scores(policy.collate([example])).logps for example in examples])
    torch.testing.assert_close(policy.scores(policy.collate(examples)).logps, alone, rtol=1e-5, atol=1e-5)


def test_a_processor_of_other_settings_is_refused(llava_family: Any, make_record: MakeRecord) -> None:
    """One token per image too few: 3 placeholders for 4 features in each of two contexts."""
    policy = llava_family.policy()
    policy.codec.processor = copy.copy(policy.codec.processor)
    policy.codec.processor.num_additional_image_tokens = 0
    batch = policy.collate([policy.encode(make_record(1)), policy.encode(make_record(2))])
    with pytest.raises(
        PrefalignError, match=r"\['images \(1,\)', 'images \(2,\)'\].*8 image features for 6 image tokens"
    ):
        policy.scores(batch)


def test_settings_and_weights_from_a_folder(llava_family: Any, make_record: MakeRecord, tmp_path: Path) -> None:
    """A config with a processor's folder gives random weights that depend on the seed; bfloat16 is near float32."""
    llava_family.policy().save_pretrained(tmp_path)
    record = make_record(1)
    scores: dict[str, torch.Tensor] = {}
    seen: list[torch.dtype] = []
    for name, options in {
        "float": {"model": str(tmp_path)},
        "half": {"model": str(tmp_path), "dtype": "bfloat16"},
        "seed 0": {"model": llava_family.config, "processor": str(tmp_path)},
        "seed 0 again": {"model": llava_family.config, "processor": str(tmp_path)},
        "seed 1": {"model": llava_family.config, "processor": str(tmp_path), "init_seed": 1},
    }.items():
        policy = ChatVLM(**options)
        policy.configure_model()
        scores[name] = policy.scores(policy.collate([policy.encode(record)])).logps
        if name == "half":
            policy.network.model.vision_tower.register_forward_pre_hook(lambda _, args: seen.append(args[0].dtype))
            policy.scores(policy.collate([policy.encode(record)]))
    assert seen == [torch.bfloat16]
    assert scores["half"].dtype == torch.float32
    torch.testing.assert_close(scores["half"], scores["float"], rtol=0.05, atol=0.05)
    assert torch.equal(scores["seed 0"], scores["seed 0 again"])
    assert (scores["seed 0"] - scores["seed 1"]).abs().max() > 1e-3


# Transformers' own new name for it does not reach back to the versions that we support.
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
def test_recomputed_activations_give_the_same_gradients(llava_family: Any, make_record: MakeRecord) -> None:
    gradients = []
    for checkpointing in (False, True):
        policy = llava_family.policy(gradient_checkpointing=checkpointing, train_vision="all").train()
        policy.scores(policy.collate([policy.encode(make_record(1))])).logps.sum().backward()
        gradients.append([p.grad for p in policy.parameters() if p.grad is not None])
    assert gradients[0]
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


def test_a_config_needs_a_processor(llava_family: Any) -> None:
    with pytest.raises(PrefalignError, match="needs a processor"):
        ChatVLM(llava_family.config)


def test_prompts_with_images_have_no_likelihood(llava_family: Any) -> None:
    assert "prompt_logps" not in ChatVLM.provides
    with pytest.raises(CapabilityError, match="no adapter"):
        llava_family.policy().adapter_disabled()
