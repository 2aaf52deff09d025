"""Embeddings are computed once, and kept by content and by encoder."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.encoders.base import TextEncoder
from prefalign_audio.encoders.cache import EmbeddingCache, sound_key, text_key
from prefalign_audio.encoders.mel_statistics import MelStatistics
from prefalign_audio.sound.errors import SoundError


class Counting(MelStatistics):
    """Counts the clips it is asked for."""

    def __init__(self, bands: int = 8) -> None:
        super().__init__(bands=bands)
        self.heard = 0

    def forward(self, media: Sequence[Media]) -> Tensor:
        self.heard += len(media)
        return super().forward(media)


class Lengths(TextEncoder):
    """The length of a text."""

    width = 1

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def forward(self, texts: Sequence[str]) -> Tensor:
        self.read += len(texts)
        return torch.tensor([[float(len(text))] for text in texts])

    def fingerprint(self) -> str:
        return "0" * 64


def test_the_second_call_computes_nothing(tmp_path: Path, noise: Callable[..., Media]) -> None:
    media = [noise(seed) for seed in range(3)]
    encoder = Counting()
    cache = EmbeddingCache(encoder, tmp_path / "cache")
    rows = cache.sounds(media)
    assert encoder.heard == 3
    assert torch.equal(rows, Counting()(media))
    assert torch.equal(cache.sounds(media[::-1]), rows.flip(0))
    assert encoder.heard == 3


def test_another_process_finds_them_on_disk(tmp_path: Path, noise: Callable[..., Media]) -> None:
    media = [noise(seed) for seed in range(3)]
    rows = EmbeddingCache(Counting(), tmp_path / "cache").sounds(media)
    later = Counting()
    assert torch.equal(EmbeddingCache(later, tmp_path / "cache").sounds([*media, noise(3)])[:3], rows)
    assert later.heard == 1


def test_equal_content_is_computed_once_whatever_its_name(tmp_path: Path, noise: Callable[..., Media]) -> None:
    medium = noise(0)
    data = Path(str(medium.path)).read_bytes()
    (tmp_path / "copy.flac").write_bytes(data)
    encoder = Counting()
    same = [medium, Media(kind="audio", path=str(tmp_path / "copy.flac")), Media(kind="audio", data=data)]
    rows = EmbeddingCache(encoder, tmp_path / "cache").sounds(same)
    assert encoder.heard == 1
    assert torch.equal(rows[0], rows[1])
    assert torch.equal(rows[0], rows[2])
    assert len({sound_key(one) for one in same}) == 1


def test_a_changed_file_is_computed_anew(tmp_path: Path, noise: Callable[..., Media]) -> None:
    medium = noise(0)
    encoder = Counting()
    cache = EmbeddingCache(encoder, tmp_path / "cache")
    before = cache.sounds([medium])
    Path(str(medium.path)).write_bytes(Path(str(noise(9).path)).read_bytes())
    after = cache.sounds([medium])
    assert encoder.heard == 2
    assert not torch.equal(before, after)


def test_encoders_do_not_share_rows(tmp_path: Path, noise: Callable[..., Media]) -> None:
    media = [noise(0)]
    EmbeddingCache(Counting(8), tmp_path / "cache").sounds(media)
    other = Counting(16)
    assert EmbeddingCache(other, tmp_path / "cache").sounds(media).shape == (1, 32)
    assert other.heard == 1


def test_what_was_converted_is_still_refused_where_conversion_is_not_wanted(
    tmp_path: Path, noise: Callable[..., Media]
) -> None:
    slow = noise(0, rate=8_000)
    assert EmbeddingCache(MelStatistics(resample=True), tmp_path / "cache").sounds([slow]).shape == (1, 128)
    with pytest.raises(SoundError, match="set resample: true"):
        EmbeddingCache(MelStatistics(), tmp_path / "cache").sounds([slow])


def test_texts_are_cached_alike(tmp_path: Path) -> None:
    encoder = Lengths()
    cache = EmbeddingCache(encoder, tmp_path)
    assert cache.texts(["ab", "c", "ab"]).tolist() == [[2], [1], [2]]
    assert encoder.read == 2
    assert cache.texts(["c"]).tolist() == [[1]]
    assert encoder.read == 2
    assert text_key("é") != text_key("e")
    assert cache.texts([]).shape == (0, 1)


def test_what_came_before_a_bad_file_is_kept(tmp_path: Path, noise: Callable[..., Media]) -> None:
    """Batches of 16: the bad file is in the second batch, so that the first is on disk."""
    media = [noise(seed, seconds=0.1) for seed in range(20)]
    bad = [*media, Media(kind="audio", path=str(tmp_path / "gone.wav"))]
    with pytest.raises(SoundError, match=r"gone\.wav"):
        EmbeddingCache(Counting(), tmp_path / "cache").sounds(bad)
    bad[-1] = Media(kind="audio", data=b"broken")
    with pytest.raises(SoundError, match="no readable sound"):
        EmbeddingCache(Counting(), tmp_path / "cache").sounds(bad)
    later = Counting()
    EmbeddingCache(later, tmp_path / "cache").sounds(media)
    assert later.heard == 4


def test_unfinished_files_are_passed_over_and_damaged_ones_named(tmp_path: Path) -> None:
    EmbeddingCache(Lengths(), tmp_path).texts(["ab"])
    (file,) = tmp_path.glob("*/*.safetensors")
    (file.parent / ".new.safetensors.1.partial").write_bytes(b"half")
    assert EmbeddingCache(Lengths(), tmp_path).texts(["ab"]).tolist() == [[2]]
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(PrefalignError, match=rf"{file.name}: damaged cache file .*delete it"):
        EmbeddingCache(Lengths(), tmp_path).texts(["ab"])


def test_without_a_folder_they_are_kept_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFALIGN_CACHE", str(tmp_path))
    EmbeddingCache(Lengths()).texts(["ab"])
    assert list(tmp_path.glob("embeddings/*/*.safetensors"))
