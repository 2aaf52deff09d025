"""Tokenizer and processor of the demonstration, built in code: one token a word, nothing downloaded."""

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import CLIPImageProcessorPil, LlavaProcessor, PreTrainedTokenizerFast

from prefalign_vision_llm.demo.language import vocabulary
from prefalign_vision_llm.demo.scenes import World

PAD, BOS, EOS, UNK, IMAGE = "<pad>", "<bos>", "<eos>", "<unk>", "<image>"
USER, ASSISTANT = "USER:", "ASSISTANT:"

#: A user turn always asks for an answer, so the marker of the answer belongs to it; the answer ends with eos.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}"
    "USER:"
    "{%- if message['content'] is string -%}{{ ' ' + message['content'] }}"
    "{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{{ ' <image>' if part['type'] == 'image' else ' ' + part['text'] }}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{{ ' ASSISTANT:' }}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{%- if message['content'] is string -%}{{ ' ' + message['content'] }}"
    "{%- else -%}{%- for part in message['content'] -%}{{ ' ' + part['text'] }}{%- endfor -%}"
    "{%- endif -%}"
    "{{ ' <eos>' }}"
    "{%- else -%}{{ raise_exception('only user and assistant turns are known, not ' + message['role']) }}"
    "{%- endif -%}"
    "{%- endfor -%}"
)


def build_tokenizer(world: World) -> PreTrainedTokenizerFast:
    """Word-level tokenizer; ``<bos>`` is put before a text unless special tokens are switched off. Pad id is 0."""
    words = (PAD, BOS, EOS, UNK, IMAGE, USER, ASSISTANT, *vocabulary(world))
    ids = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(WordLevel(ids, unk_token=UNK))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, ids[BOS])])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        additional_special_tokens=[IMAGE],
        clean_up_tokenization_spaces=False,
        padding_side="right",
        model_max_length=128,
    )


def build_processor(world: World) -> LlavaProcessor:
    """LLaVA processor: one patch a cell, pixels to (x / 255 - 0.5) / 0.25, no resizing and no crop.

    The tower has a class token in front, which the "default" strategy drops again: it must be counted, or the processor
    writes one placeholder too few for every image.
    """
    image_processor = CLIPImageProcessorPil(
        do_resize=False,
        do_center_crop=False,
        do_convert_rgb=True,
        do_rescale=True,
        do_normalize=True,
        image_mean=[0.5] * 3,
        image_std=[0.25] * 3,
        size={"height": world.image_size, "width": world.image_size},
        crop_size={"height": world.image_size, "width": world.image_size},
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=build_tokenizer(world),
        patch_size=world.cell,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=IMAGE,
        chat_template=CHAT_TEMPLATE,
    )


def render_prompt(processor: LlavaProcessor, prompt: str) -> str:
    """The prompt's text with one image before it, as the chat template writes it."""
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}
    return processor.apply_chat_template([message])
