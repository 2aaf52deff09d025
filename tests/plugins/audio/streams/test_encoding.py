"""Sounds become codes once: what the model's codec makes of them, and what cannot be read is counted."""

import numpy as np
import pytest
import torch

from prefalign.data.build import build
from prefalign.data.sources import open_records
from prefalign.data.store import write_parquet
from prefalign.interfaces import CapabilityError, Media, Pair, PreferenceRecord, Prompt, Response, StageReport
from prefalign_audio.sound.files import wav_bytes
from prefalign_audio.sound.waveform import Waveform
from prefalign_audio.streams.encoding import EncodeStreams
from prefalign_audio.streams.model import StreamModel
from prefalign_audio.streams.models.musicgen import MusicGen
from prefalign_audio.streams.policy import StreamPolicy


def sound(seed, rate=3200, channels=1):
    samples = 0.3 * torch.randn(channels, rate // 5, generator=torch.Generator().manual_seed(seed))
    return Media(kind="audio", data=wav_bytes(Waveform(samples, rate)))


def pair(name, good, bad):
    responses = tuple(Response(media=(one,)) if isinstance(one, Media) else one for one in (good, bad))
    return PreferenceRecord(id=name, prompt=Prompt(text="rain"), responses=responses, verdict=Pair(0, 1))


def run(stage, records):
    report = StageReport()
    return list(stage(iter(records), 0, report)), report


@pytest.fixture(scope="module")
def model():
    model = MusicGen({})
    model.configure_model()
    return model


def test_codes_are_the_codecs_and_the_policy_reads_them(model, tmp_path):
    write_parquet([pair("a", sound(0), sound(1)), pair("b", sound(2), sound(3))], tmp_path / "sounds.parquet")
    manifest = build(open_records(str(tmp_path / "sounds.parquet")), [EncodeStreams(model)], tmp_path / "out", seed=0)
    assert [shard["records"] for shard in manifest["outputs"]] == [2]
    encoded = list(open_records(str(tmp_path / "out")))
    for number, response in enumerate(response for record in encoded for response in record.responses):
        assert response.media == ()
        codes = response.arrays["codes"]
        assert codes.shape == (4, 10)
        assert np.array_equal(codes, model.encode(sound(number)))
    policy = StreamPolicy(model)
    batch = policy.collate([policy.encode(record) for record in encoded])
    assert batch.inputs["ids"].shape == (4, 4, 14)


def test_what_cannot_be_encoded_is_left_out_and_counted(model):
    records = [
        pair("good", sound(0), sound(1)),
        pair("rate", sound(0), sound(1, rate=4000)),
        pair("stereo", sound(0, channels=2), sound(1)),
        pair("absent", sound(0), Media(kind="audio", path="one.wav")),
        pair("gone", Media(kind="audio", path="other.wav"), sound(0)),
        pair("torn", sound(0), Media(kind="audio", data=sound(1).data[:100])),
        pair("words", sound(0), Response(text="la la la")),
    ]
    found, report = run(EncodeStreams(model), records)
    assert [record.id for record in found] == ["good"]
    assert (report.seen, report.made) == (7, 1)
    assert sum(report.dropped.values()) == 6
    assert report.dropped["no such file"] == 2
    assert report.dropped["a response without codes has media []: expected one sound"] == 1
    assert any(reason.startswith("expected a sample rate of 3200 Hz, got 4000 Hz") for reason in report.dropped)
    assert any(reason.startswith("expected one channel, got 2") for reason in report.dropped)
    assert any(reason.startswith("the file is cut off") for reason in report.dropped)


def test_other_rates_and_channels_are_brought_to_the_codecs_when_asked_for(model):
    willing = MusicGen({}, resample=True, downmix=True)
    records = [pair("rate", sound(0), sound(1, rate=6400)), pair("stereo", sound(0, channels=2), sound(1))]
    found, report = run(EncodeStreams(willing), records)
    assert len(found) == 2
    assert report.dropped == {}
    assert found[0].responses[1].arrays["codes"].shape == (4, 10), "a fifth of a second at 50 frames a second"
    stages = [EncodeStreams(one).settings() for one in (model, willing, MusicGen({}, init_seed=1))]
    assert len({stage["codec"] for stage in stages}) == 3
    assert EncodeStreams(MusicGen({})).settings() == stages[0]


def test_sounds_of_the_same_codes_are_no_pair(model):
    louder = model.decode(torch.from_numpy(model.encode(sound(0))))[0]
    quiet = Media(kind="audio", data=sound(0).data[:-2] + b"\x00\x00")
    assert np.array_equal(model.encode(quiet), model.encode(sound(0)))
    found, report = run(EncodeStreams(model), [pair("same", sound(0), quiet), pair("other", sound(0), louder)])
    assert [record.id for record in found] == ["other"]
    assert report.dropped == {"responses that are compared have the same codes": 1}
    kept, _ = run(EncodeStreams(model, keep_media=True), [pair("same", sound(0), quiet)])
    assert [response.media for response in kept[0].responses] == [(sound(0),), (quiet,)]


def test_codes_that_are_there_stay(model):
    codes = np.zeros((4, 3), dtype=np.int64)
    (record,), _ = run(EncodeStreams(model), [pair("a", Response(arrays={"codes": codes}), sound(1))])
    assert np.array_equal(record.responses[0].arrays["codes"], codes)


def test_a_family_without_codec_is_refused():
    class Mute(MusicGen):
        encode = StreamModel.encode
        codec_fingerprint = StreamModel.codec_fingerprint

    with pytest.raises(CapabilityError, match="Mute has no audio codec"):
        run(EncodeStreams(Mute({})), [pair("a", sound(0), sound(1))])
    with pytest.raises(CapabilityError, match="Mute has no audio codec"):
        EncodeStreams(Mute({})).settings()
