"""The comparison from end to end, with next to no learning, and what arms change in the preset."""

import json

import pytest
import yaml

from prefalign.cli.main import main
from prefalign.interfaces import PrefalignError
from prefalign_audio.song_demo import arms, musicality, preparation
from prefalign_audio.song_demo.arms import ARMS, CRITERIA
from prefalign_audio.song_demo.merges import FIXED
from prefalign_audio.song_demo.preparation import Plan
from prefalign_audio.song_demo.runs import check_arms, run_seed
from prefalign_audio.song_demo.world import open_world


def test_unknown_arms_are_refused_with_near_ones():
    check_arms(list(ARMS))
    with pytest.raises(PrefalignError, match="unknown arm 'lyrics'; did you mean 'lyric'"):
        check_arms(["lyrics"])


def test_rivals_train_as_long_as_all_criteria_together():
    single = sum(ARMS[name].steps for name in CRITERIA)
    assert {arm.steps for arm in ARMS.values() if arm.kind == "rival"} == {single}


def test_an_arm_changes_start_pairs_seed_and_steps_of_the_preset(tmp_path, monkeypatch):
    told = {}

    def run_arm(change, run, *, preset):
        told.update(change=change, run=run, preset=preset)
        return {"seconds": 1.0}

    monkeypatch.setattr(arms, "run_arm", run_arm)
    assert arms.train("cross", tmp_path, tmp_path / "words.json", 7) == 1.0
    family = told["change"]["model"]["init_args"]["policy"]["init_args"]["model"]["init_args"]
    assert family["model"] == str(tmp_path / "base" / "export")
    assert told["change"]["data"]["init_args"] == {"train": str(tmp_path / "pairs-cross.parquet"), "seed": 7}
    assert told["change"]["trainer"]["max_steps"] == ARMS["cross"].steps
    assert (told["run"], told["preset"]) == (tmp_path / "arms" / "cross", "audio/levo-tiny")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    pytest.importorskip("music21")
    pytest.importorskip("espeakng_loader")
    return open_world(tmp_path_factory.mktemp("songs"))


def test_halves_share_no_chorale_and_no_song(world):
    first, second = world.halves()
    assert not {item.chorale for item in first} & {item.chorale for item in second}
    assert not {item.codes.tobytes() for item in first} & {item.codes.tobytes() for item in second}
    assert len(first) + len(second) > 0.95 * len(world.trained)
    assert not {item.chorale for item in world.held_out} & {item.chorale for item in world.trained}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_tiny_comparison_runs_from_end_to_end(world, tmp_path, monkeypatch):
    """Three steps teach nothing; every file is there, and a second run makes none of them again."""

    def brief(change, run, *, preset):
        return original({**change, "trainer": {**change["trainer"], "max_steps": 3}}, run, preset=preset)

    original = preparation.run_arm
    monkeypatch.setattr(preparation, "run_arm", brief)
    monkeypatch.setattr(arms, "run_arm", brief)
    # Spoiled noise is no worse than noise, so that no gap would be trusted.
    monkeypatch.setattr(musicality, "PRECISION", 0.01)
    fit = musicality.train_musicality
    monkeypatch.setattr(musicality, "train_musicality", lambda *args, **more: fit(*args, **more, steps=30))
    plan = Plan(labels=1, prompts=12, candidates=4, validation=6, validation_songs=1, evaluation_songs=1)
    prepared, results = run_seed(tmp_path / "seed0", world, 0, [*CRITERIA, "coin"], plan, print)
    assert set(results) == {
        "real",
        "base",
        "best_of_8",
        *CRITERIA,
        "coin",
        *FIXED,
        "searched",
        "searched_lyric",
        "searched_best_of_8",
    }
    assert results["real"]["lyric_error"] == 0
    assert all(prepared.facts["pairs"].values())
    first = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}
    again = run_seed(tmp_path / "seed0", world, 0, [*CRITERIA, "coin"], plan, print)[1]
    assert again == results
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")} == first
    with pytest.raises(PrefalignError, match="choose another --out"):
        run_seed(tmp_path / "seed0", world, 1, [], plan, print)


def test_the_command_refuses_what_it_cannot_run(capsys, tmp_path):
    assert main(["audio", "song-demo", "--arms", "promt", "--out", str(tmp_path)]) == 2
    assert "did you mean 'prompt'" in capsys.readouterr().err
    assert main(["audio", "song-demo", "--seeds", "0,x", "--out", str(tmp_path)]) == 2
    assert "--seeds: expected whole numbers" in capsys.readouterr().err


def test_presets_of_the_demonstration_agree_with_what_it_trains():
    """The presets can be run by hand on what the command prepared; their network is the command's."""
    from importlib.resources import files

    text = (files("prefalign_audio") / "presets" / "levo-tiny-mixed.yaml").read_text("utf-8")
    model = yaml.safe_load(text)["model"]["init_args"]["policy"]["init_args"]["model"]["init_args"]["model"]
    assert json.loads(json.dumps(preparation.NETWORK)).items() <= model.items()
