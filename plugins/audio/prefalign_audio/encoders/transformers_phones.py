"""Speech recognisers of Transformers as recognisers of phonemes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign.models.pretrained import from_pretrained
from prefalign_audio.encoders.base import freeze, settings_hash
from prefalign_audio.encoders.clap import plain_settings
from prefalign_audio.encoders.phone_recogniser import G2P, PhoneRecogniser
from prefalign_audio.encoders.transformers_models import sound_extractor


class CTCPhones(PhoneRecogniser):
    """A Wav2Vec2, WavLM or HuBERT with a CTC head: the most probable token of every frame, repeats and blanks left out.

    A vocabulary of phonemes (its tokenizer is a `Wav2Vec2PhonemeCTCTokenizer`) is taken as it is; letters make words,
    which go through `g2p`.

    Args:
        source: id or folder of the model for `from_pretrained`.
        g2p: phonemes of a text; needed for letters.
        resample, downmix: as for `PhoneRecogniser`.

    Raises:
        PrefalignError: if there is no such model, or it hears letters and there is no `g2p`.
    """

    def __init__(self, source: str, *, g2p: G2P | None = None, resample: bool = False, downmix: bool = False) -> None:
        super().__init__(resample, downmix)
        from transformers import AutoModelForCTC, AutoTokenizer

        self.source, self.g2p = source, g2p
        self.extractor = sound_extractor(source)
        self.rate = int(self.extractor.sampling_rate)
        # Phonemes are only read here; to make them the tokenizer would want a package of its own.
        self.tokenizer: Any = from_pretrained(AutoTokenizer, source, do_phonemize=False)
        self.network = from_pretrained(AutoModelForCTC, source, dtype=torch.float32)
        self.of_phonemes = "Phoneme" in type(self.tokenizer).__name__
        _ensure_g2p(source, self.of_phonemes or g2p is not None, "letters")
        freeze(self.network)

    @torch.no_grad()
    def hear(self, samples: Tensor) -> list[str]:
        """The phonemes of the best path."""
        heard = self.extractor(samples.cpu().numpy(), sampling_rate=self.rate, return_tensors="pt")
        device = next(self.network.parameters()).device
        logits = self.network(heard["input_values"].to(device)).logits[0]
        tokens = self.tokenizer.convert_ids_to_tokens(logits.argmax(-1).unique_consecutive().tolist())
        boundary = str(self.tokenizer.word_delimiter_token)
        silent = set(self.tokenizer.all_special_tokens) - {boundary}  # blanks and unknown ones
        tokens = [token for token in tokens if token not in silent]
        if self.of_phonemes:
            return [token for token in tokens if token != boundary]
        assert self.g2p is not None  # checked when this was built
        return self.g2p("".join(tokens).replace(boundary, " "))

    def fingerprint(self) -> str:
        """A hash of weights, vocabulary and the extractor's settings."""
        return _hash(self.network, self.tokenizer, self.extractor)


class WhisperPhones(PhoneRecogniser):
    """Whisper's words through a G2P, greedily; sounds above 30 s are refused, since it hears no more at once.

    Args:
        source: id or folder of the model for `from_pretrained`.
        g2p: phonemes of a text.
        resample, downmix: as for `PhoneRecogniser`.
        most: tokens that it may write.

    Raises:
        PrefalignError: if there is no such model, or no `g2p`.
    """

    def __init__(
        self,
        source: str,
        *,
        g2p: G2P | None = None,
        resample: bool = False,
        downmix: bool = False,
        most: int = 200,
    ) -> None:
        super().__init__(resample, downmix)
        from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration

        _ensure_g2p(source, g2p is not None, "words")
        self.source, self.g2p, self.most = source, g2p, most
        self.extractor = from_pretrained(WhisperFeatureExtractor, source)
        self.rate = int(self.extractor.sampling_rate)
        self.tokenizer: Any = from_pretrained(AutoTokenizer, source)
        self.network = from_pretrained(WhisperForConditionalGeneration, source, dtype=torch.float32)
        freeze(self.network)

    @torch.no_grad()
    def hear(self, samples: Tensor) -> list[str]:
        """The phonemes of what it writes.

        Raises:
            PrefalignError: for more than the extractor's window.
        """
        window = int(self.extractor.n_samples)
        if len(samples) > window:
            raise PrefalignError(f"{self.source} hears {window / self.rate:g} s at once; cut the sound into phrases")
        heard = self.extractor(samples.cpu().numpy(), sampling_rate=self.rate, return_tensors="pt")
        device = next(self.network.parameters()).device
        ids = self.network.generate(heard["input_features"].to(device), do_sample=False, max_new_tokens=self.most)
        assert self.g2p is not None  # checked when this was built
        return self.g2p(self.tokenizer.decode(ids[0], skip_special_tokens=True))

    def fingerprint(self) -> str:
        """A hash of weights, vocabulary and the extractor's settings."""
        return _hash(self.network, self.tokenizer, self.extractor)


def _ensure_g2p(source: str, given: bool, what: str) -> None:
    if not given:
        raise PrefalignError(
            f"{source} hears {what}, which a G2P has to turn into phonemes; give one, such as g2p=hama_g2p()"
        )


def _hash(network: Any, tokenizer: Any, extractor: Any) -> str:
    return settings_hash(
        network,
        {"edition": 1, "vocabulary": sorted(tokenizer.get_vocab().items()), "extractor": plain_settings(extractor)},
    )
