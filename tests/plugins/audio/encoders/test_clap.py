"""CLAP models by Transformers id, on tiny ones built in code."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.encoders.clap import ClapSound, ClapText
from prefalign_audio.encoders.load import load_encoder, load_text_encoder
from prefalign_audio.encoders.tiny import save_tiny_clap
from prefalign_audio.sound.errors import SoundError


def test_a_short_clip_is_what_transformers_says_it_is(clap: str, noise: Callable[..., Media]) -> None:
    from transformers import ClapFeatureExtractor, ClapModel

    medium = noise(0, rate=48_000, seconds=0.4)
    encoder = load_encoder(f"clap:{clap}")
    row = encoder([medium])[0]
    model, extractor = ClapModel.from_pretrained(clap).eval(), ClapFeatureExtractor.from_pretrained(clap)
    heard = extractor(encoder.samples(medium).numpy(), sampling_rate=48_000, return_tensors="pt")
    with torch.no_grad():
        expected = model.get_audio_features(heard["input_features"].float()).pooler_output[0]
    assert torch.allclose(row, expected, atol=1e-6)
    assert row.norm().item() == pytest.approx(1.0, abs=1e-6)


def test_a_caption_is_what_transformers_says_it_is(clap: str) -> None:
    from transformers import AutoTokenizer, ClapModel

    texts = ["a dog barks", "rain, then a bell"]
    rows = load_text_encoder(f"clap:{clap}")(texts)
    model, tokenizer = ClapModel.from_pretrained(clap).eval(), AutoTokenizer.from_pretrained(clap)
    with torch.no_grad():
        expected = model.get_text_features(**tokenizer(texts, return_tensors="pt", padding=True)).pooler_output
    assert torch.allclose(rows, expected, atol=1e-6)
    assert torch.equal(rows[1], load_text_encoder(f"clap:{clap}")(texts[1:])[0])


@pytest.mark.parametrize("fusion", [False, True])
def test_long_clips_are_heard_whole_and_the_same_every_time(
    tmp_path: Path, noise: Callable[..., Media], fusion: bool
) -> None:
    """2.5 s in windows of 1 s: starts at 0, 1 and 1.5 s. Their mean has the direction of the row."""
    encoder = ClapSound(save_tiny_clap(tmp_path / "clap", fusion=fusion))
    long = noise(0, rate=48_000, seconds=2.5)
    state = np.random.get_state()[2], np.random.get_state()[1].copy()  # noqa: NPY002  # the extractor's own source
    row = encoder([long])[0]
    assert torch.equal(encoder([noise(1, rate=48_000), long])[1], row)
    assert np.random.get_state()[2] == state[0]  # noqa: NPY002
    assert (np.random.get_state()[1] == state[1]).all()  # noqa: NPY002
    samples = encoder.samples(long)
    with torch.no_grad():
        parts = torch.stack([encoder.embed(samples[start : start + 48_000]) for start in (0, 48_000, 72_000)])
    mean = parts.mean(0)
    assert torch.allclose(row, mean / mean.norm(), atol=1e-6)


def test_no_window_of_a_fusing_model_is_declared_long(tmp_path: Path, noise: Callable[..., Media]) -> None:
    """The extractor declares one clip of each batch long, drawn at random, which changes what is heard."""
    encoder = ClapSound(save_tiny_clap(tmp_path / "clap", fusion=True))
    medium = noise(0, rate=48_000)
    heard = encoder.extractor(encoder.samples(medium).numpy(), sampling_rate=48_000, return_tensors="pt")
    with torch.no_grad():
        short, long = (
            encoder.network.get_audio_features(
                heard["input_features"].float(), is_longer=torch.tensor([[longer]])
            ).pooler_output[0]
            for longer in (False, True)
        )
    assert torch.allclose(encoder([medium])[0], short, atol=1e-6)
    assert not torch.allclose(short, long, atol=1e-4)


def test_refuses_the_rate_that_batons_own_code_feeds_it(clap: str, noise: Callable[..., Media]) -> None:
    with pytest.raises(SoundError, match=r"expected a sample rate of 48000 Hz, got 16000 Hz; set resample: true"):
        ClapSound(clap)([noise(0, rate=16_000)])
    assert ClapSound(clap, resample=True)([noise(0, rate=16_000)]).shape == (1, 16)


def test_nothing_is_trained_or_dropped(clap: str) -> None:
    for encoder in (ClapSound(clap), ClapText(clap)):
        assert not encoder.training
        assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_fingerprints_follow_weights_and_extractor(clap: str, tmp_path: Path) -> None:
    assert ClapSound(clap).fingerprint() == ClapSound(clap).fingerprint()
    other = save_tiny_clap(tmp_path / "other", seed=1)
    assert ClapSound(other).fingerprint() != ClapSound(clap).fingerprint()
    assert ClapText(other).fingerprint() != ClapText(clap).fingerprint()
    moved = shutil.copytree(clap, tmp_path / "moved")
    assert ClapSound(str(moved)).fingerprint() == ClapSound(clap).fingerprint()
    settings = (moved / "preprocessor_config.json").read_text()
    assert '"frequency_max": 14000' in settings
    (moved / "preprocessor_config.json").write_text(
        settings.replace('"frequency_max": 14000', '"frequency_max": 12000')
    )
    assert ClapSound(str(moved)).fingerprint() != ClapSound(clap).fingerprint()


def test_refuses_captions_that_are_too_long_instead_of_cutting_them(clap: str) -> None:
    """Of the tiny model's 130 positions the padding id 0 takes one: 129 tokens, or 128 letters after the start."""
    encoder = ClapText(clap)
    assert encoder(["a" * 128]).shape == (1, 16)
    with pytest.raises(PrefalignError, match=r"the text has 130 tokens and the encoder reads 129"):
        encoder(["a" * 129])


def test_refuses_another_family_instead_of_filling_it_with_random_weights(tmp_path: Path) -> None:
    from transformers import BertConfig

    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(PrefalignError, match=r"is a 'bert' model, no CLAP; write transformers:"):
        ClapSound(str(tmp_path))
