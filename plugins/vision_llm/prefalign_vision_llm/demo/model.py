"""A LLaVA of 0.21 million parameters, built from configurations with random weights, and a fast path for its training.

The vision tower sees one patch a cell of the scene. Its last layer is read (the usual last but one would leave half of
a two-layer tower without a gradient), so ``post_layernorm`` never gets a gradient; it is frozen, or distributed
training would report it as unused.
"""

import torch
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling

from prefalign_vision_llm.demo.processor import IMAGE
from prefalign_vision_llm.demo.scenes import World

_WIDTH = 64
# The customary 0.02 is meant for models ten times as wide; here attention would stay nearly uniform for long.
_INIT_STD = 0.05
_SHAPE = {"hidden_size": _WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 2 * _WIDTH}


def build_model(world: World, tokenizer: PreTrainedTokenizerFast, seed: int) -> LlavaForConditionalGeneration:
    """The untrained model for pictures of ``world``, in evaluation mode (it has no dropout anyway)."""
    vision = CLIPVisionConfig(image_size=world.image_size, patch_size=world.cell, **_SHAPE)
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=tokenizer.model_max_length,
        initializer_range=_INIT_STD,
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **_SHAPE,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=world.grid**2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        initializer_range=_INIT_STD,
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
    # Generation reads these from its own configuration, which a model of nested configurations does not fill in.
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.bos_token_id = tokenizer.bos_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.model.vision_tower.post_layernorm.requires_grad_(False)
    return model.eval()


def patch_features(model: LlavaForConditionalGeneration, pixel_values: Tensor) -> Tensor:
    """What the projector receives: (images, patches, width) of the tower's last layer, class token dropped.

    Shape of ``pixel_values``: (images, 3, height, width), normalised.
    """
    hidden = model.model.vision_tower(pixel_values, output_hidden_states=True).hidden_states[-1]
    return hidden[:, 1:]


def next_token_logits(model: LlavaForConditionalGeneration, input_ids: Tensor, features: Tensor) -> Tensor:
    """Logits (rows, tokens, vocabulary) from :func:`patch_features` instead of pixels.

    ``input_ids`` (rows, tokens) is padded on the right, so that causal attention alone keeps padding out of sight.
    """
    projected = model.model.multi_modal_projector(features).flatten(0, 1)
    # A list of one: the model concatenates whatever the list holds, and splitting it row by row would only cost time.
    encoded = BaseModelOutputWithPooling(pooler_output=[projected])
    return model(input_ids=input_ids, mm_encoder_outputs={"image": encoded}, use_cache=False).logits
