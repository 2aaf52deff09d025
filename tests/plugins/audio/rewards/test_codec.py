"""Records of sounds under captions."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefalign.interfaces import Media, Message, PreferenceRecord, Prompt, RecordError, Response, Unary
from prefalign_audio.rewards.codec import SoundTextCodec


def record(*responses: Response, prompt: Prompt | None = None) -> PreferenceRecord:
    labels = (True,) * len(responses)
    return PreferenceRecord(id="r1", prompt=prompt or Prompt(text="a bell"), responses=responses, verdict=Unary(labels))


def sounds(*media: Media) -> tuple[Response, ...]:
    return tuple(Response(media=(medium,)) for medium in media)


def test_a_row_for_each_response_with_the_caption_it_answers(tone: Callable[..., Media]) -> None:
    codec = SoundTextCodec(8_000)
    own = Response(media=(tone(2),), context=Prompt(messages=(Message("user", ("play a drum",)),)))
    batch = codec.collate(
        [codec.encode(record(*sounds(tone(0), tone(1)), own)), codec.encode(record(*sounds(tone(0))))]
    )
    rows: Any = batch.inputs["rows"]
    assert [row.text for row in rows] == ["a bell", "a bell", "play a drum", "a bell"]
    assert [row.medium for row in rows] == [tone(0), tone(1), tone(2), tone(0)]
    assert batch.relations.record.tolist() == [0, 0, 0, 1]
    assert batch.keys[0] == batch.keys[3]
    assert len(set(batch.keys)) == 3


def test_what_is_new_is_handed_out_once(tone: Callable[..., Media]) -> None:
    codec = SoundTextCodec(8_000)
    first = codec.encode(record(*sounds(tone(0), tone(1))))
    new_sounds, new_texts = codec.take_new()
    assert list(new_sounds) == [row.sound_key for row in first.rows]
    assert list(new_texts.values()) == ["a bell"]
    codec.encode(record(*sounds(tone(0), tone(1))))
    assert codec.take_new() == ({}, {})


def test_a_sound_is_checked_once(tone: Callable[..., Media], monkeypatch: pytest.MonkeyPatch) -> None:
    codec = SoundTextCodec(8_000)
    codec.encode(record(*sounds(tone(0))))
    monkeypatch.setattr("prefalign_audio.rewards.codec.checked_sound", lambda *_: pytest.fail("read again"))
    codec.encode(record(*sounds(tone(0))))


@pytest.mark.parametrize("rate", [8_000, None])
def test_unusable_sounds_are_refused_with_the_records_id(
    tmp_path: Path, tone: Callable[..., Media], rate: int | None
) -> None:
    codec = SoundTextCodec(rate)
    whole = Path(str(tone(0).path)).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    for medium, said in (
        (Media(kind="audio", path=str(tmp_path / "cut.wav")), "cut off"),
        (Media(kind="audio", path=str(tmp_path / "none.wav")), "cannot be read"),
        (Media(kind="audio", data=b"nothing"), "no readable sound"),
    ):
        with pytest.raises(RecordError, match=said) as found:
            codec.encode(record(*sounds(tone(0), medium)))
        assert found.value.record_id == "r1"
        assert found.value.field == "responses[1].media[0]"


def test_rates_and_channels_pass_only_when_told(tone: Callable[..., Media]) -> None:
    codec = SoundTextCodec(48_000)
    with pytest.raises(RecordError, match=r"expected a sample rate of 48000 Hz, got 16000 Hz; set resample: true"):
        codec.encode(record(*sounds(tone(0, rate=16_000))))
    with pytest.raises(RecordError, match="expected one channel, got 2"):
        codec.encode(record(*sounds(tone(0, rate=48_000, channels=2))))
    lenient = SoundTextCodec(48_000, resample=True, downmix=True)
    lenient.encode(record(*sounds(tone(0, rate=16_000, channels=2))))
    assert lenient.fingerprint() != codec.fingerprint()
    assert codec.fingerprint() == SoundTextCodec(48_000).fingerprint()


def test_what_is_no_sound_under_a_caption_is_refused(tone: Callable[..., Media]) -> None:
    codec = SoundTextCodec(8_000)
    bad = (
        (Response(text="a bell rings"), "responses[0]"),
        (Response(text="a bell rings", media=(tone(0),)), "responses[0]"),
        (Response(media=(tone(0), tone(1))), "responses[0]"),
        (Response(media=(Media(kind="image", data=b"x"),)), "responses[0]"),
    )
    for response, field in bad:
        with pytest.raises(RecordError, match="expected a medium of kind 'audio' and nothing else") as found:
            codec.encode(record(response))
        assert found.value.field == field
    with pytest.raises(RecordError, match="expected a caption"):
        codec.encode(record(*sounds(tone(0)), prompt=Prompt(text=" ")))
    with pytest.raises(RecordError, match="the prompt has media"):
        codec.encode(record(*sounds(tone(0)), prompt=Prompt(text="like this", media=(tone(1),))))


def test_travels_to_worker_processes(tone: Callable[..., Media]) -> None:
    codec = pickle.loads(pickle.dumps(SoundTextCodec(8_000)))
    example = pickle.loads(pickle.dumps(codec.encode(record(*sounds(tone(0))))))
    assert codec.collate([example]).inputs["rows"][0].medium == tone(0)
