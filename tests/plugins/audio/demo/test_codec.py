"""The codec, on clips of real recordings and on features with known directions."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from prefalign.interfaces.errors import PrefalignError
from prefalign_audio.demo.clips import CRAWLED, all_captions, draw_score, mix
from prefalign_audio.demo.codec import ClipCodec, playable, resynthesise
from prefalign_audio.demo.features import LogMel
from prefalign_audio.demo.sounds import render_sounds

ABSENT = [name for name in ("pretty_midi", "tinysoundfont") if importlib.util.find_spec(name) is None]


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    """(360, 32, 32), twelve clips of each caption of the small world."""
    if ABSENT:
        pytest.skip(f"{', '.join(ABSENT)} not installed")
    generator = torch.Generator().manual_seed(0)
    score = draw_score(all_captions(6).repeat(12, 1), CRAWLED, recordings=16, generator=generator)
    return LogMel()(mix(render_sounds(), score, generator))


@pytest.fixture(scope="module")
def codec(features: torch.Tensor) -> ClipCodec:
    return ClipCodec.fit(features)


def test_the_round_trip_loses_what_the_components_leave(features: torch.Tensor, codec: ClipCodec) -> None:
    """Twelve of 64 directions keep 95 % or more, and the error is exactly the variance that is left."""
    latents = codec.encode(features)
    assert latents.shape == (360, 12, 16)
    assert codec.kept > 0.95
    stacked = features.reshape(-1, 64)
    variance = (stacked - stacked.mean(0)).square().mean()
    error = (codec.decode(latents) - features).square().mean()
    torch.testing.assert_close(error / variance, torch.tensor(1 - codec.kept), rtol=1e-3, atol=1e-5)


def test_codes_have_unit_deviation_over_all_and_the_root_of_their_own_each(
    features: torch.Tensor, codec: ClipCodec
) -> None:
    """Half whitening turns deviations sd_i into values proportional to sd_i^0.5, so the variances go like sd_i."""
    latents = codec.encode(features)
    torch.testing.assert_close(latents.square().mean(), torch.tensor(1.0), rtol=1e-3, atol=0)
    components = (features.reshape(-1, 64) - codec.mean) @ codec.basis.T
    ratio = latents.var((0, 2), correction=0) / components.std(0, correction=0)
    torch.testing.assert_close(ratio / ratio[0], torch.ones(12), rtol=1e-3, atol=0)


def test_a_latent_frame_is_two_frames(codec: ClipCodec, features: torch.Tensor) -> None:
    changed = features[:1].clone()
    changed[0, 6:8] += 1.0
    moved = (codec.encode(changed) - codec.encode(features[:1])).abs().sum(1)[0] > 1e-6
    assert moved.nonzero().tolist() == [[3]]


def test_known_directions_are_found() -> None:
    """Deviations 3 and 1 along two axes of 4: kept with one component is 9 / 10, and its scale is 3^0.5 · 3^0.5 = 3."""
    features = torch.zeros(200, 2, 2)
    signs = torch.tensor([1.0, -1.0])
    features[:, 0, 0] = 3.0 * signs.repeat(100)
    features[:, 1, 1] = signs.repeat_interleave(2).repeat(50)
    codec = ClipCodec.fit(features, channels=1)
    torch.testing.assert_close(codec.basis, torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    torch.testing.assert_close(codec.scales, torch.tensor([3.0]))
    assert codec.kept == pytest.approx(0.9)
    torch.testing.assert_close(codec.encode(features).flatten(), signs.repeat(100))


def test_what_cannot_be_coded_is_refused(codec: ClipCodec) -> None:
    with pytest.raises(PrefalignError, match="cannot fit 12 components to 2 frames"):
        ClipCodec.fit(torch.randn(1, 4, 32))
    with pytest.raises(PrefalignError, match="fewer than 12 directions"):
        ClipCodec.fit(torch.zeros(50, 32, 32))
    with pytest.raises(PrefalignError, match="even frames"):
        codec.encode(torch.zeros(1, 31, 32))
    with pytest.raises(PrefalignError, match=r"latents \(clips, 12, frames\), got \(1, 16, 12\)"):
        codec.decode(torch.zeros(1, 16, 12))


def test_a_saved_codec_is_the_same(codec: ClipCodec, features: torch.Tensor, tmp_path: Path) -> None:
    codec.save(tmp_path / "codec.safetensors")
    loaded = ClipCodec.load(tmp_path / "codec.safetensors")
    assert torch.equal(loaded.encode(features), codec.encode(features))
    assert loaded.kept == pytest.approx(codec.kept)


@pytest.mark.parametrize("content", [None, b"", b"not a codec at all", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_file_that_is_no_codec_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "codec.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PrefalignError, match=rf"{path}: (not a codec|no such file)"):
        ClipCodec.load(path)


def test_resynthesised_sound_has_the_features_it_was_made_from(features: torch.Tensor) -> None:
    """Measured: an error of 2.5 % of the features' variance with 32 iterations; silence would have over 100 %."""
    sound = resynthesise(features[:8])
    assert sound.shape == (8, 16000)
    error = (LogMel()(sound) - features[:8]).square().mean() / features[:8].var()
    assert error < 0.05
    assert torch.equal(sound, resynthesise(features[:8]))


def test_resynthesis_leaves_the_global_generator_alone(features: torch.Tensor) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    resynthesise(features[:1], iterations=1)
    assert torch.equal(torch.rand(3), expected)


def test_sounds_for_people_do_not_clip() -> None:
    loud = playable(torch.tensor([0.0, -4.0, 2.0]))
    torch.testing.assert_close(loud.samples, torch.tensor([[0.0, -0.9, 0.45]]))
    assert loud.rate == 8000
    # Noise is left as quiet as it is.
    torch.testing.assert_close(playable(torch.tensor([0.02, -0.01])).samples, torch.tensor([[0.02, -0.01]]))
    with pytest.raises(PrefalignError, match="NaN or infinite"):
        playable(torch.tensor([0.0, float("nan")]))
