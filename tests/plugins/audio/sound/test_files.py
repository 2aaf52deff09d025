"""Sound files, whole and broken."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import read_sound, sound_files, wav_bytes, write_sound
from prefalign_audio.sound.waveform import Waveform


def noise(channels: int = 1, frames: int = 16000, rate: int = 16000) -> Waveform:
    return Waveform(0.1 * torch.randn(channels, frames, generator=torch.Generator().manual_seed(0)), rate)


def encoded(form: str, subtype: str | None = None, **options: int) -> bytes:
    sound, buffer = noise(**options), io.BytesIO()
    soundfile.write(buffer, sound.samples.T.numpy(), sound.rate, format=form, subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize("wrap", [lambda p: p, str, lambda p: Media(kind="audio", path=str(p))])
def test_round_trip_by_path(tmp_path: Path, wrap: Callable[[Path], Media | Path | str]) -> None:
    """FLAC of 16 bits: half a step, 2⁻¹⁶, of error; channels and rate as they were."""
    sound = noise(channels=2, frames=1000, rate=22050)
    write_sound(tmp_path / "a.flac", sound)
    again = read_sound(wrap(tmp_path / "a.flac"))
    assert (again.rate, tuple(again.samples.shape)) == (22050, (2, 1000))
    assert (again.samples - sound.samples).abs().max() <= 2**-16 + 1e-7


def test_round_trip_by_content() -> None:
    """The same for bytes; a sample beyond 1 clips at the largest of 16 bits."""
    sound = Waveform(torch.tensor([[0.5, -0.25, 1.5, -1.5]]), 8000)
    for source in (wav_bytes(sound), Media(kind="audio", data=wav_bytes(sound))):
        again = read_sound(source)
        assert again.rate == 8000
        assert again.samples[0].tolist() == [0.5, -0.25, 1 - 2**-15, -1.0]


def test_samples_beyond_one_survive_in_files_of_floats() -> None:
    """A WAV file of floats keeps 1.5, which is for the guard to count."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.array([1.5, 0.0], dtype=np.float32), 8000, format="WAV", subtype="FLOAT")
    assert read_sound(buffer.getvalue()).samples.tolist() == [[1.5, 0.0]]


@pytest.mark.parametrize("form", ["WAV", "AIFF", "FLAC", "OGG", "MP3", "RF64", "W64"])
@pytest.mark.parametrize("channels", [1, 2])
def test_formats(form: str, channels: int) -> None:
    """Whole files of all formats are read, with every frame."""
    assert tuple(read_sound(encoded(form, channels=channels)).samples.shape) == (channels, 16000)


@pytest.mark.parametrize("form", ["WAV", "AIFF", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_cut_off(form: str, share: float, capfd: pytest.CaptureFixture[str]) -> None:
    """No format is read as if it were shorter than it was."""
    data = encoded(form)
    with pytest.raises(SoundError, match=r"^sound of \d+ bytes: (the file is cut off|no readable sound)"):
        read_sound(data[: int(len(data) * share)])


def test_cut_off_between_two_pages() -> None:
    """An OGG file without its last page holds whole pages only, none of which ends the stream."""
    data = encoded("OGG")
    assert data.count(b"OggS") > 3
    with pytest.raises(SoundError, match="cut off: the page that ends the stream is not there"):
        read_sound(data[: data.rindex(b"OggS")])


def test_cut_off_says_how_much(tmp_path: Path) -> None:
    """1,000 frames of 2 bytes, of which the last 300 bytes are gone."""
    path = tmp_path / "half.wav"
    path.write_bytes(encoded("WAV", frames=1000)[:-300])
    with pytest.raises(SoundError) as caught:
        read_sound(path)
    assert str(caught.value) == (
        f"{path}: the file is cut off: 1700 of 2000 bytes of sound are there; was its download or writing interrupted?"
    )


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_streamed_file_is_whole(size: int) -> None:
    """Programs that write into a pipe leave the size open; such a file is not cut off."""
    data = bytearray(encoded("WAV", frames=100))
    data[40:44] = size.to_bytes(4, "little")
    if size == 0:  # then libsndfile finds no frames, and that is what the error says
        with pytest.raises(SoundError, match="the sound is empty"):
            read_sound(bytes(data))
    else:
        assert read_sound(bytes(data)).frames == 100


def test_chunks_of_odd_length_are_stepped_over() -> None:
    """A chunk of 3 bytes takes 4; after it the sound is still found, and missed where it is cut."""
    data = encoded("WAV", frames=100)
    padded = data[:12] + b"note" + (3).to_bytes(4, "little") + b"abc\0" + data[12:]
    assert read_sound(padded).frames == 100
    with pytest.raises(SoundError, match="190 of 200 bytes"):
        read_sound(padded[:-10])


def test_other_bad_files(tmp_path: Path) -> None:
    """Empty, absent, a folder, text, NaN, no frames, a picture's medium: each by name."""
    empty, text, nan, hollow = (tmp_path / name for name in ("empty.wav", "text.wav", "nan.wav", "hollow.wav"))
    empty.touch()
    text.write_text("not a sound")
    soundfile.write(nan, np.array([0.0, np.nan], dtype=np.float32), 8000, subtype="FLOAT")
    soundfile.write(hollow, np.zeros(0, dtype=np.float32), 8000)
    for path, message in {
        empty: "the file is empty",
        text: "no readable sound",
        nan: "1 of 2 samples are NaN",
        hollow: "the sound is empty",
        tmp_path / "none.wav": "no such file",
        tmp_path: "cannot be read",
    }.items():
        with pytest.raises(PrefalignError, match=f"^{path}: {message}"):
            read_sound(path)
    with pytest.raises(SoundError, match="expected a medium of kind 'audio', got 'image'"):
        read_sound(Media(kind="image", data=b"x"))


@pytest.mark.parametrize("name", ["a.xyz", "a", "nowhere/a.wav"])
def test_cannot_write(tmp_path: Path, name: str) -> None:
    """An unknown ending, none, and a folder that is not there."""
    with pytest.raises(SoundError, match=rf"^{tmp_path / name}: "):
        write_sound(tmp_path / name, noise(frames=10))


def test_sound_files(tmp_path: Path) -> None:
    """By ending, whatever its case, in sub-folders too, in order; folders with such a name are none."""
    for name in ("b.WAV", "a.flac", "sub/c.mp3", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "d.wav").mkdir()
    assert [str(path.relative_to(tmp_path)) for path in sound_files(tmp_path)] == ["a.flac", "b.WAV", "sub/c.mp3"]
    with pytest.raises(SoundError, match=r"d\.wav: no sounds in it"):
        sound_files(tmp_path / "d.wav")
    with pytest.raises(SoundError, match=r"a\.flac: is a file; expected a folder of sounds"):
        sound_files(tmp_path / "a.flac")
    with pytest.raises(SoundError, match="none: no such folder"):
        sound_files(tmp_path / "none")
