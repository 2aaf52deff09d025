import torch

from prefalign_vision_llm.demo import language
from prefalign_vision_llm.demo.generation import replies
from prefalign_vision_llm.demo.model import build_model, next_token_logits, patch_features
from prefalign_vision_llm.demo.processor import render_prompt
from prefalign_vision_llm.demo.scenes import ICON_WORLD


def _count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters(model):
    """Tower 117,056: patches 3*16*16*64, class 64, positions 10*64, two norms 256, two layers of 33,472.
    Projector 2*(64*64+64); language model 40*64 + 2*41,088 + 64; head 40*64."""
    assert _count(model.model.vision_tower) == 49152 + 64 + 640 + 256 + 2 * 33472
    assert _count(model.model.multi_modal_projector) == 8320
    assert _count(model.model.language_model) == 84800
    assert _count(model.lm_head) == 2560
    assert _count(model) == 212736


def test_the_seed_makes_the_weights_and_leaves_the_global_generator_alone(processor):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (build_model(ICON_WORLD, processor.tokenizer, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.lm_head.weight, again.lm_head.weight)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)


def test_cached_features_give_the_logits_of_pixels(model, processor, images):
    texts = [f"{render_prompt(processor, language.DESCRIBE)} a photo of a cup .", "USER: <image> ASSISTANT: no"]
    inputs = processor(images=images[:2], text=texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        from_pixels = model(**inputs).logits
        found = next_token_logits(model, inputs["input_ids"], patch_features(model, inputs["pixel_values"]))
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(found[real], from_pixels[real], rtol=0, atol=1e-6)


def test_every_parameter_but_the_unused_norm_gets_a_gradient(model, processor, images):
    inputs = processor(images=images[:4], text=["USER: <image> ASSISTANT: a photo"] * 4, return_tensors="pt")
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == ["model.vision_tower.post_layernorm.weight", "model.vision_tower.post_layernorm.bias"]
    assert [name for name, parameter in model.named_parameters() if not parameter.requires_grad] == without


def _greedy(model, processor, image, prompt, steps):
    """One token after another by whole forward passes, without cache."""
    inputs = processor(images=[image], text=[render_prompt(processor, prompt)], return_tensors="pt")
    ids = inputs["input_ids"]
    start = ids.shape[1]
    for _ in range(steps):
        logits = model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0, -1]
        logits[model.config.image_token_id] = -torch.inf
        ids = torch.cat([ids, logits.argmax()[None, None]], dim=1)
        if ids[0, -1] == processor.tokenizer.eos_token_id:
            break
    return processor.tokenizer.decode(ids[0, start:], skip_special_tokens=True)


@torch.no_grad()
def test_greedy_replies_are_those_of_a_loop_by_hand_even_in_a_mixed_batch(model, processor, images):
    prompts = [language.DESCRIBE, language.question("cup"), language.DESCRIBE, language.question("kite")]
    for parameter in model.parameters():  # larger weights, so that replies differ and are not decided by rounding
        parameter.mul_(6)
    model.lm_head.weight[:7] = 0  # special tokens, which decoding would hide
    found = replies(model, processor, images[:4], prompts, max_new_tokens=8, batch=3)
    expected = [_greedy(model, processor, *pair, steps=8) for pair in zip(images[:4], prompts, strict=True)]
    assert [reply.text for reply in found] == expected
    assert len(set(expected)) > 1


@torch.no_grad()
def test_sampling_follows_its_seed_and_never_says_an_image(model, processor, images):
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    model.lm_head.weight.zero_()  # uniform over the 40 words: 192 draws would name the placeholder 4.8 times

    def sample(seed):
        return replies(model, processor, images, [language.DESCRIBE] * len(images), max_new_tokens=8, seed=seed)

    assert sample(1) == sample(1) != sample(2)
    assert torch.equal(torch.rand(1), expected)
    # Decoding drops the placeholder like other special tokens, so look at what is fed back: all ids but its own.
    assert all(model.config.image_token_id not in row for row in _sampled_ids(model, processor, images))
    finished = [reply.finished for reply in sample(3)]
    assert any(finished)
    assert not all(finished)


def _sampled_ids(model, processor, images):
    found = []
    original = model.generate

    def spy(**arguments):
        ids = original(**arguments)
        found.extend(ids[:, arguments["input_ids"].shape[1] :].tolist())
        return ids

    model.generate = spy
    replies(model, processor, images, [language.DESCRIBE] * len(images), max_new_tokens=8, seed=1)
    del model.generate
    return found
