import numpy as np
import pytest

from prefalign_vision_llm.demo import language
from prefalign_vision_llm.demo.instructions import InstructionSampler
from prefalign_vision_llm.demo.processor import render_prompt
from prefalign_vision_llm.demo.scenes import ICON_WORLD


@pytest.fixture
def sampler(scenes, processor):
    return InstructionSampler(scenes, ICON_WORLD, processor, np.random.default_rng(0))


def _answers(rows, processor):
    """Answers as text, from the tokens marked as answered; each must end with eos and be followed by padding only."""
    found = []
    for ids, mask in zip(rows.ids[:, rows.start :].tolist(), rows.answered.tolist(), strict=True):
        answer = [token for token, real in zip(ids, mask, strict=True) if real]
        assert answer[-1] == processor.tokenizer.eos_token_id
        assert ids[len(answer) :] == [processor.tokenizer.pad_token_id] * (len(ids) - len(answer))
        found.append(processor.tokenizer.decode(answer[:-1]))
    return found


def test_prompts_are_those_of_the_processor(sampler, processor, images):
    rows = sampler.captions(3, noisy=False)
    expected = processor(images=images[:1], text=[render_prompt(processor, language.DESCRIBE)])["input_ids"][0]
    assert rows.start == len(expected) == 16
    assert rows.ids[:, :16].tolist() == [list(expected)] * 3
    assert sampler.questions(3, noisy=False).start == 17


def test_clean_captions_list_exactly_the_present_objects_in_any_order(sampler, processor, scenes):
    rows = sampler.captions(300, noisy=False)
    orders = set()
    for index, answer in zip(rows.scenes.tolist(), _answers(rows, processor), strict=True):
        opening, named = language.parse_caption(answer, ICON_WORLD.objects)
        assert sorted(named) == sorted(scenes[index].objects)
        orders.add((index, opening, named))
    assert len(orders) > 150


def test_a_scene_has_one_noisy_caption_and_its_questions_agree_with_it(sampler, processor, scenes):
    captions = {}
    rows = sampler.captions(500, noisy=True)
    for index, answer in zip(rows.scenes.tolist(), _answers(rows, processor), strict=True):
        assert captions.setdefault(index, answer) == answer
    assert any(
        set(language.mentions(text, ICON_WORLD.objects)) - set(scenes[i].objects) for i, text in captions.items()
    )

    rows = sampler.questions(500, noisy=True)
    flipped = 0
    for index, ids, answer in zip(rows.scenes.tolist(), rows.ids.tolist(), _answers(rows, processor), strict=True):
        [name] = language.mentions(processor.tokenizer.decode(ids[:17]), ICON_WORLD.objects)
        named = name in language.mentions(captions[index], ICON_WORLD.objects)
        assert answer == ("yes" if named or name in scenes[index].objects else "no")
        flipped += named and name not in scenes[index].objects
    assert flipped > 20


def test_clean_questions_have_true_labels(sampler, processor, scenes):
    rows = sampler.questions(300, noisy=False)
    for index, ids, answer in zip(rows.scenes.tolist(), rows.ids.tolist(), _answers(rows, processor), strict=True):
        [name] = language.mentions(processor.tokenizer.decode(ids[:17]), ICON_WORLD.objects)
        assert answer == ("yes" if name in scenes[index].objects else "no")
