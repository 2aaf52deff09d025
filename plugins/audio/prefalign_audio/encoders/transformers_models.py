"""Any Transformers model of sound or of text as an encoder: the mean of its last hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign.models.pretrained import from_pretrained
from prefalign_audio.encoders.base import SoundEncoder, TextEncoder, freeze, settings_hash, windows
from prefalign_audio.encoders.clap import plain_settings, token_rows

#: Feature extractors whose models are known to be read right.
_EXTRACTORS = ("Wav2Vec2FeatureExtractor", "ASTFeatureExtractor")


class TransformersSound(SoundEncoder):
    """The mean over time of the last hidden states of a Wav2Vec2, WavLM, HuBERT or AST model.

    The rate is the model's own, 16,000 Hz for those published. Spectrogram transformers (AST) hear a window of fixed
    length (10 s); longer clips are heard window by window and averaged, shorter ones are padded by the extractor.

    Args:
        source: id or folder of the model for `from_pretrained`.
        resample, downmix: as for `SoundEncoder`.

    Raises:
        PrefalignError: if there is no such model, or its kind of input is not known here.
    """

    def __init__(self, source: str, resample: bool = False, downmix: bool = False) -> None:
        super().__init__(resample, downmix)
        from transformers import AutoModel

        self.source = source
        self.extractor = sound_extractor(source)
        self.network = from_pretrained(AutoModel, source, dtype=torch.float32)
        self.rate = int(self.extractor.sampling_rate)
        self.width = int(self.network.config.hidden_size)
        freeze(self)

    def settings(self) -> dict[str, Any]:
        """The extractor's settings."""
        return {"edition": 1, "extractor": plain_settings(self.extractor)}

    def embed(self, samples: Tensor) -> Tensor:
        """(D,) mean of the hidden states of the clip."""
        size = self._window
        parts = [samples] if size is None or len(samples) <= size else windows(samples, size, size)
        return torch.stack([self._mean(part) for part in parts]).mean(0)

    @property
    def _window(self) -> int | None:
        """Samples that the extractor does not cut off; None where it cuts nothing."""
        if type(self.extractor).__name__ != "ASTFeatureExtractor":
            return None
        # Frames of 25 ms every 10 ms.
        return round(0.025 * self.rate) + (self.extractor.max_length - 1) * round(0.01 * self.rate)

    def _mean(self, samples: Tensor) -> Tensor:
        heard = self.extractor(samples.cpu().numpy(), sampling_rate=self.rate, return_tensors="pt")
        name = self.extractor.model_input_names[0]
        values = heard[name].to(self.device, torch.float32)
        return self.network(**{name: values}).last_hidden_state[0].mean(0)


class TransformersText(TextEncoder):
    """The mean over tokens of the last hidden states of a text model, such as a sentence encoder or T5's encoder.

    Args:
        source: id or folder of the model for `from_pretrained`.

    Raises:
        PrefalignError: if there is no such model.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        from transformers import AutoModel, AutoTokenizer

        self.source = source
        self.tokenizer = from_pretrained(AutoTokenizer, source)
        network = from_pretrained(AutoModel, source, dtype=torch.float32)
        self.network = network.get_encoder() if network.config.is_encoder_decoder else network
        self.width = int(network.config.get_text_config().hidden_size)
        self.limit = int(min(self.tokenizer.model_max_length, getattr(network.config, "max_position_embeddings", 1e9)))
        freeze(self)

    @torch.no_grad()
    def forward(self, texts: Sequence[str]) -> Tensor:
        """(N, D) mean hidden states of N texts, float32.

        Raises:
            PrefalignError: for a text that is too long.
        """
        device = next(self.network.parameters()).device
        rows = [
            self.network(**token_rows(self.tokenizer, text, self.limit).to(device)).last_hidden_state[0].mean(0)
            for text in texts
        ]
        return torch.stack(rows).float() if rows else torch.empty(0, self.width, device=device)

    def fingerprint(self) -> str:
        """A hash of weights and vocabulary."""
        return settings_hash(self, {"edition": 1, "vocabulary": sorted(self.tokenizer.get_vocab().items())})


def sound_extractor(source: str) -> Any:
    """The feature extractor of a model of sound.

    Raises:
        PrefalignError: if there is none, or one of a kind that is not known here.
    """
    from transformers import AutoFeatureExtractor

    extractor = from_pretrained(AutoFeatureExtractor, source)
    if (kind := type(extractor).__name__) not in _EXTRACTORS:
        hint = f"write clap:{source}" if kind.startswith("Clap") else f"expected one of {', '.join(_EXTRACTORS)}"
        raise PrefalignError(f"{source} has a {kind}, which transformers: does not read; {hint}")
    return extractor
