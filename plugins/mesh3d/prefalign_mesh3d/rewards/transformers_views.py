"""Judges and encoders of views from Transformers: CLIP, and BLIP, which reads the prompt with the picture in sight."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from prefalign.functional.fingerprint import fingerprint
from prefalign.interfaces import PrefalignError
from prefalign.models.pretrained import from_pretrained
from prefalign_mesh3d.rewards.view_encoders import ViewEncoder, channels_first


class _Parts:
    """A model with what brings pictures and texts to it."""

    def __init__(self, source: str, model_class: str, families: tuple[str, ...]) -> None:
        import transformers

        # Another family's weights would load without complaint, and leave the model random.
        family = from_pretrained(transformers.AutoConfig, source).model_type
        if family not in families:
            raise PrefalignError(f"{source} is a {family!r} model; expected one of {', '.join(families)}")
        self.network: Any = from_pretrained(getattr(transformers, model_class), source, dtype=torch.float32)
        self.network.eval().requires_grad_(False)
        self.tokenizer: Any = from_pretrained(transformers.AutoTokenizer, source)
        processor: Any = from_pretrained(transformers.AutoImageProcessor, source)
        self.mean, self.std = tuple(processor.image_mean), tuple(processor.image_std)
        self.side = int(self.network.config.vision_config.image_size)

    def pixels(self, images: Tensor, device: torch.device) -> Tensor:
        """(N·K, 3, S, S) pictures as the model wants them: bicubic, then less the mean, over the deviation."""
        values = channels_first(images.to(device))
        if values.shape[-1] != self.side:
            size = (self.side, self.side)
            values = nn.functional.interpolate(values, size, mode="bicubic", antialias=True).clamp(0, 1)
        mean, std = (values.new_tensor(part)[:, None, None] for part in (self.mean, self.std))
        return (values - mean) / std

    def tokens(self, texts: Sequence[str], device: torch.device, limit: int) -> Any:
        """Texts as a padded batch, cut at the model's length."""
        found = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=limit,
            return_tensors="pt",
            return_token_type_ids=False,
        )
        return found.to(device)

    def fingerprint(self, edition: str) -> str:
        """A hash of weights, vocabulary and preparation."""
        parts = (edition, self.mean, self.std, self.side, sorted(self.tokenizer.get_vocab().items()))
        return hashlib.sha256(f"{parts} {fingerprint(self.network)}".encode()).hexdigest()


class _Clip(nn.Module):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.network: Any = None
        self._parts: _Parts | None = None

    def configure_model(self) -> None:
        """Load the weights; calling it again changes nothing.

        Raises:
            PrefalignError: if there is no such model, or it is no CLIP.
        """
        if self._parts is None:
            self._parts = _Parts(self.source, "CLIPModel", ("clip",))
            self.network, self.width = self._parts.network, int(self._parts.network.config.projection_dim)

    @property
    def parts(self) -> _Parts:
        """Model, tokenizer and preparation."""
        if self._parts is None:
            raise PrefalignError("the model has no weights yet: call configure_model first")
        return self._parts

    def pictures(self, images: Tensor) -> Tensor:
        """(N, K, D) unit vectors of pictures."""
        parts = self.parts
        found = parts.network.get_image_features(pixel_values=parts.pixels(images, parts.network.device))
        return nn.functional.normalize(found.pooler_output.float(), dim=-1).reshape(*images.shape[:2], -1)

    def texts(self, texts: Sequence[str]) -> Tensor:
        """(n, D) unit vectors of texts."""
        parts = self.parts
        limit = int(parts.network.config.text_config.max_position_embeddings)
        tokens = parts.tokens(texts, parts.network.device, limit)
        return nn.functional.normalize(parts.network.get_text_features(**tokens).pooler_output.float(), dim=-1)


