"""What every sound encoder does with a clip before it hears it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from prefalign.interfaces import Media
from prefalign_audio.encoders.base import SoundEncoder, windows
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import write_sound
from prefalign_audio.sound.waveform import Waveform


class Loudness(SoundEncoder):
    """Mean square of the samples and their number."""

    rate, width = 16_000, 2

    def embed(self, samples: Tensor) -> Tensor:
        return torch.stack([samples.square().mean(), torch.tensor(float(len(samples)))])

    def settings(self) -> dict[str, Any]:
        return {"edition": 1}


def test_gives_a_row_for_each_clip_whatever_their_lengths(noise: Callable[..., Media]) -> None:
    rows = Loudness()([noise(0, seconds=0.5), noise(1, seconds=0.25)])
    assert rows.shape == (2, 2)
    assert rows.dtype == torch.float32
    assert rows[:, 1].tolist() == [8000, 4000]
    assert rows[0, 0].item() == pytest.approx(0.01, rel=0.05)  # noise of sd 0.1


def test_no_clips_give_no_rows() -> None:
    assert Loudness()([]).shape == (0, 2)


def test_refuses_another_rate_unless_told_to_resample(noise: Callable[..., Media]) -> None:
    """8,000 Hz for 0.5 s are 4,000 frames, 8,000 at 16,000 Hz."""
    slow = noise(0, rate=8_000)
    with pytest.raises(SoundError, match=r"noise-0.*expected a sample rate of 16000 Hz, got 8000 Hz.*resample: true"):
        Loudness()([slow])
    assert Loudness(resample=True)([slow])[0, 1] == 8_000


def test_refuses_several_channels_unless_told_to_mix_them(noise: Callable[..., Media]) -> None:
    stereo = noise(0, channels=2)
    with pytest.raises(SoundError, match=r"expected one channel, got 2; set downmix: true"):
        Loudness()([stereo])
    # The mean of two independent channels has half their power.
    assert Loudness(downmix=True)([stereo])[0, 0].item() == pytest.approx(0.005, rel=0.05)


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_refuses_silence_also_where_it_has_an_offset(tmp_path: Path, level: float) -> None:
    write_sound(tmp_path / "quiet.wav", Waveform(torch.full((1, 8000), level), 16_000))
    with pytest.raises(SoundError, match=r"quiet\.wav: the clip is silent"):
        Loudness()([Media(kind="audio", path=str(tmp_path / "quiet.wav"))])


def test_hears_the_softest_step_of_a_16_bit_file(tmp_path: Path) -> None:
    samples = torch.zeros(1, 8000)
    samples[0, 4000] = 1 / 32768
    write_sound(tmp_path / "soft.wav", Waveform(samples, 16_000))
    assert Loudness()([Media(kind="audio", path=str(tmp_path / "soft.wav"))])[0, 1] == 8000


def test_refuses_empty_short_absent_and_damaged_files(tmp_path: Path, noise: Callable[..., Media]) -> None:
    with pytest.raises(SoundError, match=r"expected at least 0\.025 s of sound, got 0\.0100 s"):
        Loudness()([noise(0, seconds=0.01)])
    with pytest.raises(SoundError, match="empty"):
        Loudness()([Media(kind="audio", data=b"")])
    with pytest.raises(SoundError, match="no such file"):
        Loudness()([Media(kind="audio", path=str(tmp_path / "none.wav"))])
    with pytest.raises(SoundError, match="no readable sound"):
        Loudness()([Media(kind="audio", data=b"not a sound at all")])
    with pytest.raises(SoundError, match="kind 'audio', got 'image'"):
        Loudness()([Media(kind="image", data=b"x")])


def test_fingerprint_tells_classes_and_weights_apart_but_not_conversions() -> None:
    first = Loudness()
    assert first.fingerprint() == Loudness(resample=True, downmix=True).fingerprint()

    class Other(Loudness):
        pass

    assert Other().fingerprint() != first.fingerprint()
    weighted = Loudness()
    weighted.register_buffer("weight", torch.ones(1))
    assert weighted.fingerprint() != first.fingerprint()


def test_windows_cover_everything_and_the_last_is_aligned_to_the_end() -> None:
    """10 values, windows of 4 every 3: 0, 3, 6 end at 10. Of 11 values one more window starts at 7."""
    assert windows(torch.arange(10), 4, 3)[:, 0].tolist() == [0, 3, 6]
    assert windows(torch.arange(11), 4, 3)[:, 0].tolist() == [0, 3, 6, 7]
    assert windows(torch.arange(4), 4, 3).tolist() == [[0, 1, 2, 3]]
