"""Sounds of all kinds become sounds of one kind."""

import math

import numpy as np
import pytest
import soundfile
import torch

from prefalign.interfaces import Media, Pair, PreferenceRecord, Prompt, RecordError, Response
from prefalign_audio.codec import AudioCodec


def tone(path, rate, seconds, channels=1, hertz=100.0, subtype="FLOAT"):
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)
    sides = [wave * (1 - side) for side in range(channels)]
    soundfile.write(path, np.stack(sides, 1), rate, subtype=subtype)
    return Media(kind="audio", path=str(path))


def pair(*media):
    responses = tuple(
        Response(text=str(index), media=tuple(m) if isinstance(m, list) else (m,)) for index, m in enumerate(media)
    )
    return PreferenceRecord(id="p7", prompt=Prompt(text="a tone"), responses=responses, verdict=Pair(0, 1))


def test_a_sound_is_resampled_and_filled_with_silence(tmp_path):
    row = AudioCodec(8000, 1, 6000).encode(
        pair(tone(tmp_path / "a.wav", 16_000, 0.5), tone(tmp_path / "b.wav", 8000, 1))
    )
    short, long = (row.data for row in row.rows)
    assert short.shape == long.shape == (1, 6000)
    expected = 0.5 * torch.sin(2 * math.pi * 100 * torch.arange(6000) / 8000)
    assert (short[0, 100:3900] - expected[100:3900]).abs().max() < 1e-3
    assert not short[0, 4000:].any()
    assert (long[0] - expected).abs().max() < 1e-4


def test_two_channels_are_averaged_where_one_is_due(tmp_path):
    # The second side is silent.
    data = AudioCodec(8000, 1, 800).encode(pair(*[tone(tmp_path / "s.wav", 8000, 0.1, 2)] * 2)).rows[0].data
    alone = AudioCodec(8000, 1, 800).encode(pair(*[tone(tmp_path / "m.wav", 8000, 0.1)] * 2)).rows[0].data
    assert torch.allclose(data, alone / 2)


def test_one_channel_is_heard_on_both_sides_where_two_are_due(tmp_path):
    data = AudioCodec(8000, 2, 800).encode(pair(*[tone(tmp_path / "m.wav", 8000, 0.1)] * 2)).rows[0].data
    assert data.shape == (2, 800)
    assert torch.equal(data[0], data[1])
    assert data.any()


@pytest.mark.parametrize(
    ("media", "complaint"),
    [
        (lambda path: [], "got media \\[\\]"),
        (lambda path: Media(kind="image", data=b"x"), "got media \\['image'\\]"),
        (lambda path: [tone(path / "x.wav", 8000, 0.1)] * 2, "got media \\['audio', 'audio'\\]"),
        (lambda path: Media(kind="audio", path=str(path / "none.wav")), "no such file"),
        (lambda path: Media(kind="audio", data=b""), "empty"),
        (lambda path: Media(kind="audio", data=b"no sound"), "no readable sound"),
        (lambda path: tone(path / "y.wav", 8000, 0.1, 3), "1 or 2 channels, got 3"),
    ],
)
def test_what_is_no_sound_is_named_with_record_and_place(tmp_path, media, complaint):
    good = tone(tmp_path / "good.wav", 8000, 0.1)
    with pytest.raises(RecordError, match=complaint) as caught:
        AudioCodec(8000, 2, 800).encode(pair(good, media(tmp_path)))
    assert "p7" in str(caught.value)
    assert "responses[1].media" in str(caught.value)


def test_the_fingerprint_tells_rate_channels_and_length():
    forms = [(8000, 1, 800), (16_000, 1, 800), (8000, 2, 800), (8000, 1, 900)]
    assert len({AudioCodec(*form).fingerprint() for form in forms}) == 4
