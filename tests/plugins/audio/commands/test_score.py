"""`prefalign audio score` from files to what it prints."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from prefalign_audio.commands.score import main
from prefalign_audio.encoders import load
from prefalign_audio.encoders.clap import ClapSound, ClapText
from prefalign_audio.encoders.tiny import save_tiny_clap
from prefalign_audio.sound.files import write_sound
from prefalign_audio.sound.waveform import Waveform

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A good file, and one of each kind that is not."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    square = torch.tensor([[0.1, -0.1] * 4000])
    write_sound(folder / "good.wav", Waveform(square, 16_000))
    write_sound(folder / "silent.wav", Waveform(torch.zeros(1, 8000), 16_000))
    write_sound(folder / "stereo.wav", Waveform(square.repeat(2, 1), 16_000))
    write_sound(folder / "wide.flac", Waveform(square, 48_000))
    write_sound(folder / "clipped.wav", Waveform(10 * square, 16_000))
    (folder / "cut.wav").write_bytes((folder / "good.wav").read_bytes()[:-100])
    (folder / "empty.wav").touch()
    (folder / "notes.txt").write_text("not a sound")
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        return (code, *capsys.readouterr())

    return call


def test_json_without_a_model(run: Run, sounds: Path) -> None:
    """A folder's sounds in the order of their names; unreadable ones are rows too, and make the exit code 2."""
    code, out, err = run(sounds, "--json")
    assert code == 2
    assert err == "error: 2 of 7 files could not be read or rated\n"
    report = json.loads(out)
    assert report["summary"] == {"files": 7, "unreadable": 2, "silent": 1, "clipped": 1, "not_rated": 0}
    rows = {Path(row["file"]).name: row for row in report["files"]}
    assert list(rows) == ["clipped.wav", "cut.wav", "empty.wav", "good.wav", "silent.wav", "stereo.wav", "wide.flac"]
    good = rows["good.wav"]
    assert good.pop("file") == str(sounds / "good.wav")
    assert good.pop("error") is None
    assert good.pop("scores") == {}
    assert good == pytest.approx(
        {"seconds": 0.5, "rate": 16_000, "channels": 1, "peak": 0.1, "rms_dbfs": -20, "clipped_share": 0}
        | {"silent": False, "clipped": False},
        abs=0.01,
    )
    assert rows["cut.wav"]["error"].startswith("the file is cut off: 15900 of 16000 bytes of sound are there")
    assert rows["empty.wav"] == {
        "file": str(sounds / "empty.wav"), "scores": {}, "error": "the file is empty; expected a sound file"
    }  # fmt: skip
    assert rows["silent.wav"]["silent"]
    assert rows["clipped.wav"]["clipped_share"] == 1
    assert (rows["stereo.wav"]["channels"], rows["wide.flac"]["rate"]) == (2, 48_000)


