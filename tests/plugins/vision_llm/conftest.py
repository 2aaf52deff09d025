"""Image-text models of ten families, as small as their real configuration classes allow, with processors built in code.

The language models are 16 wide and see a vocabulary of some 70 words; images are a few patches large. No family needs
torchvision this way: `...Pil` image processors, and no video processor where a family has one.
"""

import dataclasses
import functools
import io
import types
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerFast, ProcessorMixin

from prefalign.interfaces import Media, Message, Pair, PreferenceRecord, Prompt, Response, Slot
from prefalign_vision_llm.policies.chat_vlm import ChatVLM
from prefalign_vision_llm.policies.codec import VisionCodec

WORDS = (
    *("describe", "the", "image", ".", "a", "photo", "of", "cup", "pan", "plate", "dog", "tree", "and", "is", "there"),
    *("?", "yes", "no", "what", "differs", "user:", "assistant:"),
)
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ':' }}"
    "{% if message['content'] is string %}{{ ' ' + message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{{ IMAGE if part['type'] == 'image' else ' ' + part['text'] }}"
    "{% endfor %}{% endif %}"
    "{{ ' ' if message['role'] == 'user' else ' <eos>' }}{% endfor %}"
    "{{ 'assistant:' if add_generation_prompt else '' }}"
)
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}


def tokenizer(special: list[str], named: dict[str, str]) -> PreTrainedTokenizerFast:
    """Words split at spaces, line breaks of their own; `<bos>` before a text unless special tokens are off."""
    words = ["<pad>", "<bos>", "<eos>", "<unk>", *special, "\n", "\n\n", *WORDS]
    ids = {word: index for index, word in enumerate(words)}
    made = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Split("\n", "isolated")]
    )
    made.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    made.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        extra_special_tokens=named,
    )


@dataclasses.dataclass(frozen=True)
class Family:
    """A family's configuration and processor.

    Attributes:
        loads: whether its processor loads from a folder here; those with a video processor need torchvision for that.
    """

    name: str
    config: dict[str, Any]
    processor: Any
    loads: bool = True

    def model(self) -> Any:
        """The model, with the same random weights every time."""
        settings = dict(self.config)
        config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            model = AutoModelForImageTextToText.from_config(config)
            for parameter in model.parameters():
                # Some parts start at zero, where nothing that the image says would reach the logits.
                if not parameter.any():
                    torch.nn.init.normal_(parameter, std=0.3)
        return model.eval()

    def policy(self, **options: Any) -> ChatVLM:
        """A policy with this model, without a way over the disk."""

        class Built(ChatVLM):
            def make_codec(policy, tokenizer: str, max_length: int | None) -> VisionCodec:
                return self.codec(max_length)

        policy = Built(self.config, "in memory", **options)
        model = self.model()
        with mock.patch.object(AutoModelForImageTextToText, "from_config", return_value=model):
            policy.configure_model()
        return policy

    def codec(self, max_length: int | None = None) -> VisionCodec:
        """The codec of this family's processor."""
        settings = dict(self.config)
        config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        return VisionCodec(self.processor, config.image_token_id, max_length)


def built(name: str, image_processor: Any, words: PreTrainedTokenizerFast, **options: Any) -> Any:
    """A processor; where the class wants a video processor, without one."""
    cls = getattr(transformers, name)
    if "video_processor" in cls.get_attributes():
        # SmolVLM's template code reads two settings of it even where there is no video.
        options["video_processor"] = types.SimpleNamespace(num_frames=1, fps=1)
    with (
        mock.patch.object(ProcessorMixin, "check_argument_for_proper_class", return_value=None),
        mock.patch("transformers.models.smolvlm.processing_smolvlm.num2words", str),
    ):
        processor = cls(image_processor=image_processor, tokenizer=words, **options)
    framed = f"<|vision_start|>{processor.image_token}<|vision_end|>" if "Qwen" in name else processor.image_token
    processor.chat_template = TEMPLATE.replace("IMAGE", repr(framed))
    return processor


def text_config(words: PreTrainedTokenizerFast, kind: str, **options: Any) -> dict[str, Any]:
    return {"model_type": kind, "vocab_size": len(words), **TEXT, **options}


