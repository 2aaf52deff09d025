"""`prefalign audio frechet` from folders to what it prints."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from prefalign.interfaces import Media
from prefalign_audio.commands.frechet import main
from prefalign_audio.encoders.load import load_encoder
from prefalign_audio.metrics.functional.extrapolation import extrapolate
from prefalign_audio.metrics.functional.frechet import Moments, frechet_distance
from prefalign_audio.sound.files import sound_files, write_sound
from prefalign_audio.sound.waveform import Waveform

Run = Callable[..., tuple[int, str, str]]


def fill(folder: Path, count: int, scale: float, rate: int = 16_000, frames: int = 1600) -> Path:
    """Noise of different loudness, in a sub-folder each second time."""
    generator = torch.Generator().manual_seed(int(1000 * scale))
    for number in range(count):
        place = folder / ("more" if number % 2 else ".") / f"{number}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        samples = scale * (1 + number / count) * torch.randn(1, frames, generator=generator)
        write_sound(place, Waveform(samples.clamp(-1, 1), rate))
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        return (code, *capsys.readouterr())

    return call


def features(folder: Path) -> torch.Tensor:
    return load_encoder("mel_statistics")([Media(kind="audio", path=str(path)) for path in sound_files(folder)])


def test_json(run: Run, tmp_path: Path) -> None:
    """The distance of the features, and everything that it depends on."""
    loud, soft = fill(tmp_path / "loud", 6, 0.1), fill(tmp_path / "soft", 4, 0.01)
    code, out, err = run(loud, soft, "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    expected = frechet_distance(Moments.of(features(loud)), Moments.of(features(soft)))
    assert report.pop("frechet") == pytest.approx(expected.item())
    assert expected > 100
    assert report == {
        "embedding": "mel_statistics",
        "fingerprint": load_encoder("mel_statistics").fingerprint(),
        "width": 128,
        "singular_covariance": True,
        "generated": {"folder": str(loud), "clips": 6, "seconds": pytest.approx(0.6), "clipped": 0, "left_out": {}},
        "reference": {"folder": str(soft), "clips": 4, "seconds": pytest.approx(0.4), "clipped": 0, "left_out": {}},
    }


def test_text(run: Run, tmp_path: Path) -> None:
    """A set against itself: 0; the note says what the number of clips does to the value."""
    folder = fill(tmp_path / "a", 3, 0.1)
    code, out, _ = run(folder, folder)
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "Fréchet distance 0.0000"
    assert lines[1].startswith("embedding  mel_statistics, width 128, fingerprint ")
    assert lines[2] == f"generated  {folder}: 3 clips of 0.10 s on average"
    assert lines[3] == f"reference  {folder}: 3 clips of 0.10 s on average"
    assert lines[4].startswith("note: a set of 128 clips or fewer has a singular covariance")


def test_infinity(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAD∞ is the extrapolation of FOLDER_A's features; 512 clips would be slow, so a narrow encoder stands in."""

    class Levels(torch.nn.Module):
        width = 2

        def forward(self, media: list[Media]) -> torch.Tensor:
            sizes = torch.tensor([[float(Path(str(medium.path)).stem), 1.0] for medium in media])
            return sizes + torch.randn(len(media), 2, generator=torch.Generator().manual_seed(0))

        def fingerprint(self) -> str:
            return "f" * 64

    monkeypatch.setattr("prefalign_audio.commands.frechet.load_encoder", lambda name, resample, downmix: Levels())
    many, few = fill(tmp_path / "a", 32, 0.1, frames=100), fill(tmp_path / "b", 5, 0.1, frames=100)
    code, out, _ = run(many, few, "--infinity", "--seed", "4", "--json")
    report = json.loads(out)
    media = [[Media(kind="audio", path=str(path)) for path in sound_files(folder)] for folder in (many, few)]
    line = extrapolate(Levels()(media[0]), Moments.of(Levels()(media[1])), seed=4)
    assert code == 0
    assert report["infinity"]["distance"] == pytest.approx(line.distance)
    assert report["infinity"]["sizes"] == list(line.sizes)
    assert report["singular_covariance"] is False
    code, out, _ = run(many, few, "--infinity")
    assert "extrapolated to endless samples " in out


def test_too_few_to_extrapolate(run: Run, tmp_path: Path) -> None:
    """Rather no number than a wrong one."""
    folder = fill(tmp_path / "a", 3, 0.1)
    code, out, err = run(folder, folder, "--infinity")
    assert (code, out) == (2, "")
    assert "expected at least 512 embeddings to extrapolate from" in err


def test_bad_sounds_stop_or_are_counted(run: Run, tmp_path: Path) -> None:
    """Silent and damaged sounds are listed; with --leave-out-bad they are counted, clipped ones always."""
    folder, other = fill(tmp_path / "a", 3, 0.1), fill(tmp_path / "b", 3, 0.2)
    write_sound(folder / "s.wav", Waveform(torch.zeros(1, 1600), 16_000))
    write_sound(folder / "t.wav", Waveform(torch.tensor([[1.0, -1.0] * 800]), 16_000))
    (folder / "u.wav").write_bytes((folder / "0.wav").read_bytes()[:-9])
    code, out, err = run(folder, other, "--json")
    assert (code, out) == (2, "")
    loss = "the file is cut off: 3191 of 3200 bytes of sound are there"
    assert err.splitlines() == [
        f"error: {folder}: 2 sounds cannot take part; --leave-out-bad counts them and goes on",
        f"  {folder / 's.wav'}: silent (-200.0 dBFS)",
        f"  {folder / 'u.wav'}: {loss}; was its download or writing interrupted?",
    ]
    code, out, _ = run(folder, other, "--json", "--leave-out-bad")
    report = json.loads(out)["generated"]
    assert code == 0
    assert (report["clips"], report["clipped"]) == (4, 1)
    assert report["left_out"] == {"silent": 1, "unreadable": 1}
    _, out, _ = run(folder, other, "--leave-out-bad")
    assert "4 clips of 0.10 s on average, 1 of them clipped, 1 silent left out, 1 unreadable left out" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{a}", "{a}/none"], "{a}/none: no such folder; expected a folder of sounds"),
        (["{a}/0.wav", "{a}"], "{a}/0.wav: is a file; expected a folder of sounds"),
        (["{a}", "{one}"], "{one}: expected at least 2 sounds to fit a Gaussian to, got 1"),
        (["{a}", "{other}"], "expected a sample rate of 16000 Hz, got 8000 Hz"),
        (["{a}", "{a}", "--embedding", "musicn"], "unknown encoder 'musicn'; did you mean 'musicnn'"),
    ],
)
def test_called_wrongly(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    """Exit code 2, one clean line, nothing on the output."""
    places = {
        "a": fill(tmp_path / "a", 3, 0.1),
        "one": fill(tmp_path / "one", 1, 0.1),
        "other": fill(tmp_path / "other", 3, 0.1, rate=8000),
    }
    code, out, err = run(*[argument.format(**places) for argument in arguments])
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message.format(**places) in err


def test_resampled_when_told(run: Run, tmp_path: Path) -> None:
    """Files of 8,000 Hz beside those of 16,000."""
    code, _, err = run(fill(tmp_path / "a", 3, 0.1), fill(tmp_path / "b", 3, 0.1, rate=8000), "--resample")
    assert (code, err) == (0, "")