def test_text(run: Run, sounds: Path) -> None:
    """The same for people."""
    code, out, err = run(sounds / "good.wav", sounds / "clipped.wav")
    lines = [line.split() for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert lines[0] == ["file", "s", "Hz", "ch", "peak", "dBFS", "clipped", "remarks"]
    assert lines[1] == [str(sounds / "good.wav"), "0.50", "16000", "1", "0.100", "-20.0", "0.00", "%"]
    assert lines[2] == [str(sounds / "clipped.wav"), "0.50", "16000", "1", "1.000", "0.0", "100.00", "%", "clipped"]
    assert out.splitlines()[-1] == "2 files, 0 unreadable, 0 silent, 1 clipped, 0 not rated"


def test_no_model_no_libraries(sounds: Path) -> None:
    """Examining sounds waits for neither transformers nor torchmetrics nor torchaudio."""
    code = (
        "import sys; from prefalign_audio.commands.score import main; main(sys.argv[1:]);"
        "print({'transformers', 'torchmetrics', 'torchaudio', 'diffusers'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(sounds / "good.wav")], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_clap(run: Run, tmp_path: Path) -> None:
    """The cosine by a checkpoint, for captions by file name; a file at another rate is not rated, unless told to."""
    clap = save_tiny_clap(tmp_path / "tiny")
    noise = 0.1 * torch.randn(1, 24_000, generator=torch.Generator().manual_seed(0))
    right, wrong = tmp_path / "right.wav", tmp_path / "wrong.wav"
    write_sound(right, Waveform(noise, 48_000))
    write_sound(wrong, Waveform(noise, 16_000))
    table = tmp_path / "captions.json"
    table.write_text(json.dumps({"right.wav": "rain", str(wrong): "a dog"}))
    code, out, err = run(right, wrong, "--clap", clap, "--captions", table, "--json")
    assert code == 2
    assert "1 of 2 files could not be read or rated" in err
    report = json.loads(out)
    from prefalign.interfaces import Media

    expected = (ClapSound(clap)([Media(kind="audio", path=str(right))]) * ClapText(clap)(["rain"])).sum().item()
    assert report["files"][0]["scores"] == pytest.approx({f"clap_score[{clap}]": expected}, abs=1e-6)
    assert report["files"][1]["scores"] == {}
    assert "expected a sample rate of 48000 Hz, got 16000 Hz" in report["files"][1]["error"]
    assert report["summary"]["not_rated"] == 1
    code, out, _ = run(right, wrong, "--clap", clap, "--caption", "rain", "--resample")
    assert code == 0
    assert f"clap_score[{clap}]" in out


def test_encoder_of_scores(run: Run, sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One number is named after the encoder, several are counted; silence is not rated, but told."""

    class Judge:
        width = 2

        def __call__(self, media: list) -> torch.Tensor:
            return torch.tensor([[1.5, 2.5]])

    monkeypatch.setattr(load, "load_encoder", lambda name, resample, downmix: Judge())
    code, out, _ = run(sounds / "good.wav", "--encoder", "dnsmos", "--json")
    assert code == 0
    assert json.loads(out)["files"][0]["scores"] == {"dnsmos_1": 1.5, "dnsmos_2": 2.5}
    monkeypatch.setattr(Judge, "width", 1)
    monkeypatch.setattr(Judge, "__call__", lambda self, media: torch.tensor([[3.0]]))
    code, out, _ = run(sounds / "good.wav", "--encoder", "distillmos", "--json")
    assert json.loads(out)["files"][0]["scores"] == {"distillmos": 3.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clap", "x"], "--clap compares sounds with captions; give --caption TEXT or --captions FILE"),
        (["--encoder", "mel_statistics"], "mel_statistics gives an embedding of 128 numbers and no score"),
        (["--encoder", "distilmos"], "unknown encoder 'distilmos'; did you mean 'distillmos'"),
        (["--clap", "./nowhere", "--caption", "rain"], "there is no model folder './nowhere'"),
        (["--captions", "{folder}/none.json"], "{folder}/none.json: cannot be read (No such file or directory)"),
        (["--captions", "{folder}/notes.txt"], "{folder}/notes.txt: is no JSON ("),
        (["--captions", "{folder}/list.json"], "expected a JSON object from file names to captions"),
        (["--captions", "{folder}/other.json"], "no caption; unknown file 'good.wav'; did you mean 'goods.wav'"),
    ],
)
def test_called_wrongly(run: Run, sounds: Path, arguments: list[str], message: str) -> None:
    """Exit code 2, one clean line, nothing on the output."""
    (sounds / "list.json").write_text('["rain"]')
    (sounds / "other.json").write_text('{"goods.wav": "rain"}')
    code, out, err = run(sounds / "good.wav", *[argument.format(folder=sounds) for argument in arguments])
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message.format(folder=sounds) in err


def test_a_folder_without_sounds(run: Run, tmp_path: Path) -> None:
    """Nothing to examine is an error, as is a file that is not there."""
    code, _, err = run(tmp_path)
    assert (code, err.startswith(f"error: {tmp_path}: no sounds in it; expected files that end in .wav")) == (2, True)
    code, out, err = run(tmp_path / "none.wav")
    assert code == 2
    assert "no such file" in out
