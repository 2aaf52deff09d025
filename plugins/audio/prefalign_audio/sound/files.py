"""Sound files: read and written by soundfile, whose wheel carries libsndfile (WAV, FLAC, OGG, MP3)."""

from __future__ import annotations

import io
from pathlib import Path

import soundfile
import torch

from prefalign.interfaces.record import Media
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.truncation import missing
from prefalign_audio.sound.waveform import Waveform

ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")


def read_sound(source: Media | Path | str | bytes) -> Waveform:
    """Read a sound at its own rate, with its own channels.

    Args:
        source: a medium of kind `audio`, a path, or a file's bytes.

    Raises:
        SoundError: the file is absent, unreadable, empty or cut off, or holds samples that are not finite.
    """
    where, data = _content(source)
    if not data:
        raise SoundError(f"{where}: the file is empty; expected a sound file")
    if loss := missing(data):
        raise SoundError(f"{where}: the file is cut off: {loss}; was its download or writing interrupted?")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            announced, rate = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise SoundError(
            f"{where}: no readable sound ({error.error_string.strip()}); expected WAV, FLAC, OGG or MP3, whole"
        ) from None
    if len(samples) < announced:  # MP3 announces its length, and libsndfile returns what there is
        raise SoundError(f"{where}: the file is cut off: {len(samples)} of {announced} frames are there")
    try:
        return Waveform(torch.from_numpy(samples.T.copy()), rate)
    except SoundError as error:
        raise SoundError(f"{where}: {error}") from None


def sound_files(folder: Path | str) -> list[Path]:
    """The sound files in a folder and its sub-folders, by their endings, in the order of their names.

    Raises:
        SoundError: there is no such folder, or no sound in it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise SoundError(f"{folder}: {'is a file' if root.exists() else 'no such folder'}; expected a folder of sounds")
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not found:
        raise SoundError(f"{folder}: no sounds in it; expected files that end in {', '.join(ENDINGS)}")
    return found


def write_sound(path: Path | str, waveform: Waveform) -> None:
    """Write a sound in the format that the path's ending names; integer formats clip at ±1.

    Raises:
        SoundError: for an ending that names no format, one that cannot hold this rate or these channels, or a folder
            that cannot be written to.
    """
    try:
        soundfile.write(path, waveform.samples.T.cpu().numpy(), waveform.rate)
    except soundfile.LibsndfileError as error:
        raise SoundError(f"{path}: cannot be written ({error.error_string.strip()})") from None
    except (TypeError, ValueError) as error:
        raise SoundError(f"{path}: {error}; expected an ending such as .wav, .flac, .ogg or .mp3") from None


def wav_bytes(waveform: Waveform) -> bytes:
    """The sound as a WAV file of 16 bits a sample, which every player knows; clips at ±1."""
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform.samples.T.cpu().numpy(), waveform.rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _content(source: Media | Path | str | bytes) -> tuple[str, bytes]:
    if isinstance(source, Media):
        if source.kind != "audio":
            raise SoundError(f"expected a medium of kind 'audio', got {source.kind!r}")
        if source.data is not None:
            return "sound in the record", source.data
        source = str(source.path)
    if isinstance(source, bytes):
        return f"sound of {len(source)} bytes", source
    try:
        return str(source), Path(source).read_bytes()
    except FileNotFoundError:
        raise SoundError(f"{source}: no such file") from None
    except OSError as error:
        raise SoundError(f"{source}: cannot be read ({error.strerror or error})") from None
