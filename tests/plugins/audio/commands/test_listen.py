"""The page to listen to: one row a sound, readable without us, opened in a real browser."""

import json
import math
import re
import shutil
import subprocess

import pytest
import torch

from prefalign_audio.commands.listen import main
from prefalign_audio.sound.files import write_sound
from prefalign_audio.sound.waveform import Waveform

BROWSER = next(
    (found for name in ("chromium", "google-chrome", "chromium-browser") if (found := shutil.which(name))), None
)


def tone(seconds, frequency=440.0, rate=8000):
    times = torch.arange(round(seconds * rate)) / rate
    return Waveform(0.5 * torch.sin(2 * math.pi * frequency * times)[None], rate)


@pytest.fixture
def run(tmp_path):
    """Two tones of 0.5 and 1 s on both sides, and one that only one side has."""
    for side in ("before", "after"):
        (tmp_path / side).mkdir()
        write_sound(tmp_path / side / "a.wav", tone(0.5))
        write_sound(tmp_path / side / "b.wav", tone(1.0, 880.0))
    write_sound(tmp_path / "after" / "c.wav", tone(0.5))
    (tmp_path / "captions.json").write_text(json.dumps({"a.wav": "bird, then <bell>"}))
    return tmp_path


def test_a_row_for_each_sound_of_both_sides(run, capsys):
    assert main([str(run), "--title", "A & B"]) == 0
    text = (run / "index.html").read_text()
    assert capsys.readouterr().out.strip() == str(run / "index.html")
    assert text.count("<audio ") == text.count("<img ") == 4
    assert "bird, then &lt;bell&gt;" in text
    assert "<bell>" not in text
    assert "<h1>A &amp; B</h1>" in text
    assert "<script" not in text
    assert "http" not in text  # nothing is fetched


@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on the path")
def test_a_browser_plays_every_sound_and_shows_every_picture(run):
    main([str(run)])
    probe = (
        "<script>window.onload=()=>setTimeout(()=>{document.body.dataset.found=JSON.stringify({"
        "sounds:[...document.querySelectorAll('audio')].map(a=>a.duration),"
        "pictures:[...document.images].map(i=>i.naturalWidth)})},500)</script></body>"
    )
    page = run / "probed.html"
    page.write_text((run / "index.html").read_text().replace("</body>", probe))
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    dumped = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout
    found = json.loads(re.search(r'data-found="([^"]*)"', dumped)[1].replace("&quot;", '"'))
    assert found["sounds"] == pytest.approx([0.5, 0.5, 1.0, 1.0], abs=0.01)
    assert len(found["pictures"]) == 4
    assert min(found["pictures"]) > 0


def test_what_cannot_be_shown_is_said(run, tmp_path, capsys):
    assert main([str(tmp_path / "absent")]) == 2
    assert "no folder before/" in capsys.readouterr().err
    (run / "captions.json").write_text("[]")
    assert main([str(run)]) == 2
    assert "mapping of file names to captions" in capsys.readouterr().err
    (run / "captions.json").unlink()
    for name in ("a.wav", "b.wav"):
        (run / "before" / name).unlink()
    write_sound(run / "before" / "d.wav", tone(0.5))
    assert main([str(run)]) == 2
    assert "no file name in common" in capsys.readouterr().err
