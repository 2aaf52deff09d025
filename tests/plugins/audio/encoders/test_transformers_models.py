"""Transformers models of sound and text as encoders, on tiny ones built in code."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from prefalign.interfaces import Media, PrefalignError
from prefalign.testing.tiny import save_tokenizer
from prefalign_audio.encoders.load import encoder_rate, load_encoder, load_text_encoder


def save_wav2vec2(folder: Path, family: str = "Wav2Vec2") -> str:
    import transformers

    config = getattr(transformers, f"{family}Config")(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8, 8),
        conv_stride=(5, 4),
        conv_kernel=(10, 8),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    torch.manual_seed(0)
    getattr(transformers, f"{family}Model")(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return str(folder)


def save_ast(folder: Path) -> str:
    """A spectrogram transformer that hears 100 frames: 0.025 + 99 · 0.01 = 1.015 s, 16,240 samples."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

    config = ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_length=100,
        num_mel_bins=32,
        patch_size=8,
        frequency_stride=8,
        time_stride=8,
    )
    torch.manual_seed(0)
    ASTModel(config).save_pretrained(folder)
    ASTFeatureExtractor(max_length=100, num_mel_bins=32).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("family", ["Wav2Vec2", "WavLM", "Hubert"])
def test_speech_models_give_the_mean_of_their_hidden_states(
    tmp_path: Path, noise: Callable[..., Media], family: str
) -> None:
    from transformers import AutoModel

    folder = save_wav2vec2(tmp_path / "model", family)
    encoder = load_encoder(f"transformers:{folder}")
    medium = noise(0)
    assert (encoder.rate, encoder.width) == (16_000, 16)
    samples = encoder.samples(medium)
    heard = (samples - samples.mean()) / (samples.var(correction=0) + 1e-7).sqrt()
    with torch.no_grad():
        expected = AutoModel.from_pretrained(folder).eval()(heard[None]).last_hidden_state[0].mean(0)
    together = encoder([noise(1, seconds=1.0), medium])
    assert torch.allclose(together[1], expected, atol=1e-5)
    assert torch.equal(together[1], encoder([medium])[0])


def test_a_spectrogram_transformer_hears_clips_to_their_end(tmp_path: Path, noise: Callable[..., Media]) -> None:
    """Beyond 16,240 samples its extractor would cut: 24,000 samples are heard as the first and the last 16,240."""
    encoder = load_encoder(f"transformers:{save_ast(tmp_path / 'ast')}")
    long = noise(0, seconds=1.5)
    samples = encoder.samples(long)
    with torch.no_grad():
        first, last = encoder.embed(samples[:16_240]), encoder.embed(samples[-16_240:])
    assert torch.allclose(encoder([long])[0], (first + last) / 2, atol=1e-6)
    assert not torch.allclose(first, last, atol=1e-4)


def test_a_text_model_gives_the_mean_over_tokens(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    save_tokenizer(tmp_path)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=104, max_position_embeddings=32, **shape)).save_pretrained(tmp_path)
    encoder = load_text_encoder(f"transformers:{tmp_path}")
    rows = encoder(["rain", "a longer caption"])
    assert rows.shape == (2, 16)
    assert torch.equal(rows[0], encoder(["rain"])[0])
    ids = encoder.tokenizer("rain", return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(rows[0], encoder.network(**ids).last_hidden_state[0].mean(0))
    with pytest.raises(PrefalignError, match="the text has 33 tokens and the encoder reads 32"):
        encoder(["a" * 32])


def test_kinds_of_input_that_are_not_known_are_refused(tmp_path: Path, clap: str) -> None:
    with pytest.raises(PrefalignError, match=r"has a ClapFeatureExtractor.*write clap:"):
        encoder_rate(f"transformers:{clap}")
    with pytest.raises(PrefalignError, match="there is no model folder"):
        load_encoder(f"transformers:{tmp_path}/none")
