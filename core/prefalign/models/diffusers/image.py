"""What image denoisers share: sizes, pictures to latents, and latents to pictures."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefalign.interfaces import Media, PrefalignError, PreferenceRecord, Prompt
from prefalign.models.diffusers.base import DiffusersDenoiser
from prefalign.models.latents import LatentCodec

# Only what decodes in process: PIL would hand EPS to an interpreter.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")


class ImageCodec(LatentCodec):
    """Reads latents, or a response's picture, scaled and cropped around its centre to one size.

    Args:
        height, width: in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def fingerprint(self) -> str:
        """Hash of the size."""
        return f"{super().fingerprint()}-{self.height}x{self.width}"

    def read_media(self, record: PreferenceRecord, index: int) -> Tensor:
        """(3, height, width) in [-1, 1].

        Raises:
            RecordError: for a response that has not one picture, or whose picture cannot be read.
        """
        from PIL import Image, ImageOps

        media = record.responses[index].media
        place = f"responses[{index}].media"
        if len(media) != 1 or media[0].kind != "image":
            kinds = [medium.kind for medium in media]
            raise record.error(f"expected an array named 'latents', or one image; got media {kinds}", place)
        source: Any = media[0].path if media[0].data is None else io.BytesIO(media[0].data)
        try:
            with Image.open(source, formats=_FORMATS) as opened:
                picture = ImageOps.exif_transpose(opened).convert("RGB")
        except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
            raise record.error(f"the image cannot be read: {error}", place) from error
        fitted = ImageOps.fit(picture, (self.width, self.height), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(fitted)).permute(2, 0, 1).float() / 127.5 - 1


class ImageDenoiser(DiffusersDenoiser):
    """A denoiser of an image autoencoder's latents.

    Args:
        model, dtype, init_seed, steps, guidance: as in `DiffusersDenoiser`.
        height, width: of the pictures, in pixels: those that are read, and those that are made where a prompt's
            condition `height` or `width` says nothing else.
    """

    def __init__(self, model: str | dict[str, Any], height: int = 512, width: int = 512, **options: Any) -> None:
        super().__init__(model, **options)
        self.height, self.width = height, width

    def codec(self) -> ImageCodec:
        """Reads latents and pictures."""
        return ImageCodec(self.height, self.width)

    @property
    def patch(self) -> int:
        """Pixels of a side that fall on one latent."""
        scale: int = self.pipeline.vae_scale_factor
        return scale

    def latent_shape(self, prompt: Prompt) -> tuple[int, ...]:
        """(channels, height, width).

        Raises:
            PrefalignError: for a size that is not a multiple of what the model divides pictures into.
        """
        sides = [prompt.conditions.get(name, getattr(self, name)) for name in ("height", "width")]
        multiple = self.patch * self.tokens_side()
        if not all(isinstance(side, int) and side > 0 and side % multiple == 0 for side in sides):
            raise PrefalignError(f"expected a height and a width that are multiples of {multiple} pixels, got {sides}")
        return self.channels(), sides[0] // self.patch, sides[1] // self.patch

    def channels(self) -> int:
        """Of a latent."""
        found: int = self.network.config.in_channels
        return found

    def tokens_side(self) -> int:
        """Latents of a side that the network takes as one token."""
        return 1

    @torch.no_grad()
    def encode(self, media: Tensor) -> Tensor:
        """(N, C, H, W) latents of pictures (N, 3, h, w) in [-1, 1]: the posterior's mode, so that they are the same
        at every visit."""
        vae = self.ready().vae
        latents: Tensor = vae.encode(media.to(self.device, vae.dtype)).latent_dist.mode()
        return (latents - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[tuple[Media, ...]]:
        """A PNG for each of (N, C, H, W) latents."""
        from PIL import Image

        vae = self.ready().vae
        scaled = latents / vae.config.scaling_factor + (vae.config.shift_factor or 0.0)
        pictures = vae.decode(scaled.to(vae.dtype), return_dict=False)[0].float().clamp(-1, 1)
        found: list[tuple[Media, ...]] = []
        for picture in ((pictures + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy():
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, format="PNG")
            found.append((Media(kind="image", data=buffer.getvalue()),))
        return found
