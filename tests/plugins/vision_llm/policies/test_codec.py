"""Records with images to token rows.

Ids of the tests' tokenizer: <bos> 1, <eos> 2, <image> 4, line break 5, describe 7, the 8, image 9, . 10, a 11, cup 14,
pan 15, dog 17, and 19, user: 27, assistant: 28. An image of LLaVA is 16 pixels wide with patches of 8: 4 tokens.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from prefalign.interfaces import (
    Media,
    Message,
    Pair,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    RecordError,
    Response,
    Segment,
    Slot,
)
from prefalign_vision_llm.policies.chat_vlm import ChatVLM
from prefalign_vision_llm.policies.codec import VisionCodec

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

CHAT = [1, 27, 4, 4, 4, 4, 7, 8, 9, 10, 28]


def record(prompt: Prompt, *answers: str | Response) -> PreferenceRecord:
    responses = [answer if isinstance(answer, Response) else Response(text=answer) for answer in answers]
    return PreferenceRecord(id="r", prompt=prompt, responses=tuple(responses), verdict=Pair())


def test_chat_rows_by_hand(llava_family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    """`<bos> user:`, 4 image tokens, the question, `assistant:`; then the answer and the template's end token."""
    first, second = llava_family.codec().encode(make_record(1)).rows
    assert first.prompt == second.prompt == CHAT
    assert first.completion == [11, 14, 10, 2]
    assert second.completion == [11, 14, 19, 11, 15, 10, 2]
    assert first.side is second.side
    assert first.side["pixel_values"].shape == (1, 3, 16, 16)


def test_plain_prompts_take_their_images_in_front(llava_family: Any, make_picture: Callable[..., Media]) -> None:
    """Two images before the text; the end token is ours, because no template writes one."""
    prompt = Prompt(text="describe the image .", media=(make_picture(1), make_picture(2)))
    row = llava_family.codec().encode(record(prompt, " a cup .", " no")).rows[0]
    assert row.prompt == [1, *[4] * 8, 7, 8, 9, 10]
    assert row.completion == [11, 14, 10, 2]


def test_plain_prompts_frame_their_images_as_the_family_does(
    qwen_family: Any, make_picture: Callable[..., Media]
) -> None:
    """Qwen tells neighbouring images apart by the tokens around each; the configuration says which."""
    policy = qwen_family.policy()
    with mock.patch("transformers.AutoProcessor.from_pretrained", return_value=qwen_family.processor):
        codec = policy.codec = ChatVLM(qwen_family.config, "in memory").codec
    prompt = Prompt(text="describe", media=(make_picture(1), make_picture(2)))
    text = codec.context(prompt).text
    assert text == "<|vision_start|><|image_pad|><|vision_end|>" * 2 + "describe"
    examples = [codec.encode(record(prompt, " yes", " no"))]
    assert policy.scores(policy.collate(examples)).logps.isfinite().all()


def test_placeholders_in_plain_prompts_keep_their_places(llava_family: Any, make_picture: Callable[..., Media]) -> None:
    prompt = Prompt(text="describe <image> the <image> image", media=(make_picture(1), make_picture(2)))
    row = llava_family.codec().encode(record(prompt, " a cup", " no")).rows[0]
    assert row.prompt == [1, 7, 4, 4, 4, 4, 8, 4, 4, 4, 4, 9]


def test_images_without_a_slot_go_to_the_first_user(llava_family: Any, make_picture: Callable[..., Media]) -> None:
    turns = (Message("assistant", ("yes",)), Message("user", ("describe",)))
    context = llava_family.codec().context(Prompt(messages=turns, media=(make_picture(1),)))
    assert context.text == "assistant: yes <eos>user:<image> describe assistant:"


def test_the_end_token_is_added_where_the_template_writes_none(
    llava_family: Any, make_record: Callable[..., PreferenceRecord]
) -> None:
    """Templates such as LLaVA-1.5's end an answer with a blank, which no model writes; the stop must be learned."""
    codec = llava_family.codec()
    codec.processor = copy.copy(codec.processor)
    codec.processor.chat_template = codec.processor.chat_template.replace("' <eos>'", "'\\n'")
    assert codec.encode(make_record(1)).rows[0].completion == [11, 14, 10, 2]