class ClipJudge(_Clip):
    """How well each view shows what the prompt says: the cosine of CLIP's vectors, times its temperature if wanted.

    PickScore and its like are CLIP models; published weights of that form load by their id.

    Args:
        source: id or folder of the model for `from_pretrained`. Nothing is loaded before `configure_model`.
        prompt: what meshes are judged by whose own prompt has no text; None refuses them.
        scaled: multiply by the model's learned temperature, as PickScore does.
    """

    def __init__(self, source: str, prompt: str | None = None, scaled: bool = False) -> None:
        super().__init__(source)
        self.prompt, self.scaled = prompt, scaled

    @torch.no_grad()
    def forward(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """(N, K) cosines, -1 to 1, unless scaled.

        Args:
            images: (N, K, H, W, 3) uint8.
            prompts: N.

        Raises:
            PrefalignError: for a prompt without text where there is no other.
        """
        texts = [text or self.prompt or "" for text in prompts]
        if not all(texts):
            raise PrefalignError("a prompt has no text for CLIP to compare with; give prompt= for such records")
        cosines = (self.pictures(images) * self.texts(texts)[:, None]).sum(-1)
        return cosines * self.network.logit_scale.exp() if self.scaled else cosines

    def fingerprint(self) -> str:
        """A hash of weights, preparation and settings."""
        return self.parts.fingerprint(f"ClipJudge 1 {self.prompt} {self.scaled}")


class ClipViews(_Clip, ViewEncoder):
    """CLIP's unit vector of each view, and its product, number by number, with the vector of the view's prompt.

    The sum of the second half is the cosine; a linear head on both halves can weigh what is seen and what matches.

    Args:
        source: id or folder of the model for `from_pretrained`. Nothing is loaded before `configure_model`.
    """

    def configure_model(self) -> None:
        """Load the weights; calling it again changes nothing.

        Raises:
            PrefalignError: if there is no such model, or it is no CLIP.
        """
        super().configure_model()
        self.width = 2 * int(self.parts.network.config.projection_dim)

    @torch.no_grad()
    def forward(self, images: Tensor, prompts: Sequence[Sequence[str]]) -> Tensor:
        """(N, K, D) vectors."""
        pictures = self.pictures(images)
        texts = self.texts([text for row in prompts for text in row]).view_as(pictures)
        return torch.cat([pictures, pictures * texts], -1)

    def fingerprint(self) -> str:
        """A hash of weights, vocabulary and preparation."""
        return self.parts.fingerprint("ClipViews 1")


class BlipViews(ViewEncoder):
    """The state of the prompt's first token in BLIP's text encoder, which attends to the picture: ImageReward's form.

    Reward3D's backbone is ImageReward, a BLIP with ViT-L (width 768) and texts of 100 tokens.

    Args:
        source: id or folder of a BLIP for retrieval for `from_pretrained`. Nothing is loaded before `configure_model`.
        max_tokens: length at which prompts are cut.
    """

    def __init__(self, source: str, max_tokens: int = 100) -> None:
        super().__init__()
        self.source, self.max_tokens = source, max_tokens
        self.network: Any = None
        self._parts: _Parts | None = None

    def configure_model(self) -> None:
        """Load the weights; calling it again changes nothing.

        Raises:
            PrefalignError: if there is no such model, or it is no BLIP.
        """
        if self._parts is None:
            self._parts = _Parts(self.source, "BlipForImageTextRetrieval", ("blip",))
            self.network, self.width = self._parts.network, int(self._parts.network.config.text_config.hidden_size)

    @torch.no_grad()
    def forward(self, images: Tensor, prompts: Sequence[Sequence[str]]) -> Tensor:
        """(N, K, D) states."""
        if self._parts is None:
            raise PrefalignError("the model has no weights yet: call configure_model first")
        parts, device = self._parts, self.network.device
        seen = self.network.vision_model(pixel_values=parts.pixels(images, device)).last_hidden_state
        limit = min(self.max_tokens, int(self.network.config.text_config.max_position_embeddings))
        tokens = parts.tokens([text for row in prompts for text in row], device, limit)
        states = self.network.text_encoder(
            **tokens,
            encoder_hidden_states=seen,
            encoder_attention_mask=seen.new_ones(seen.shape[:2], dtype=torch.long),
        ).last_hidden_state
        return states[:, 0].float().reshape(*images.shape[:2], -1)

    def fingerprint(self) -> str:
        """A hash of weights, vocabulary and preparation."""
        if self._parts is None:
            raise PrefalignError("the model has no weights yet: call configure_model first")
        return self._parts.fingerprint(f"BlipViews 1 {self.max_tokens}")


__all__ = ["BlipViews", "ClipJudge", "ClipViews"]
