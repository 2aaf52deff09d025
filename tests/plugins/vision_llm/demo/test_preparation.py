import dataclasses
import hashlib
import json

import pytest
from transformers import AutoProcessor, LlavaForConditionalGeneration

from prefalign_vision_llm.demo.heldout import Heldout
from prefalign_vision_llm.demo.icons import IconLibrary
from prefalign_vision_llm.demo.preparation import DemoSizes, prepare
from prefalign_vision_llm.demo.pretraining import GateNotReachedError, PretrainingRecipe
from prefalign_vision_llm.demo.scenes import ICON_WORLD, Context, World

TINY = DemoSizes(
    vision_scenes=64,
    pretraining_scenes=64,
    correction_scenes=40,
    caption_pairs=20,
    questions=24,
    heldout_scenes=16,
    pope_images=8,
    pretraining=PretrainingRecipe(
        alignment_steps=4,
        alignment_batch=16,
        clean_steps=40,
        noisy_steps=10,
        batch=32,
        clean_caption_share=0.5,
        label_gate=None,
        answer_gate=None,
    ),
)


def _prepare(folder, seed=0, sizes=TINY, **options):
    lines = []
    prepare(folder, seed, sizes, lines.append, **options)
    return lines


def _digests(folder):
    """Of everything but the manifest, which tells how long it took."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "manifest.json"
    }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "seed0"
    _prepare(folder)
    return folder


def test_the_base_loads_offline_and_the_pictures_of_all_records_are_there(prepared):
    LlavaForConditionalGeneration.from_pretrained(prepared / "base", local_files_only=True)
    AutoProcessor.from_pretrained(prepared / "base", local_files_only=True)
    for name in ("pairs", "pairs-plain", "verified"):
        rows = [json.loads(line) for line in (prepared / f"{name}.jsonl").read_text().splitlines()]
        assert rows, name
        for row in rows:
            assert all((prepared / medium["path"]).is_file() for medium in row["prompt"]["media"])
    heldout = Heldout.load(prepared)
    assert len(heldout.images(prepared)) == len(heldout.scenes) == 16
    assert not list(prepared.rglob("*unfinished*"))


def test_the_manifest_tells_what_came_out(prepared):
    manifest = json.loads((prepared / "manifest.json").read_text())
    assert manifest["seed"] == 0
    assert manifest["counts"]["captions"] == 40
    assert manifest["pretraining"]["clean_steps"] == 40
    assert {"chair_i", "recall", "pope/adversarial/accuracy"} <= manifest["base"].keys()
    assert manifest["seconds"].keys() == {"pretraining", "corrections", "evaluation"}
    assert {"torch", "transformers"} <= manifest["versions"].keys()


def test_a_complete_folder_is_used_again_and_an_unfinished_one_taken_up(prepared):
    before, manifest = _digests(prepared), (prepared / "manifest.json").read_bytes()
    assert _prepare(prepared) == [f"{prepared} is complete; using it again"]
    assert (prepared / "manifest.json").read_bytes() == manifest

    for name in ("manifest.json", "verified.jsonl", "heldout.json"):
        (prepared / name).unlink()
    trained = (prepared / "base" / "model.safetensors").stat().st_mtime_ns
    _prepare(prepared)
    assert _digests(prepared) == before
    assert (prepared / "base" / "model.safetensors").stat().st_mtime_ns == trained


def test_the_same_seed_gives_the_same_files(prepared, tmp_path):
    _prepare(tmp_path / "again")
    assert _digests(tmp_path / "again") == _digests(prepared)


def test_other_settings_are_refused(prepared, tmp_path):
    with pytest.raises(ValueError, match=r"other settings \(seed\)"):
        _prepare(prepared, seed=1)
    with pytest.raises(ValueError, match=r"other settings \(sizes\)"):
        _prepare(prepared, sizes=dataclasses.replace(TINY, questions=25))
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        _prepare(tmp_path)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "settings.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        _prepare(damaged)


def test_a_closed_gate_leaves_no_base(tmp_path):
    gated = dataclasses.replace(TINY, pretraining=dataclasses.replace(TINY.pretraining, label_gate=0.995))
    with pytest.raises(GateNotReachedError):
        _prepare(tmp_path, sizes=gated)
    assert [file.name for file in tmp_path.iterdir()] == ["settings.json"]


def test_objects_without_a_sprite_are_refused_before_anything_is_written(tmp_path):
    world = World((*ICON_WORLD.contexts, Context("sea", (0, 0, 200), ("fish",))))
    with pytest.raises(ValueError, match="no sprite for fish"):
        _prepare(tmp_path / "new", world=world, sprites=IconLibrary())
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("field", ["questions", "heldout_scenes"])
def test_sizes_below_one_are_refused(field):
    with pytest.raises(ValueError, match=f"{field} is 0"):
        DemoSizes(**{field: 0})


@pytest.mark.slow
def test_the_full_base_sees_nearly_everything_and_names_what_is_not_there(tmp_path):
    prepare(tmp_path, 0, DemoSizes(), print)
    base = json.loads((tmp_path / "manifest.json").read_text())["base"]
    assert 15 < base["chair_i"] < 35
    assert 40 < base["chair_s"] < 90
    assert base["recall"] > 93
    assert 75 < base["pope/adversarial/accuracy"] < 95
    assert base["pope/adversarial/yes_ratio"] > 53  # it errs by saying yes