def test_templates_may_trim_answers(llava_family: Any, make_prompt: Callable[..., Prompt]) -> None:
    """The end is added after what is written, and segments keep to the untrimmed text: `cup` is `[4, 7)` of it."""
    codec = llava_family.codec()
    codec.processor = copy.copy(codec.processor)
    codec.processor.chat_template = codec.processor.chat_template.replace("' <eos>'", "' '").replace(
        "part['text']", "part['text'] | trim"
    )
    marked = Response(text="  a cup . ", segments=(Segment(4, 7, 5.0),))
    row = codec.encode(record(make_prompt(1), "no", marked)).rows[1]
    assert row.completion == [11, 14, 10, 2]
    assert row.weights == [1, 5, 1, 1]


def test_templates_may_not_rewrite_answers_with_segments(llava_family: Any, make_prompt: Callable[..., Prompt]) -> None:
    codec = llava_family.codec()
    codec.processor = copy.copy(codec.processor)
    codec.processor.chat_template = codec.processor.chat_template.replace("part['text']", "part['text'] | upper")
    codec.encode(record(make_prompt(1), "no", "a cup ."))
    with pytest.raises(RecordError, match=r"rewrites the response.*token axis"):
        codec.encode(record(make_prompt(1), "no", Response(text="a cup .", segments=(Segment(0, 1, 5.0),))))


def test_the_processor_may_end_the_prompt_itself(
    make_record: Callable[..., PreferenceRecord], paligemma_family: Any
) -> None:
    """PaliGemma's writes `<bos>` after the images and a line break after the prompt; answers follow that break."""
    family = paligemma_family
    row = family.codec().encode(make_record(1)).rows[0]
    assert row.prompt == [27, 4, 4, 4, 4, 1, 7, 8, 9, 10, 28, 5]
    assert row.completion == [11, 14, 10, 2]
    batch = family.codec().collate([family.codec().encode(make_record(1))])
    assert batch.inputs["token_type_ids"].tolist() == [[0] * 12 + [1] * 4 + [0] * 3, [0] * 12 + [1] * 7]


