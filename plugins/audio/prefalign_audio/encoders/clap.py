"""CLAP through Transformers: one space for sounds and captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign.models.pretrained import from_pretrained
from prefalign_audio.encoders.base import SoundEncoder, TextEncoder, freeze, settings_hash, windows


class ClapSound(SoundEncoder):
    """The sound half of a CLAP model: unit vectors whose cosine with those of `ClapText` says how well they match.

    Published models want 48,000 Hz. Clips longer than the extractor's window (10 s) are heard window by window, the
    last one aligned to the end, and the windows' vectors averaged and scaled to length 1: the extractor's own way with
    them is a crop at random.

    Args:
        source: id or folder of the model for `from_pretrained`.
        resample, downmix: as for `SoundEncoder`.
        network: the model itself, where several parts share one.

    Raises:
        PrefalignError: if there is no such model, or it is no CLAP.
    """

    def __init__(self, source: str, resample: bool = False, downmix: bool = False, network: Any = None) -> None:
        super().__init__(resample, downmix)
        self.source = source
        self.network = load_clap(source) if network is None else network
        self.extractor = clap_extractor(source)
        self.rate = int(self.extractor.sampling_rate)
        self.width = int(self.network.config.projection_dim)
        freeze(self)

    def settings(self) -> dict[str, Any]:
        """The extractor's settings."""
        return {"edition": 1, "extractor": plain_settings(self.extractor)}

    def embed(self, samples: Tensor) -> Tensor:
        """(D,) unit vector of the clip."""
        size = int(self.extractor.nb_max_samples)
        parts = [samples] if len(samples) <= size else windows(samples, size, size)
        vectors = [self._window(part) for part in parts]
        return torch.nn.functional.normalize(torch.stack(vectors).mean(0), dim=0)

    def _window(self, samples: Tensor) -> Tensor:
        heard = self.extractor(samples.cpu().numpy(), sampling_rate=self.rate, return_tensors="pt")
        features = heard["input_features"].to(self.device, torch.float32)
        # The extractor declares one clip of every batch long, for the sake of training; no window is.
        longer = torch.zeros(1, 1, dtype=torch.bool, device=self.device)
        return self.network.get_audio_features(input_features=features, is_longer=longer).pooler_output[0]


class ClapText(TextEncoder):
    """The caption half of a CLAP model: unit vectors.

    Args:
        source: id or folder of the model for `from_pretrained`.
        network: the model itself, where several parts share one.

    Raises:
        PrefalignError: if there is no such model, or it is no CLAP.
    """

    def __init__(self, source: str, network: Any = None) -> None:
        super().__init__()
        from transformers import AutoTokenizer

        self.source = source
        self.network = load_clap(source) if network is None else network
        self.tokenizer = from_pretrained(AutoTokenizer, source)
        self.width = int(self.network.config.projection_dim)
        freeze(self)

    @torch.no_grad()
    def forward(self, texts: Sequence[str]) -> Tensor:
        """(N, D) unit vectors of N captions, float32; what a caption has beyond the model's length is refused.

        Raises:
            PrefalignError: for a caption that is too long.
        """
        device = next(self.network.parameters()).device
        rows = [
            self.network.get_text_features(**token_rows(self.tokenizer, text, self._limit).to(device)).pooler_output[0]
            for text in texts
        ]
        return torch.stack(rows).float() if rows else torch.empty(0, self.width, device=device)

    @property
    def _limit(self) -> int:
        config = self.network.config.text_config
        # Positions start behind the padding token's id, as in RoBERTa.
        return int(config.max_position_embeddings) - int(config.pad_token_id or 0) - 1

    def fingerprint(self) -> str:
        """A hash of weights and vocabulary."""
        return settings_hash(self, {"edition": 1, "vocabulary": sorted(self.tokenizer.get_vocab().items())})


def load_clap(source: str) -> Any:
    """A Transformers CLAP model, float32.

    Raises:
        PrefalignError: if there is no such model, or it is another family.
    """
    from transformers import AutoConfig, ClapModel

    # Another family's weights would load into a CLAP without complaint, and leave it random.
    family = from_pretrained(AutoConfig, source).model_type
    if family != "clap":
        raise PrefalignError(f"{source} is a {family!r} model, no CLAP; write transformers:{source}")
    return from_pretrained(ClapModel, source, dtype=torch.float32)


def clap_extractor(source: str) -> Any:
    """The feature extractor of a CLAP model.

    Raises:
        PrefalignError: if there is none.
    """
    from transformers import ClapFeatureExtractor

    return from_pretrained(ClapFeatureExtractor, source)


def token_rows(tokenizer: Any, text: str, limit: int) -> Any:
    """One text as the inputs of a Transformers model.

    Raises:
        PrefalignError: for more than `limit` tokens.
    """
    found = tokenizer(text, return_tensors="pt")
    count = found["input_ids"].shape[1]
    if count > limit:
        raise PrefalignError(f"the text has {count} tokens and the encoder reads {limit}: {text[:60]!r}…; shorten it")
    return found


def plain_settings(extractor: Any) -> str:
    """A feature extractor's settings in one text, the same on every machine."""
    return repr(sorted((name, value) for name, value in extractor.to_dict().items() if not name.startswith("_")))
