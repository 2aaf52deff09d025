"""Recognisers of phonemes: hama's, and tiny ones of Transformers."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.encoders import phones
from prefalign_audio.encoders.phones import HamaPhones, hama_g2p, load_recogniser, words
from prefalign_audio.encoders.transformers_phones import CTCPhones, WhisperPhones

needs_hama = pytest.mark.skipif(importlib.util.find_spec("hama") is None, reason="hama is not installed")

LETTERS = ["<pad>", "<unk>", "|", "a", "b", "c"]
IPA = ["<pad>", "<unk>", "|", "aː", "ts", "ɡ"]


def save_ctc(folder: Path, phonemes: bool) -> str:
    """A Wav2Vec2 of random weights over six tokens."""
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2PhonemeCTCTokenizer,
    )

    (folder / "vocabulary.json").write_text(
        json.dumps({name: number for number, name in enumerate(IPA if phonemes else LETTERS)})
    )
    options: dict[str, Any] = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": None, "eos_token": None}
    if phonemes:
        kind: Any = Wav2Vec2PhonemeCTCTokenizer
        options |= {"do_phonemize": False, "word_delimiter_token": "|"}
    else:
        kind = Wav2Vec2CTCTokenizer
    kind(str(folder / "vocabulary.json"), **options).save_pretrained(folder)
    config = Wav2Vec2Config(
        vocab_size=6,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        conv_dim=[8, 8],
        conv_stride=[20, 16],
        conv_kernel=[20, 16],
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=1,
        num_feat_extract_layers=2,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return str(folder)


def say(recogniser: CTCPhones, monkeypatch: pytest.MonkeyPatch, ids: list[int]) -> None:
    """Have the network give these tokens the highest logits."""

    class Output:
        logits = torch.nn.functional.one_hot(torch.tensor([ids]), 6).float()

    monkeypatch.setattr(recogniser.network, "forward", lambda *_, **__: Output())


def test_ctc_over_phonemes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise: Callable[..., Media]) -> None:
    """Repeats are one, a blank between makes two, and boundaries of words are no phonemes."""
    recogniser = load_recogniser(f"ctc:{save_ctc(tmp_path, phonemes=True)}")
    assert isinstance(recogniser, CTCPhones)
    assert recogniser.phonemes(noise()) is not None  # its own random weights
    say(recogniser, monkeypatch, [0, 5, 5, 0, 3, 3, 0, 3, 2, 4, 1, 0])
    assert recogniser.phonemes(noise()) == ["ɡ", "aː", "aː", "ts"]
    assert recogniser.phonemes(noise(scale=0.0)) is None
    assert len(recogniser.fingerprint()) == 64


def test_ctc_over_letters_needs_a_g2p(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise: Callable[..., Media]
) -> None:
    source = save_ctc(tmp_path, phonemes=False)
    with pytest.raises(PrefalignError, match="hears letters, which a G2P has to turn into phonemes"):
        load_recogniser(f"ctc:{source}")
    recogniser = CTCPhones(source, g2p=lambda text: text.upper().split())
    say(recogniser, monkeypatch, [3, 4, 4, 0, 4, 2, 2, 5, 0])
    assert recogniser.phonemes(noise()) == ["ABB", "C"]


def test_ctc_by_its_own_weights_is_what_transformers_decodes(tmp_path: Path) -> None:
    recogniser = CTCPhones(save_ctc(tmp_path, phonemes=False), g2p=lambda text: [text])
    samples = torch.randn(16_000, generator=torch.Generator().manual_seed(1))
    heard = recogniser.extractor(samples.numpy(), sampling_rate=16_000, return_tensors="pt")
    ids = recogniser.network(heard["input_values"]).logits[0].argmax(-1)
    assert recogniser.hear(samples)[0].split() == recogniser.tokenizer.decode(ids).split()


def save_whisper(folder: Path) -> str:
    """A Whisper of random weights that hears 1 s."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    from prefalign.testing.tiny import character_tokenizer

    tokenizer = character_tokenizer()
    size = len(tokenizer)
    config = WhisperConfig(
        vocab_size=size,
        d_model=8,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=1,
        decoder_attention_heads=1,
        encoder_ffn_dim=8,
        decoder_ffn_dim=8,
        max_source_positions=50,
        max_target_positions=32,
        num_mel_bins=80,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.bos_token_id,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    model.save_pretrained(folder)
    WhisperFeatureExtractor(chunk_length=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_whisper_s_words_go_through_the_g2p(tmp_path: Path, noise: Callable[..., Media]) -> None:
    source = save_whisper(tmp_path)
    with pytest.raises(PrefalignError, match="hears words, which a G2P has to turn"):
        load_recogniser(f"whisper:{source}")
    seen: list[str] = []

    def g2p(text: str) -> list[str]:
        seen.append(text)
        return ["x"]

    recogniser = WhisperPhones(source, g2p=g2p, most=8)
    assert recogniser.phonemes(noise()) == ["x"]
    assert recogniser.phonemes(noise()) == ["x"]
    assert seen[0] == seen[1]
    assert len(recogniser.fingerprint()) == 64
    with pytest.raises(PrefalignError, match="hears 1 s at once; cut the sound"):
        recogniser.phonemes(noise(seconds=1.5))


def test_words_of_a_text() -> None:
    assert words("And mister John's heart, then; —don’t!") == ["and", "mister", "john's", "heart", "then", "don't"]
    assert words("Ihr Straßen") == ["ihr", "straßen"]
    with pytest.raises(PrefalignError, match="no G2P reads digits; write numbers as words"):
        words("99 balloons")


@needs_hama
def test_hama_s_g2p() -> None:
    """In the alphabet that its recogniser hears."""
    assert hama_g2p()("young, man") == ["j", "ʌ", "ŋ", "m", "æ", "n"]


@needs_hama
def test_hama_hears_nothing_in_noise_of_no_level(noise: Callable[..., Media]) -> None:
    recogniser = HamaPhones()
    assert recogniser.phonemes(noise(scale=1e-4)) is None
    assert isinstance(recogniser.phonemes(noise()), list)
    assert recogniser.fingerprint() == phones.ASR.sha256


def test_without_hama_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "hama", None)
    with pytest.raises(PrefalignError, match=r'not installed: pip install "prefalign-audio\[phones\]"'):
        load_recogniser("hama")
