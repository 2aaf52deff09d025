"""Encoders whose weights ship in packages.

Expected numbers were given by the packages' own code for the same samples: aisfx with librosa 0.11 (its spectrogram
laid out as frames × bands, as its Essentia front end does), distillmos, speechmos in onnxruntime, and musicnn's network
in TensorFlow 2.15 on our spectrogram.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from prefalign.interfaces import Media
from prefalign_audio.encoders.dnsmos import speech_windows
from prefalign_audio.encoders.load import load_encoder
from prefalign_audio.sound.files import write_sound
from prefalign_audio.sound.waveform import Waveform

real = pytest.mark.real


def needs(*packages: str) -> pytest.MarkDecorator:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def sweep(rate: int, frames: int) -> Tensor:
    """A rising, pulsing tone with a hiss."""
    t, n = np.arange(frames) / rate, np.arange(frames)
    tone = 0.3 * np.sin(2 * np.pi * (200 * t + 150 * t**2)) * (1 + np.sin(2 * np.pi * 3 * t)) / 2
    return torch.from_numpy((tone + 0.02 * np.sin(12345.678 * n**2 % (2 * np.pi))).astype(np.float32))


@real
@needs("aisfx")
def test_aisfx_gives_what_its_own_code_gives() -> None:
    """203,776 samples are 200 frames: three windows of 100 that end with the clip."""
    row = load_encoder("aisfx").embed(sweep(44_100, 203_776))
    expected = torch.tensor([1.3382, 1.3253, 0.5693, 0.3650, 0.6104, 2.8198, 0.6464, 2.5465])
    assert torch.allclose(row[:8], expected, atol=2e-4)
    assert row.norm().item() == pytest.approx(35.07727, abs=1e-3)


@real
@needs("aisfx")
def test_aisfx_hears_short_clips_and_no_loudness(tmp_path: Path) -> None:
    encoder = load_encoder("aisfx")
    samples = sweep(44_100, 20_000)
    write_sound(tmp_path / "loud.wav", Waveform(samples[None], 44_100))
    rows = torch.stack([encoder([Media(kind="audio", path=str(tmp_path / "loud.wav"))])[0], encoder.embed(samples / 8)])
    assert rows.shape == (2, 512)
    assert torch.allclose(rows[0], rows[1], atol=0.05)  # the file has 16 bits
    assert (rows[0] - encoder.embed(sweep(44_100, 203_776))).norm() > 5


@real
@needs("distillmos")
@pytest.mark.parametrize(("frames", "score"), [(32_000, 1.585097), (160_000, 1.309242), (320_000, 1.444612)])
def test_distillmos_gives_what_its_own_code_gives(frames: int, score: float) -> None:
    assert load_encoder("distillmos").embed(sweep(16_000, frames)).item() == pytest.approx(score, abs=1e-5)


@real
@needs("speechmos", "onnxruntime")
@pytest.mark.parametrize(
    ("frames", "speech", "background", "overall"),
    [
        (32_000, 1.262814, 1.367576, 1.063961),
        (168_000, 1.180149, 1.083063, 1.078084),
        (200_000, 1.169651, 1.112865, 1.073954),
    ],
)
def test_dnsmos_gives_what_its_own_code_gives(frames: int, speech: float, background: float, overall: float) -> None:
    row = load_encoder("dnsmos").embed(sweep(16_000, frames))
    assert row.tolist() == pytest.approx([speech, background, overall], abs=1e-4)


@pytest.mark.parametrize(("frames", "starts"), [(144_160, [0]), (168_000, [0]), (184_000, [0, 16_000])])
def test_dnsmos_hears_nine_seconds_every_second(frames: int, starts: list[int]) -> None:
    """9.01 s are 144,160 samples. 10.5 s hold one window, 11.5 s two; the last part of a second is not heard."""
    found = speech_windows(torch.arange(float(frames)))
    assert [int(one[0]) for one in found] == starts
    assert {len(one) for one in found} == {144_160}


def test_dnsmos_doubles_short_clips() -> None:
    """5 s are doubled once: 80,000 and 160,000 samples."""
    (window,) = speech_windows(torch.arange(80_000.0))
    assert torch.equal(window[80_000:], torch.arange(64_160.0))


def play(tmp_path: Path, name: str, program: int, bank: int, keys: list[int]) -> Media:
    """Notes of a General MIDI instrument, one every half second, at 16 kHz."""
    import tinysoundfont

    spec = importlib.util.find_spec("pretty_midi")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    synth = tinysoundfont.Synth(samplerate=16_000)
    font = synth.sfload(str(Path(spec.submodule_search_locations[0]) / "TimGM6mb.sf2"))
    synth.program_select(0, font, bank, program, is_drums=bank == 128)
    parts = []
    for key in keys:
        synth.noteon(0, key, 100)
        parts.append(np.frombuffer(bytes(synth.generate(8_000)), np.float32).reshape(-1, 2).mean(1))
        synth.noteoff(0, key)
    samples = torch.from_numpy(np.concatenate(parts))[None]
    write_sound(tmp_path / f"{name}.wav", Waveform(samples / samples.abs().max(), 16_000))
    return Media(kind="audio", path=str(tmp_path / f"{name}.wav"))


@real
@needs("musicnn")
def test_musicnn_gives_what_its_own_network_gives() -> None:
    """47,616 samples are 187 frames: one window."""
    encoder = load_encoder("musicnn")
    row = encoder.embed(sweep(16_000, 47_616))
    expected = torch.tensor([1.0510, 0.0797, 0.7781, -0.1861, -0.0787, 0.9882, -0.0670, 0.4133])
    assert torch.allclose(row[:8], expected, atol=2e-4)
    assert row.norm().item() == pytest.approx(12.359461, abs=1e-3)
    tags = encoder.network.tags(row).sigmoid()[:4]
    assert tags.tolist() == pytest.approx([0.00101, 0.00111, 0.05344, 0.1998], abs=2e-5)


@real
@needs("musicnn", "tinysoundfont", "pretty_midi")
def test_musicnn_hears_which_instrument_plays(tmp_path: Path) -> None:
    from prefalign_audio.encoders.musicnn import TAGS, Musicnn

    melody = [60, 64, 67, 72, 67, 64, 60, 55, 60, 64, 67, 72]
    piano = play(tmp_path, "piano", 0, 0, melody)
    choir = play(tmp_path, "choir", 52, 0, melody)
    drums = play(tmp_path, "drums", 0, 128, [36, 42, 38, 42] * 3)
    encoder = Musicnn()
    rows, tags = encoder([piano, choir, drums]), encoder.tags([piano, choir, drums])
    assert rows.shape == (3, 200)
    assert tags.shape == (3, len(TAGS)) == (3, 50)
    assert bool(((tags >= 0) & (tags <= 1)).all())
    assert TAGS[int(tags[0].argmax())] == "piano"
    assert tags[:, TAGS.index("piano")].argmax() == 0
    assert tags[:, TAGS.index("choir")].argmax() == 1
    assert tags[:, TAGS.index("drums")].argmax() == 2
    assert tags[0, TAGS.index("piano")] > 0.5
    assert tags[2, TAGS.index("drums")] > 0.3
    assert torch.equal(encoder([choir])[0], rows[1])
    assert len(encoder.samples(choir)) == 96_000


@real
@needs("musicnn")
def test_musicnn_reads_loud_and_short_sounds() -> None:
    encoder = load_encoder("musicnn")
    loud = encoder.embed(100 * sweep(16_000, 100_000))  # overflows in half precision
    assert bool(loud.isfinite().all())
    assert encoder.embed(sweep(16_000, 4_000)).shape == (200,)


@real
@pytest.mark.parametrize(
    ("name", "package", "start"),
    [
        ("aisfx", "aisfx", "5713622782758b43"),
        ("musicnn", "musicnn", "5ff5850e984db17f"),
        ("distillmos", "distillmos", "60addb62ca4aacf6"),
        ("dnsmos", "speechmos", "d58ecde3e180a904"),
    ],
)
def test_fingerprints_are_the_same_on_every_machine(name: str, package: str, start: str) -> None:
    """Caches and score files are of no use elsewhere otherwise."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    if name == "dnsmos":
        pytest.importorskip("onnxruntime")
    assert load_encoder(name).fingerprint()[:16] == start
