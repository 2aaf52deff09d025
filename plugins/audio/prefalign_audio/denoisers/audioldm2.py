"""AudioLDM 2: a U-Net under T5's states and under the states that GPT-2 makes of CLAP's and T5's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from prefalign.interfaces import PrefalignError, Prompt
from prefalign.models.condition import Condition
from prefalign.models.diffusers.base import small_config, texts
from prefalign_audio.denoisers.mel import MelDenoiser
from prefalign_audio.denoisers.mel_tiny import (
    ddim_scheduler,
    tiny_clap,
    tiny_mel_autoencoder,
    tiny_roberta_tokenizer,
    tiny_t5_encoder,
    tiny_t5_tokenizer,
    tiny_vocoder,
)

#: The network's names for the states of GPT-2 and of T5, and for the mask of the latter.
GENERATED, STATES, MASK = "encoder_hidden_states", "encoder_hidden_states_1", "encoder_attention_mask_1"


class AudioLDM2(MelDenoiser):
    """AudioLDM 2 (arXiv 2308.05734) for sounds and for music; its variants for speech are not read."""

    pipeline_class = "AudioLDM2Pipeline"
    guidance = 3.5

    def tiny(self, config: dict[str, Any]) -> Any:
        """A tiny U-Net of AudioLDM 2's attention (self, GPT-2, T5) with DDIM's scheduler."""
        from diffusers import AudioLDM2Pipeline, AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel
        from transformers import ClapFeatureExtractor, GPT2Config, GPT2LMHeadModel

        small = {
            "sample_size": 8,
            "block_out_channels": (8, 16),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "attention_head_dim": 4,
            "cross_attention_dim": ((None, 16, 8), (None, 16, 8)),
        }
        unet = AudioLDM2UNet2DConditionModel(**small_config(AudioLDM2UNet2DConditionModel, small, config))
        generated, states = unet.config.cross_attention_dim[0][1:]
        gpt2 = GPT2Config(
            vocab_size=8, n_positions=96, n_embd=generated, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
        )
        return AudioLDM2Pipeline(
            vae=tiny_mel_autoencoder(unet.config.in_channels),
            text_encoder=tiny_clap(8),
            text_encoder_2=tiny_t5_encoder(states),
            projection_model=AudioLDM2ProjectionModel(8, states, generated),
            language_model=GPT2LMHeadModel(gpt2),
            tokenizer=tiny_roberta_tokenizer(),
            tokenizer_2=tiny_t5_tokenizer(),
            feature_extractor=ClapFeatureExtractor(feature_size=16),
            unet=unet,
            scheduler=ddim_scheduler(),
            vocoder=tiny_vocoder(),
        )

    def configure_path(self) -> None:
        """As all on mel spectrograms.

        Raises:
            PrefalignError: for a variant that speaks a transcription.
        """
        from transformers import T5EncoderModel

        super().configure_path()
        encoder = self.pipeline.text_encoder_2
        if not isinstance(encoder, T5EncoderModel):
            raise PrefalignError(
                f"{self.model!r}: expected AudioLDM 2 with a T5EncoderModel, got a {type(encoder).__name__}; its "
                "variants for speech are not supported"
            )
        enable = self.network.enable_gradient_checkpointing
        self.network.enable_gradient_checkpointing = partial(enable, _recomputed)

    @torch.no_grad()
    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """GPT-2's eight states, and T5's with their mask.

        Each text is encoded alone: GPT-2 counts padding among its positions, so that a batch's longest text would
        change what it makes of the others.
        """
        return Condition.cat([self._encoded(text) for text in texts(prompts)])

    @torch.no_grad()
    def null_condition(self, condition: Condition) -> Condition:
        """The empty text, padded to each text's length before GPT-2 reads it, as the pipeline does."""
        lengths: list[int] = condition.tensors[MASK].sum(1).tolist()
        made = {length: self._encoded("", length) for length in set(lengths)}
        return Condition.cat([made[length] for length in lengths])

    def _encoded(self, text: str, length: int | None = None) -> Condition:
        """The condition of one text, whose T5 tokens are padded to `length`."""
        pipeline = self.ready()
        tokens = _tokens(pipeline.tokenizer, text).to(self.device)
        heard = pipeline.text_encoder.get_text_features(**tokens).pooler_output[:, None]
        tokens = _tokens(pipeline.tokenizer_2, text, length).to(self.device)
        states, mask = pipeline.text_encoder_2(**tokens).last_hidden_state, tokens.attention_mask
        projected = pipeline.projection_model(heard, states, mask.new_ones(1, 1), mask)
        generated = _continued(pipeline.language_model, projected.hidden_states, projected.attention_mask)
        return Condition({GENERATED: generated, STATES: states, MASK: mask})


def _recomputed(module: nn.Module, *arguments: Any) -> Any:
    """The module's output, computed again in the backward pass.

    The U-Net's blocks leave out the fourth argument of their transformers here (diffusers 0.42, modeling_audioldm2.py),
    so that the mask of T5's states would be taken for one of the picture's own places.
    """
    from diffusers.models import Transformer2DModel

    if isinstance(module, Transformer2DModel) and len(arguments) == 7:
        arguments = (*arguments[:3], None, *arguments[3:], False)
    return checkpoint(module, *arguments, use_reentrant=False)


def _tokens(tokenizer: Any, text: str, length: int | None = None) -> Any:
    padding, longest = ("max_length", length) if length else (False, tokenizer.model_max_length)
    return tokenizer([text], padding=padding, max_length=longest, truncation=True, return_tensors="pt")


def _continued(model: Any, states: Tensor, mask: Tensor) -> Tensor:
    """(1, K, D) states that GPT-2 adds to (1, T, D), each the last hidden one of all before it.

    `base_model` has no head, which some checkpoints were saved with and some without.
    """
    added = getattr(model.config, "max_new_tokens", None) or 8
    for _ in range(added):
        hidden = model.base_model(inputs_embeds=states, attention_mask=mask).last_hidden_state
        states, mask = torch.cat([states, hidden[:, -1:]], 1), torch.cat([mask, mask.new_ones(1, 1)], 1)
    return states[:, -added:]
