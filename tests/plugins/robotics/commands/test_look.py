"""The page about a run: all of its pictures, nothing from outside, opened in a real browser."""

import base64
import html
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from tests.plugins.robotics.demo.conftest import reaching_episodes
from tests.plugins.robotics.demo.test_report import agree, result

from prefalign.cli.main import main as prefalign
from prefalign_robotics.commands.look import main
from prefalign_robotics.demo import films
from prefalign_robotics.demo.files import write_arrays, write_json
from prefalign_robotics.simulator.errors import SimulatorError

BROWSER = next(
    (found for name in ("chromium", "google-chrome", "chromium-browser") if (found := shutil.which(name))), None
)


def figure(name, success, steps):
    interval = {"estimate": success, "low": success / 2, "high": 1.0}
    mean_return = {"estimate": 300.4, "low": 280.0, "high": 320.0}
    return {
        "success": interval, "mean_return": mean_return, "steps_to_success": steps, "rollouts": f"{name}-0a.npz",
    }  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """A run whose second rollout succeeds only after alignment, with text that HTML would take for its own."""
    episodes = reaching_episodes("carry-left", 8)
    generator = np.random.default_rng(0)
    rollouts = tmp_path / "rollouts"
    rollouts.mkdir()
    for name, row in (("all", 0), ("scored", slice(None))):
        episodes.success[:] = False
        episodes.success[row, -1] = True
        episodes.select(np.arange(3)).save(rollouts / f"{name}-0a.npz")
    write_arrays(
        tmp_path / "rewards.npz",
        mean=generator.standard_normal((8, 100)),
        deviation=generator.random((8, 100)),
        rewards=episodes.rewards,
        success=episodes.success,
    )
    write_arrays(
        tmp_path / "transfer.npz",
        coupling=generator.random((5, 4)),
        source_returns=generator.random(5),
        target_returns=generator.random(4),
    )
    found = result("<lift>", "carry & left")
    found["transfer"] |= {"curve": [0.5, 0.7, 1.0], "warnings": ["1 × in 4 blocks: <b>no</b> good"]}
    found["policies"] = {"all": figure("all", 0.35, None), "scored": figure("scored", 1.0, 71.6)}
    write_json(tmp_path / "results.json", {**found, "plan": {}})
    return tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """Replaces the camera; the list holds what was filmed."""
    filmed = []

    def film(policy, task, path, instance, steps, *, every):
        filmed.append((task, instance, [policy(None)[0] for _ in range(steps)]))
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
        frames[0].save(path, save_all=True, append_images=frames[1:])

    monkeypatch.setattr(films, "film", film)
    return filmed


def test_everything_is_on_the_page_and_nothing_comes_from_outside(run, drawn, capsys):
    assert prefalign(["robotics", "look", str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "index.html")
    text = (run / "index.html").read_text()
    assert text.count("<img ") == 5
    assert text.count("data:image/gif") == 2
    assert "<h1>&lt;lift&gt; → carry &amp; left, seed 0</h1>" in text
    assert "<lift>" not in text
    assert "&lt;b&gt;no&lt;/b&gt; good" in text
    assert "<td>0.35</td><td>0.17 to 1.00</td><td>300</td><td>280 to 320</td><td>-</td>" in text
    assert "<td>72</td>" in text
    assert "<script" not in text
    assert "http" not in text
    for kind, data in re.findall(r"data:image/(\w+);base64,([^\"]+)", text):
        assert Image.open(io.BytesIO(base64.b64decode(data))).format == kind.upper()


def test_films_show_the_first_instance_that_was_gained_as_it_was_done(run, drawn):
    """Rollout 0 succeeds both times, so that rollout 1 is shown; the kept actions are done over. Made once."""
    assert main([str(run)]) == main([str(run), "--out", str(run / "again.html")]) == 0
    assert len(drawn) == 2
    episodes = reaching_episodes("carry-left", 8)
    for task, instance, actions in drawn:
        assert (task, instance) == ("carry-left", 1)
        assert np.array_equal(actions, episodes.actions[1])
    assert (run / "again.html").read_text() == (run / "index.html").read_text()


@pytest.mark.parametrize(
    "error", [SimulatorError("MuJoCo cannot draw <here>"), AttributeError("'NoneType' has no 'glGetError'")]
)
def test_where_nothing_can_be_drawn_the_rest_stands(run, monkeypatch, error):
    def film(*_, **__):
        raise error

    monkeypatch.setattr(films, "film", film)
    assert main([str(run)]) == 0
    text = (run / "index.html").read_text()
    assert "<p>No film: MuJoCo can" in text
    assert "<here>" not in text
    assert text.count("<img ") == 3


def test_a_run_without_the_two_policies_has_no_film(run, drawn):
    found = json.loads((run / "results.json").read_text())
    del found["policies"]["all"]
    (run / "results.json").write_text(json.dumps(found))
    assert main([str(run)]) == 0
    assert "No film: " in (run / "index.html").read_text()
    assert not drawn


@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on the path")
def test_a_browser_shows_every_picture(run, drawn):
    main([str(run)])
    probe = (
        "<script>window.onload=()=>setTimeout(()=>{document.body.dataset.found=JSON.stringify({"
        "title:document.title,rows:document.querySelectorAll('tr').length,"
        "pictures:[...document.images].map(i=>i.naturalWidth)})},500)</script></body>"
    )
    page = run / "probed.html"
    page.write_text((run / "index.html").read_text().replace("</body>", probe))
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    dumped = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout
    found = json.loads(html.unescape(re.search(r'data-found="([^"]*)"', dumped)[1]))
    assert found["title"] == "<lift> → carry & left, seed 0"
    assert found["rows"] == 3 + 4
    assert len(found["pictures"]) == 5
    assert min(found["pictures"]) > 0


def test_what_cannot_be_shown_is_said(run, tmp_path, capsys):
    assert main([str(tmp_path / "absent")]) == 2
    assert "no results.json; expected the folder of a pair and a seed" in capsys.readouterr().err
    (run / "rewards.npz").write_bytes(b"half")
    assert main([str(run)]) == 2
    assert "rewards.npz: absent or damaged" in capsys.readouterr().err
    assert not (run / "index.html").exists()
    (run / "results.json").write_text("{}")
    assert main([str(run)]) == 2
    assert "results.json: absent or damaged" in capsys.readouterr().err


def test_chance_is_named_on_the_page(run, drawn):
    found = json.loads((run / "results.json").read_text())
    found["ranking"]["inside"]["speed"]["learned"] = agree(0.01, 0.9)
    (run / "results.json").write_text(json.dumps(found))
    main([str(run)])
    assert "<td>0.010 (1 of 1)</td>" in (run / "index.html").read_text()