def test_answers_are_words_and_an_end(family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    """Whatever a family writes around images, the answer is the answer, and its end is scored."""
    codec = family.codec()
    for row, words in zip(codec.encode(make_record(1, 2)).rows, ("a cup .", "a cup and a pan ."), strict=True):
        assert codec.tokenizer.decode(row.completion) == f"{words} <eos>"
        assert row.prompt.count(codec.image_token_id) > 0
        assert codec.image_token_id not in row.completion


def test_tokens_that_merge_across_the_border_belong_to_the_answer(
    llava_family: Any, make_picture: Callable[..., Media]
) -> None:
    """`a cu` + `p .` reads as the token `cup`, which the prompt alone does not have; both answers start there."""
    prompt = Prompt(text="a cu", media=(make_picture(1),))
    merged, whole = llava_family.codec().encode(record(prompt, "p .", " .")).rows
    assert merged.prompt == whole.prompt == [1, 4, 4, 4, 4, 11]
    assert merged.completion == [14, 10, 2]
    assert whole.completion == [3, 10, 2]


@pytest.mark.parametrize("name", ["llava_family", "paligemma_family"])
def test_segments_meet_their_tokens(
    request: pytest.FixtureRequest, name: str, make_prompt: Callable[..., Prompt]
) -> None:
    """`and a pan` of `a cup and a pan .` is characters 6 to 15: tokens 2, 3 and 4; then `.` and the end."""
    family = request.getfixturevalue(name)
    marked = Response(text="a cup and a pan .", segments=(Segment(6, 15, 5.0),))
    rows = family.codec().encode(record(make_prompt(1), "a cup .", marked)).rows
    assert rows[1].weights == [1, 1, 5, 5, 5, 1, 1]
    assert rows[0].weights == [1, 1, 1, 1]


@pytest.mark.parametrize("name", ["llava_family", "paligemma_family"])
def test_the_place_behind_the_last_character_is_the_end(
    request: pytest.FixtureRequest, name: str, make_prompt: Callable[..., Prompt]
) -> None:
    """`a cup .` has 7 characters: `[7, 8)` weighs the end token, and a segment that starts later is refused."""
    codec = request.getfixturevalue(name).codec()
    marked = Response(text="a cup .", segments=(Segment(7, 8, 5.0),))
    assert codec.encode(record(make_prompt(1), "yes", marked)).rows[1].weights == [1, 1, 1, 5]
    with pytest.raises(RecordError, match="starts past the end"):
        codec.encode(record(make_prompt(1), "yes", Response(text="a cup .", segments=(Segment(8, 9, 5.0),))))


def test_each_answer_may_have_its_own_images(
    llava_family: Any, make_prompt: Callable[..., Prompt], make_picture: Callable[..., Media]
) -> None:
    """One answer under the image, the same under another image, a third under two: three contexts, images once each."""
    codec = llava_family.codec()
    answers = [
        Response(text="a cup ."),
        Response(text="a cup .", context=make_prompt(2)),
        Response(text="a dog .", context=make_prompt(1)),
        Response(text="a dog .", context=make_prompt(1, 2)),
    ]
    batch = codec.collate([codec.encode(record(make_prompt(1), *answers))])
    assert batch.inputs["row_context"] == [0, 1, 0, 2]
    assert batch.inputs["image_entries"] == {"pixel_values": [1, 1, 2]}
    assert batch.inputs["image_tokens"] == [4, 4, 8]
    assert batch.inputs["image/pixel_values"].shape == (4, 3, 16, 16)
    assert len(set(batch.keys)) == 4


def test_keys_see_every_pixel(llava_family: Any, make_prompt: Callable[..., Prompt], make_record: Any) -> None:
    codec = llava_family.codec()
    keys = [codec.encode(make_record(seed)).rows[0].key for seed in (1, 1, 2)]
    assert keys[0] == keys[1] != keys[2]


def test_mismatched_rows_keep_their_images(llava_family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    """The extra rows pair each record's prompt and images with the next record's answer."""
    codec = llava_family.codec()
    batch = codec.collate(
        [codec.encode(make_record(1)), codec.encode(make_record(2, chosen="a dog ."))], frozenset({"mismatched"})
    )
    assert batch.inputs["row_context"] == [0, 0, 1, 1, 0, 1]
    assert batch.inputs["input_ids"][4, : len(CHAT) + 4].tolist() == [*CHAT, 11, 17, 10, 2]


def test_long_answers_are_cut_and_long_prompts_refused(
    llava_family: Any, make_record: Callable[..., PreferenceRecord]
) -> None:
    row = llava_family.codec(max_length=len(CHAT) + 2).encode(make_record(1)).rows[1]
    assert (row.prompt, row.completion, row.weights) == (CHAT, [11, 14], [1, 1])
    with pytest.raises(RecordError, match=r"11 tokens of 11, 4 of them image tokens.*never cut") as error:
        llava_family.codec(max_length=len(CHAT)).encode(make_record(1))
    assert (error.value.record_id, error.value.field) == ("images (1,)", "prompt")


@pytest.mark.parametrize(
    ("change", "problem", "field"),
    [
        ({"media": ()}, "1 image placeholders '<image>' for 0 images", "prompt.media"),
        ({"media": (Media(kind="image", data=b"GIF89a"),)}, "cannot be decoded", "media"),
        ({"media": (Media(kind="image", path="/nowhere/x.png"),)}, "no|none", "media"),
        ({"media": (Media(kind="image", path="x.png"),)}, "relative", "media.path"),
        ({"media": (Media(kind="audio", data=b"x"),)}, "reads images, not audio", "prompt.media"),
    ],
)
def test_bad_prompts_are_refused(llava_family: Any, change: dict[str, Any], problem: str, field: str) -> None:
    prompt = Prompt(**({"text": "<image> describe"} | change))
    with pytest.raises(RecordError, match=problem) as error:
        llava_family.codec().encode(record(prompt, " yes", " no"))
    assert (error.value.record_id, error.value.field) == ("r", field)


def test_placeholders_written_by_hand_are_counted(llava_family: Any, make_picture: Callable[..., Media]) -> None:
    """A text that spells the placeholder out would move the image there, or call for one that does not exist."""
    prompt = Prompt(messages=(Message("user", (Slot("image"), "what is <image> ?")),), media=(make_picture(1),))
    with pytest.raises(RecordError, match="2 image placeholders '<image>' for 1 images"):
        llava_family.codec().encode(record(prompt, "yes", "no"))


def test_answers_cannot_hold_images(
    family: Any, make_prompt: Callable[..., Prompt], make_picture: Callable[..., Media]
) -> None:
    codec = family.codec()
    with pytest.raises(RecordError, match="contains the image placeholder") as error:
        codec.encode(record(make_prompt(1), "yes", f"a cup {codec.placeholder}"))
    assert error.value.field == "responses[1]"
    with pytest.raises(RecordError, match="contains the image placeholder"):
        codec.encode(record(make_prompt(1), "yes", Response(token_ids=(codec.image_token_id,))))
    with pytest.raises(RecordError, match="the response has media"):
        codec.encode(record(make_prompt(1), "yes", Response(text="a cup", media=(make_picture(2),))))


def test_images_may_come_from_files(llava_family: Any, make_picture: Callable[..., Media], tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(make_picture(1).data or b"")
    codec, text = llava_family.codec(), "describe"
    keys = [
        codec.encode(record(Prompt(text=text, media=(medium,)), " yes", " no")).rows[0].key
        for medium in (Media(kind="image", path=str(tmp_path / "x.png")), make_picture(1))
    ]
    assert keys[0] == keys[1]


def test_large_images_are_refused_before_decoding(llava_family: Any, make_picture: Callable[..., Media]) -> None:
    codec = VisionCodec(llava_family.processor, 4, max_pixels=32 * 24 - 1)
    with pytest.raises(RecordError, match="at most 767 pixels"):
        codec.encode(record(Prompt(text="describe", media=(make_picture(1),)), " yes", " no"))


def test_messages_need_a_template(llava_family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    codec = llava_family.codec()
    codec.processor = copy.copy(codec.processor)
    codec.processor.chat_template = None
    with pytest.raises(RecordError, match="no chat template"):
        codec.encode(make_record(1))


def test_a_processor_without_an_image_token_is_refused(llava_family: Any) -> None:
    processor = copy.copy(llava_family.processor)
    processor.image_token = None
    with pytest.raises(PrefalignError, match="names no image token"):
        VisionCodec(processor, 4)


def test_unknown_tensors_per_token_are_refused(llava_family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    """Mllama's mask of images per token, say, would have to be continued by rules of its own."""
    codec = llava_family.codec()
    processor = codec.processor

    def extended(**inputs: Any) -> Any:
        found = processor(**inputs)
        found["cross_attention_mask"] = torch.ones(1, found["input_ids"].shape[1], 1)
        return found

    codec.processor = mock.Mock(side_effect=extended, apply_chat_template=processor.apply_chat_template)
    with pytest.raises(RecordError, match="returns 'cross_attention_mask' for every token"):
        codec.encode(make_record(1))


def test_a_foreign_processor_is_noticed(llava_family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    """The model's image token is another than the processor's."""
    with pytest.raises(RecordError, match=r"no image token \(id 26\).*belong together"):
        VisionCodec(llava_family.processor, 26).encode(make_record(1))


def test_fingerprint_follows_what_decides_the_encoding(llava_family: Any) -> None:
    codec = llava_family.codec()
    others = [llava_family.codec(max_length=9), VisionCodec(copy.deepcopy(llava_family.processor), 4)]
    others[1].processor.image_processor.image_mean = [0.1, 0.2, 0.3]
    assert codec.fingerprint() == llava_family.codec().fingerprint()
    assert len({codec.fingerprint(), *(other.fingerprint() for other in others)}) == 3


def test_types_continue_over_the_answer(family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    """Gemma 3 and Qwen mark images with 1 and text, answers included, with 0."""
    codec = family.codec()
    batch = codec.collate([codec.encode(make_record(1))])
    for name, types in batch.inputs.items():
        if name.endswith("token_type_ids") and family.name in ("gemma3", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"):
            assert torch.equal(types.bool(), batch.inputs["input_ids"] == codec.image_token_id)
