"""AudioLDM and MusicLDM: a U-Net that is told the text as one vector, CLAP's embedding, beside the time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefalign.interfaces import Prompt
from prefalign.models.condition import Condition
from prefalign.models.diffusers.base import repeated, small_config, texts
from prefalign_audio.denoisers.mel import MelDenoiser
from prefalign_audio.denoisers.mel_tiny import (
    clap_text_settings,
    ddim_scheduler,
    tiny_clap,
    tiny_mel_autoencoder,
    tiny_roberta_tokenizer,
    tiny_vocoder,
)


class AudioLDM(MelDenoiser):
    """AudioLDM (arXiv 2301.12503), under CLAP's text branch. In training it was told the embedding of the sound."""

    pipeline_class = "AudioLDMPipeline"
    guidance = 2.5

    def tiny(self, config: dict[str, Any]) -> Any:
        """A tiny U-Net with AudioLDM's class embedding and DDIM's scheduler."""
        from diffusers import AudioLDMPipeline
        from transformers import ClapTextConfig, ClapTextModelWithProjection

        return AudioLDMPipeline(
            text_encoder=ClapTextModelWithProjection(ClapTextConfig(**clap_text_settings(8))), **_tiny_parts(config)
        )

    @torch.no_grad()
    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """CLAP's embeddings of the texts, of length 1."""
        pipeline = self.ready()
        limit = pipeline.tokenizer.model_max_length
        tokens = pipeline.tokenizer(
            texts(prompts), padding=True, max_length=limit, truncation=True, return_tensors="pt"
        ).to(self.device)
        return Condition({"class_labels": normalize(self.embedded(tokens), dim=-1)})

    def embedded(self, tokens: Any) -> Tensor:
        """(N, D) embeddings of texts."""
        found: Tensor = self.pipeline.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask).text_embeds
        return found

    def null_condition(self, condition: Condition) -> Condition:
        """The empty text."""
        return repeated(self.condition([Prompt(text="")]), len(condition))

    def predict(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """(N, C, T, F) predictions, without states to attend to."""
        return self.call(noisy, time, {**condition.arguments(), "encoder_hidden_states": None})


class MusicLDM(AudioLDM):
    """MusicLDM (arXiv 2308.01546), whose CLAP is whole."""

    pipeline_class = "MusicLDMPipeline"
    guidance = 2.0

    def tiny(self, config: dict[str, Any]) -> Any:
        """A tiny U-Net with AudioLDM's class embedding and DDIM's scheduler."""
        from diffusers import MusicLDMPipeline
        from transformers import ClapFeatureExtractor

        features = ClapFeatureExtractor(feature_size=16)
        return MusicLDMPipeline(text_encoder=tiny_clap(8), feature_extractor=features, **_tiny_parts(config))

    def embedded(self, tokens: Any) -> Tensor:
        """(N, D) embeddings of texts."""
        encoder = self.pipeline.text_encoder
        found: Tensor = encoder.get_text_features(tokens.input_ids, attention_mask=tokens.attention_mask).pooler_output
        return found


def _tiny_parts(config: dict[str, Any]) -> dict[str, Any]:
    """All parts but the text encoder, whose embeddings have eight values."""
    from diffusers import UNet2DConditionModel

    small = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 4,
        "cross_attention_dim": (8, 16),
        "class_embed_type": "simple_projection",
        "projection_class_embeddings_input_dim": 8,
        "class_embeddings_concat": True,
    }
    unet = UNet2DConditionModel(**small_config(UNet2DConditionModel, small, config))
    return {
        "unet": unet,
        "vae": tiny_mel_autoencoder(unet.config.in_channels),
        "tokenizer": tiny_roberta_tokenizer(),
        "scheduler": ddim_scheduler(),
        "vocoder": tiny_vocoder(),
    }
