"""The guard in a builder."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from prefalign.data.build import run_stages
from prefalign.interfaces import (
    Media,
    Pair,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    RecordError,
    Response,
    StageReport,
)
from prefalign_audio.sound.files import wav_bytes
from prefalign_audio.sound.filtering import SoundFilter
from prefalign_audio.sound.waveform import Waveform


@pytest.fixture
def records(tone: Callable[..., Waveform]) -> list[PreferenceRecord]:
    """Pairs whose second response is good, silent, clipped, cut off, both silent and cut off; in this order."""
    good = wav_bytes(tone(0.5))
    silent = wav_bytes(Waveform(torch.zeros(1, 16000), 16000))
    clipped = wav_bytes(tone(2.0))
    others = {
        "good": (wav_bytes(tone(0.4)),),
        "silent": (silent,),
        "clipped": (clipped,),
        "cut": (good[:-1000],),
        "two": (silent, good[:-10]),
    }

    def response(*sounds: bytes) -> Response:
        return Response(media=tuple(Media(kind="audio", data=sound) for sound in sounds))

    prompt = Prompt(text="a tone")
    return [
        PreferenceRecord(id=name, prompt=prompt, responses=(response(good), response(*sounds)), verdict=Pair())
        for name, sounds in others.items()
    ]


def run(stage: SoundFilter, records: list[PreferenceRecord]) -> tuple[list[PreferenceRecord], StageReport]:
    report = StageReport()
    return list(run_stages(records, [stage], 0, [report])), report


def test_bad_ones_are_dropped_and_counted(records: list[PreferenceRecord]) -> None:
    """The record with two bad sounds counts once, under what comes first: unreadable."""
    kept, report = run(SoundFilter(), records)
    assert [record.id for record in kept] == ["good"]
    assert kept[0] is records[0]
    assert report == StageReport(seen=5, made=1, dropped={"silent": 1, "clipped": 1, "unreadable": 2})


def test_bad_ones_are_marked(records: list[PreferenceRecord]) -> None:
    """What is not dropped for is noted by response; a record that has a reason to go goes."""
    kept, report = run(SoundFilter(drop=["silent"]), records)
    noted: dict[str, Any] = {record.id: record.provenance.get("sound_guard") for record in kept}
    assert noted == {
        "good": None,
        "clipped": {"responses[1].media": ["clipped"]},
        "cut": {"responses[1].media": ["unreadable"]},
    }
    assert report.dropped == {"silent": 2}


def test_a_record_without_sound_is_an_error() -> None:
    """It would pass the guard unheard."""
    record = PreferenceRecord(
        id="r7", prompt=Prompt(text="?"), responses=(Response(text="a"), Response(text="b")), verdict=Pair()
    )
    with pytest.raises(RecordError, match=r"record 'r7', field 'responses\[0\].media': expected a medium"):
        run(SoundFilter(), [record])


def test_settings_and_unknown_problems() -> None:
    """The manifest holds the limits; a misspelt problem is refused with the right one."""
    assert SoundFilter(["clipped", "silent"]).settings() == {
        "drop": ["silent", "clipped"], "silent_dbfs": -60.0, "full_scale": 0.9999, "clipped_share": 0.001
    }  # fmt: skip
    with pytest.raises(PrefalignError, match="unknown problem of a sound 'cliped'; did you mean 'clipped'"):
        SoundFilter(["cliped"])
