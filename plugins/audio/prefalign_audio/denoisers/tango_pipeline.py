"""The parts of Tango as a pipeline of Diffusers, which has none of it: for its way of saving and loading."""

from __future__ import annotations

from typing import Any

from diffusers import DiffusionPipeline


class TangoPipeline(DiffusionPipeline):
    """Parts that are saved to a folder and loaded from it; sampling is the policy's.

    Args:
        vae: autoencoder of log-mel spectrograms.
        text_encoder, tokenizer: of FLAN-T5.
        unet: the denoiser.
        scheduler: of DDPM.
        vocoder: spectrograms to sounds.
    """

    def __init__(self, vae: Any, text_encoder: Any, tokenizer: Any, unet: Any, scheduler: Any, vocoder: Any) -> None:
        super().__init__()
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            vocoder=vocoder,
        )
