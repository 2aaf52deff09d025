import jinja2
import numpy as np
import pytest
from transformers import AutoProcessor

from prefalign_vision_llm.demo import language
from prefalign_vision_llm.demo.icons import IconLibrary
from prefalign_vision_llm.demo.processor import build_processor, render_prompt
from prefalign_vision_llm.demo.rendering import render
from prefalign_vision_llm.demo.scenes import BIASED, ICON_WORLD, sample_scene

IMAGE = render(sample_scene(ICON_WORLD, BIASED, np.random.default_rng(0)), ICON_WORLD, IconLibrary())


@pytest.fixture(scope="module", params=["built", "loaded"])
def processor(request, tmp_path_factory):
    built = build_processor(ICON_WORLD)
    if request.param == "built":
        return built
    folder = tmp_path_factory.mktemp("processor")
    built.save_pretrained(folder)
    return AutoProcessor.from_pretrained(folder, local_files_only=True)


def test_template_puts_the_image_before_the_prompt(processor):
    assert render_prompt(processor, language.DESCRIBE) == "USER: <image> describe the image . ASSISTANT:"
    turns = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "is there a cup ?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "no"}]},
    ]
    assert processor.apply_chat_template(turns) == "USER: <image> is there a cup ? ASSISTANT: no <eos>"
    plain = [{"role": "user", "content": "is there a cup ?"}, {"role": "assistant", "content": "no"}]
    assert processor.apply_chat_template(plain) == "USER: is there a cup ? ASSISTANT: no <eos>"


def test_template_refuses_other_roles(processor):
    with pytest.raises(jinja2.TemplateError, match="not system"):
        processor.apply_chat_template([{"role": "system", "content": "be brief"}])


@pytest.mark.parametrize(("prompt", "length"), [(language.DESCRIBE, 16), (language.question("cup"), 17)])
def test_prompts_have_one_placeholder_a_patch(processor, prompt, length):
    """<bos> USER: nine placeholders, 4 words of the request or 5 of the question, ASSISTANT:"""
    ids = processor(images=[IMAGE], text=[render_prompt(processor, prompt)])["input_ids"][0]
    tokenizer = processor.tokenizer
    expected = ["<bos>", "USER:", *["<image>"] * 9, *prompt.split(), "ASSISTANT:"]
    assert list(ids) == tokenizer.convert_tokens_to_ids(expected)
    assert len(ids) == length
    assert tokenizer.unk_token_id not in ids


def test_pixels_are_only_rescaled(processor):
    pixels = processor(images=[IMAGE], text=["<image>"], return_tensors="np")["pixel_values"][0]
    expected = (np.asarray(IMAGE).astype(np.float64) / 255 - 0.5) / 0.25
    np.testing.assert_allclose(pixels, expected.transpose(2, 0, 1), atol=1e-6)


def test_tokenizer_keeps_text_and_offsets(processor):
    tokenizer = processor.tokenizer
    text = "a photo of a cup and a kite ."
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert [text[a:b] for a, b in found["offset_mapping"]] == text.split()
    assert tokenizer.decode(found["input_ids"]) == text
    assert len(tokenizer) == 40
    assert tokenizer.pad_token_id == 0
    assert tokenizer("yes")["input_ids"] == [tokenizer.bos_token_id, tokenizer.convert_tokens_to_ids("yes")]