def llava() -> Family:
    words = tokenizer(["<image>"], {"image_token": "<image>"})
    pictures = transformers.CLIPImageProcessorPil(
        size={"height": 16, "width": 16}, crop_size={"height": 16, "width": 16}
    )
    processor = built(
        "LlavaProcessor",
        pictures,
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return Family(
        "llava",
        {
            "model_type": "llava",
            "vision_config": {"model_type": "clip_vision_model", **VISION},
            "text_config": text_config(words, "llama"),
            "image_token_index": processor.image_token_id,
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "default",
        },
        processor,
    )


def llava_next() -> Family:
    words = tokenizer(["<image>"], {"image_token": "<image>"})
    pinpoints = [[16, 32], [32, 16], [32, 32]]
    pictures = transformers.LlavaNextImageProcessorPil(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}, image_grid_pinpoints=pinpoints
    )
    processor = built(
        "LlavaNextProcessor",
        pictures,
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return Family(
        "llava_next",
        {
            "model_type": "llava_next",
            "vision_config": {"model_type": "clip_vision_model", **VISION},
            "text_config": text_config(words, "llama"),
            "image_token_index": processor.image_token_id,
            "image_grid_pinpoints": pinpoints,
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "default",
        },
        processor,
    )


def qwen(name: str, cls: str, vision: dict[str, Any]) -> Family:
    words = tokenizer(
        ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"],
        {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
    )
    pictures = transformers.Qwen2VLImageProcessorPil(
        patch_size=4, merge_size=2, temporal_patch_size=2, min_pixels=8 * 8, max_pixels=32 * 32
    )
    processor = built(cls, pictures, words)
    sections = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2], "mrope_interleaved": True}
    if name != "qwen3_vl":
        del sections["mrope_interleaved"]
    return Family(
        name,
        {
            "model_type": name,
            "vision_config": {"patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2, **vision},
            "text_config": text_config(words, f"{name}_text", rope_parameters=sections),
            "image_token_id": words.convert_tokens_to_ids("<|image_pad|>"),
            "video_token_id": words.convert_tokens_to_ids("<|video_pad|>"),
            "vision_start_token_id": words.convert_tokens_to_ids("<|vision_start|>"),
            "vision_end_token_id": words.convert_tokens_to_ids("<|vision_end|>"),
            "tie_word_embeddings": False,
        },
        processor,
        loads=False,
    )


def qwen2_vl() -> Family:
    vision = {"embed_dim": 16, "hidden_size": 16, "depth": 2, "num_heads": 2, "mlp_ratio": 2}
    return qwen("qwen2_vl", "Qwen2VLProcessor", vision)


def qwen2_5_vl() -> Family:
    vision = {
        "hidden_size": 16,
        "out_hidden_size": 16,
        "intermediate_size": 24,
        "depth": 2,
        "num_heads": 2,
        "window_size": 16,
        "fullatt_block_indexes": [1],
    }
    return qwen("qwen2_5_vl", "Qwen2_5_VLProcessor", vision)


def qwen3_vl() -> Family:
    vision = {
        "hidden_size": 16,
        "out_hidden_size": 16,
        "intermediate_size": 24,
        "depth": 2,
        "num_heads": 2,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
    }
    return qwen("qwen3_vl", "Qwen3VLProcessor", vision)


def idefics(name: str, cls: str, pictures: Any, vision: str, *, loads: bool) -> Family:
    places = [f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4)]
    special = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *places]
    words = tokenizer(special, {})
    processor = built(cls, pictures, words, image_seq_len=1)
    return Family(
        name,
        {
            "model_type": name,
            "vision_config": {"model_type": vision, **VISION},
            "text_config": text_config(words, "llama"),
            "image_token_id": processor.image_token_id,
            "scale_factor": 2,
            "pad_token_id": 0,
            "tie_word_embeddings": False,
        },
        processor,
        loads=loads,
    )


def idefics3() -> Family:
    pictures = transformers.Idefics3ImageProcessorPil(size={"longest_edge": 32}, max_image_size={"longest_edge": 16})
    return idefics("idefics3", "Idefics3Processor", pictures, "idefics3_vision", loads=True)


def smolvlm() -> Family:
    pictures = transformers.SmolVLMImageProcessorPil(size={"longest_edge": 32}, max_image_size={"longest_edge": 16})
    return idefics("smolvlm", "SmolVLMProcessor", pictures, "smolvlm_vision", loads=False)


def paligemma() -> Family:
    words = tokenizer(["<image>"], {"image_token": "<image>"})
    pictures = transformers.SiglipImageProcessorPil(size={"height": 16, "width": 16})
    pictures.image_seq_length = 4
    processor = built("PaliGemmaProcessor", pictures, words)
    return Family(
        "paligemma",
        {
            "model_type": "paligemma",
            "vision_config": {"model_type": "siglip_vision_model", "projection_dim": 16, **VISION},
            "text_config": text_config(words, "gemma"),
            "image_token_index": processor.image_token_id,
            "projection_dim": 16,
            "hidden_size": 16,
        },
        processor,
    )


def gemma3() -> Family:
    words = tokenizer(
        ["<start_of_image>", "<end_of_image>", "<image_soft_token>"],
        {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"},
    )
    pictures = transformers.Gemma3ImageProcessorPil(size={"height": 16, "width": 16})
    return Family(
        "gemma3",
        {
            "model_type": "gemma3",
            "vision_config": {"model_type": "siglip_vision_model", **VISION},
            "text_config": text_config(words, "gemma3_text", sliding_window=8, query_pre_attn_scalar=8),
            "mm_tokens_per_image": 4,
            "image_token_index": words.convert_tokens_to_ids("<image_soft_token>"),
            "boi_token_index": words.convert_tokens_to_ids("<start_of_image>"),
            "eoi_token_index": words.convert_tokens_to_ids("<end_of_image>"),
            "tie_word_embeddings": False,
        },
        built("Gemma3Processor", pictures, words, image_seq_length=4),
    )


def internvl() -> Family:
    words = tokenizer(
        ["<img>", "</img>", "<IMG_CONTEXT>", "<video>"],
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    )
    pictures = transformers.GotOcr2ImageProcessorPil(
        size={"height": 16, "width": 16}, min_patches=1, max_patches=2, crop_to_patches=True
    )
    vision = VISION | {"image_size": [16, 16], "patch_size": [4, 4]}
    return Family(
        "internvl",
        {
            "model_type": "internvl",
            "vision_config": {"model_type": "internvl_vision", **vision},
            "text_config": text_config(words, "qwen2"),
            "image_token_id": words.convert_tokens_to_ids("<IMG_CONTEXT>"),
            "image_seq_length": 4,
            "downsample_ratio": 0.5,
            "tie_word_embeddings": False,
        },
        built("InternVLProcessor", pictures, words, image_seq_length=4),
        loads=False,
    )


FAMILIES: dict[str, Callable[[], Family]] = {
    made.__name__: functools.cache(made)
    for made in (
        *(llava, llava_next, qwen2_vl, qwen2_5_vl, qwen3_vl),
        *(idefics3, smolvlm, paligemma, gemma3, internvl),
    )
}


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> Family:
    """Each family in turn."""
    return FAMILIES[request.param]()


@pytest.fixture
def llava_family() -> Family:
    """The family that tests use where it does not matter which."""
    return FAMILIES["llava"]()


@pytest.fixture
def paligemma_family() -> Family:
    """The family whose processor writes more than the images' tokens into a prompt."""
    return FAMILIES["paligemma"]()


@pytest.fixture
def qwen_family() -> Family:
    """A family that counts positions by images."""
    return FAMILIES["qwen2_5_vl"]()


def picture(seed: int, width: int = 32, height: int = 24) -> Media:
    """A PNG of random pixels."""
    pixels = np.random.default_rng(seed).integers(1, 255, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return Media(kind="image", data=buffer.getvalue())


def ask(*seeds: int, text: str = "describe the image .") -> Prompt:
    """A user's turn with images before its text."""
    content = (*[Slot("image") for _ in seeds], text)
    return Prompt(messages=(Message("user", content),), media=tuple(picture(seed) for seed in seeds))


@pytest.fixture
def make_record() -> Callable[..., PreferenceRecord]:
    """Records of one prompt and two answers."""

    def make(
        *seeds: int, chosen: str = "a cup .", rejected: str = "a cup and a pan .", **fields: Any
    ) -> PreferenceRecord:
        fields = {"id": f"images {seeds}", "prompt": ask(*seeds), "verdict": Pair()} | fields
        return PreferenceRecord(responses=(Response(text=chosen), Response(text=rejected)), **fields)

    return make


@pytest.fixture
def make_prompt() -> Callable[..., Prompt]:
    """Chat prompts with images."""
    return ask


@pytest.fixture
def make_picture() -> Callable[..., Media]:
    """PNG images of random pixels."""
    return picture
