"""Whole models as folders: what Transformers and Diffusers write and read, bytes that survive, and what is refused."""

import json
import os
import re
import shutil
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from prefalign.interfaces import PrefalignError
from prefalign.merging import Dare, Extrapolate, TaskArithmetic, Ties, interpolate, merge
from prefalign.merging.checkpoint import open_checkpoint
from prefalign.merging.folders import merge_folders
from prefalign.merging.weight_file import WeightFile
from prefalign.models.pretrained import LoraSettings
from prefalign.policies.token import TokenPolicy
from prefalign.testing.tiny import LLAMA, save_tokenizer


def llama(folder: Path, seed: int, dtype: torch.dtype = torch.float32, shards: str = "1GB", **config) -> Path:
    """A small Llama with random weights, as Transformers writes it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {**LLAMA, **config}
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))
    model.to(dtype).save_pretrained(folder, max_shard_size=shards)
    return folder


def state(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a folder, by safetensors' own reader."""
    return {name: t for file in sorted(folder.glob("*.safetensors")) for name, t in load_file(file).items()}


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def trio(tmp_path_factory) -> list[Path]:
    """Three Llamas in bfloat16."""
    root = tmp_path_factory.mktemp("trio")
    return [llama(root / name, seed, torch.bfloat16) for seed, name in enumerate("abc")]


# ---------------------------------------------------------------------------------------------------------------- whole


@pytest.mark.parametrize("method", [None, TaskArithmetic(), Ties(0.3), Dare(0.5, seed=4)])
def test_a_folder_holds_what_the_state_dicts_give(trio, tmp_path, method):
    base = trio[2] if method else None
    weights = [0.7, 0.3]
    merge_folders(trio[:2], tmp_path / "out", weights, method, base=base)
    models = [state(folder) for folder in trio[:2]]
    expected = merge(models, weights, method, base=state(trio[2])) if method else interpolate(models, weights)
    assert equal(state(tmp_path / "out"), expected)


def test_transformers_reads_the_merge(trio, tmp_path):
    """Its logits are those of a model whose parameters were mixed by hand."""
    from transformers import AutoModelForCausalLM

    save_tokenizer(trio[0])
    merge_folders(trio, tmp_path / "out", [0.5, 0.25, 0.25])
    load = AutoModelForCausalLM.from_pretrained
    models = [load(folder, dtype="auto") for folder in trio]
    merged = load(tmp_path / "out", dtype="auto")
    with torch.no_grad():
        for target, *parts in zip(*(m.parameters() for m in [models[0], *models]), strict=True):
            target.copy_(sum(w * part.float() for w, part in zip((0.5, 0.25, 0.25), parts, strict=True)))
    ids = torch.arange(4, 20)[None]
    assert torch.equal(merged(ids).logits, models[0](ids).logits)
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (trio[0] / "tokenizer.json").read_bytes()


def test_one_and_zeros_give_the_first_model_s_file_byte_for_byte(trio, tmp_path):
    merge_folders(trio, tmp_path / "out", [1, 0, 0])
    for name in ("model.safetensors", "config.json", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (trio[0] / name).read_bytes()


def test_shards_are_kept_and_may_differ_between_the_models(trio, tmp_path):
    from transformers import AutoModelForCausalLM

    whole = [llama(tmp_path / f"whole{seed}", seed) for seed in (0, 1)]
    parts = [llama(tmp_path / f"parts{seed}", seed, shards=size) for seed, size in ((0, "30KB"), (1, "50KB"))]
    assert len({len(open_checkpoint(folder).files) for folder in (*whole, *parts)}) == 3
    merge_folders(whole, tmp_path / "one", [0.5, 0.5])
    report = merge_folders(parts, tmp_path / "many", [0.5, 0.5])
    assert report["warnings"] == []
    assert {p.name for p in (tmp_path / "many").glob("model*")} == {p.name for p in parts[0].glob("model*")}
    load = AutoModelForCausalLM.from_pretrained
    assert equal(load(tmp_path / "one").state_dict(), load(tmp_path / "many").state_dict())
    merge_folders([parts[0], whole[1]], tmp_path / "mixed", [0.5, 0.5])
    assert equal(state(tmp_path / "mixed"), state(tmp_path / "one"))


def test_tied_embeddings_stay_tied(tmp_path):
    from transformers import AutoModelForCausalLM

    folders = [llama(tmp_path / f"m{seed}", seed, tie_word_embeddings=True) for seed in (0, 1)]
    merge_folders(folders, tmp_path / "out", [0.5, 0.5])
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert merged.lm_head.weight is merged.model.embed_tokens.weight
    expected = sum(0.5 * state(folder)["model.embed_tokens.weight"] for folder in folders)
    torch.testing.assert_close(merged.lm_head.weight.detach(), expected)


@pytest.mark.parametrize("lora", [None, LoraSettings(r=2)])
def test_exports_of_ours_are_read_before_and_written_for_us(trio, tmp_path, lora):
    """Policies trained alike, saved as `Export` saves them, become a third that is the same function."""
    save_tokenizer(trio[0])
    for name in "ab":
        policy = TokenPolicy(str(trio[0]), lora=lora)
        policy.configure_model()
        draw = torch.Generator().manual_seed(1)
        for parameter in (one for one in policy.parameters() if one.requires_grad):
            parameter.data += torch.randn(parameter.shape, generator=draw) / 8
        policy.save_pretrained(tmp_path / name)
    merge_folders([tmp_path / "a", tmp_path / "b"], tmp_path / "out", [0.5, 0.5])
    merged = TokenPolicy(str(tmp_path / "out"))
    merged.configure_model()
    ids = torch.arange(4, 20)[None]
    torch.testing.assert_close(merged.model(ids).logits, policy.model(ids).logits)


def test_diffusers_reads_the_merge(tmp_path):
    from diffusers import UNet2DModel

    for seed in (0, 1):
        torch.manual_seed(seed)
        UNet2DModel(
            8, 1, 1, block_out_channels=(32,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",)
        ).save_pretrained(tmp_path / f"m{seed}")
    folders = [tmp_path / "m0", tmp_path / "m1"]
    merge_folders(folders, tmp_path / "out", [0.25, 0.75])
    merged = UNet2DModel.from_pretrained(tmp_path / "out").state_dict()
    assert equal(merged, interpolate([state(folder) for folder in folders], [0.25, 0.75]))


def test_one_tensor_of_each_model_is_in_memory_at_a_time(trio, tmp_path, monkeypatch):
    """Reads alternate between the models, tensor by tensor."""
    read = []
    original = WeightFile.read
    monkeypatch.setattr(WeightFile, "read", lambda self, name: read.append(name) or original(self, name))
    merge_folders(trio, tmp_path / "out", [0.5, 0.25, 0.25])
    names = list(open_checkpoint(trio[0]).layout)
    assert read == [name for name in names for _ in trio]


def test_every_dtype_and_shape_is_written_as_it_was(tmp_path):
    tensors = {
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "flags": torch.tensor([True, False]),
        "steps": torch.tensor([[2**40]]),
        "half": torch.tensor([1.5, -0.0]).half(),
        "double": torch.tensor([0.1], dtype=torch.float64),
    }
    for name in "ab":
        (tmp_path / name).mkdir()
        save_file(tensors, tmp_path / name / "own_name.safetensors", {"format": "pt", "note": "kept"})
    merge_folders([tmp_path / "a", tmp_path / "b"], tmp_path / "out", [0.3, 0.7])
    assert (tmp_path / "out/own_name.safetensors").read_bytes() == (tmp_path / "a/own_name.safetensors").read_bytes()


def test_module_patterns_reach_the_files(trio, tmp_path):
    merge_folders(trio[:2], tmp_path / "out", [1, 0], modules={"model.layers.1": [0, 1]})
    merged, (a, b) = state(tmp_path / "out"), (state(folder) for folder in trio[:2])
    assert all(torch.equal(merged[name], (b if "layers.1." in name else a)[name]) for name in merged)


# ------------------------------------------------------------------------------------------------------- what is beside


def test_the_merge_says_what_it_was_made_of(trio, tmp_path):
    import hashlib

    report = merge_folders(trio[:1], tmp_path / "out", [0.5], Extrapolate(), base=trio[1])
    written = json.loads((tmp_path / "out" / "merge.json").read_text())
    assert {**written, "warnings": report["warnings"]} == report
    assert written["method"] == {"name": "expo"}
    assert written["weights"] == [0.5]
    digest = hashlib.sha256((trio[1] / "model.safetensors").read_bytes()).hexdigest()
    assert written["base"] == {"name": "b", "sha256": {"model.safetensors": digest}}
    assert str(tmp_path) not in json.dumps(written)


def test_companions_go_along_and_cards_pickles_and_hidden_files_do_not(trio, tmp_path):
    folders = [shutil.copytree(folder, tmp_path / folder.name) for folder in trio[:2]]
    for name in ("README.md", "training_args.bin", ".hidden", "modeling_own.py", "codec.safetensors"):
        (folders[0] / name).write_text("x")
    (folders[0] / "sub").mkdir()
    (folders[1] / "modeling_own.py").write_text("y")
    report = merge_folders(folders, tmp_path / "out", [0.5, 0.5])
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"modeling_own.py", "codec.safetensors", "merge.json"} <= names
    assert not {"README.md", "training_args.bin", ".hidden", "sub"} & names
    assert [re.search(r"modeling_own.py of .* differs", warning) is not None for warning in report["warnings"]] == [
        True
    ]


def test_configs_that_decide_other_shapes_are_refused_and_others_warned_of(trio, tmp_path):
    folders = [shutil.copytree(folder, tmp_path / folder.name) for folder in trio[:2]]
    config = json.loads((folders[1] / "config.json").read_text())
    minor = {"rms_norm_eps": 1e-3, "transformers_version": "4.0", "eos_token_id": 7}
    (folders[1] / "config.json").write_text(json.dumps({**config, **minor}))
    (warning,) = merge_folders(folders, tmp_path / "out", [0.5, 0.5])["warnings"]
    assert "differs in 'eos_token_id', 'rms_norm_eps'; that of" in warning
    # Two heads of 16 have the same shapes as four of 8, and are another function.
    (folders[1] / "config.json").write_text(json.dumps({**config, "num_attention_heads": 2}))
    with pytest.raises(PrefalignError, match="num_attention_heads is 4 and 2"):
        merge_folders(folders, tmp_path / "out2", [0.5, 0.5])
    (folders[1] / "config.json").unlink()
    assert "has no config.json" in merge_folders(folders, tmp_path / "out3", [0.5, 0.5])["warnings"][0]


def test_links_into_the_hub_s_cache_are_followed_and_others_refused(trio, tmp_path):
    snapshot, blobs = tmp_path / "snapshots" / "1", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for name in ("model.safetensors", "config.json"):
        shutil.copyfile(trio[0] / name, blobs / name)
        os.symlink(f"../../blobs/{name}", snapshot / name)
    merge_folders([snapshot], tmp_path / "out", [1])
    assert not (tmp_path / "out" / "config.json").is_symlink()
    (tmp_path / "secret").write_text("s")
    os.symlink(tmp_path / "secret", snapshot / "notes.txt")
    with pytest.raises(PrefalignError, match=r"notes.txt is a link out of its folder"):
        merge_folders([snapshot], tmp_path / "out2", [1])
    assert not (tmp_path / "out2").exists()


# -------------------------------------------------------------------------------------------------------------- refused


def test_a_folder_in_use_is_refused_and_an_empty_one_taken(trio, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    merge_folders(trio[:1], out, [1])
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(PrefalignError, match="not empty"):
        merge_folders(trio[1:2], out, [1])
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(PrefalignError, match="not empty"):
        merge_folders(trio[:1], tmp_path / "file", [1])


def test_a_merge_that_fails_leaves_nothing(trio, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(trio[0], broken)
    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"][0] = torch.nan
    save_file(tensors, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(PrefalignError, match=r"'model.norm.weight' has NaN"):
        merge_folders([trio[1], broken], tmp_path / "deep" / "out", [0.5, 0.5])
    assert list((tmp_path / "deep").iterdir()) == []


def test_models_of_other_shapes_are_refused_by_name(trio, tmp_path):
    wide = llama(tmp_path / "wide", 0, torch.bfloat16, intermediate_size=96)
    with pytest.raises(PrefalignError, match="intermediate_size is 64 and 96"):
        merge_folders([trio[0], wide], tmp_path / "out", [0.5, 0.5])
    for folder in (trio[0], wide):
        shutil.copytree(folder, tmp_path / "bare" / folder.name, ignore=lambda *_: ["config.json"])
    with pytest.raises(PrefalignError, match=r"mlp.down_proj.weight' is \(32, 64\) in .*a and \(32, 96\) in .*wide"):
        merge_folders([tmp_path / "bare/a", tmp_path / "bare/wide"], tmp_path / "out", [0.5, 0.5])


def folder_with(root: Path, **files: bytes | str) -> Path:
    root.mkdir()
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (root / name.replace("__", ".")).write_bytes(data)
    return root


def header(**entries) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


INDEX = "model__safetensors__index__json"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no safetensors weights; expected model.safetensors"),
        ({"pytorch_model__bin": b"x"}, "pytorch_model.bin is a pickle, which can run code .* save_pretrained"),
        ({"model_index__json": "{}"}, "is a pipeline of Diffusers"),
        ({"model__safetensors": b"x"}, "not a whole safetensors file"),
        ({"model__safetensors": struct.pack("<Q", 1 << 60) + b"{}"}, "not a whole safetensors file"),
        (
            {"model__safetensors": header(w={"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}) + bytes(8)},
            "not a whole safetensors file",
        ),
        (
            {"model__safetensors": b"x", "diffusion_pytorch_model__safetensors": b"x"},
            "several sets of weights: 'diffusion_pytorch_model.safetensors', 'model.safetensors'",
        ),
        ({"model__safetensors": b"x", "model__fp16__safetensors": b"x"}, "several sets of weights"),
        ({INDEX: "["}, "not JSON"),
        ({INDEX: "[]"}, "expected a JSON object, got list"),
        ({INDEX: "{}"}, "expected a weight_map"),
        ({INDEX: '{"weight_map": {"w": "../secret.safetensors"}}'}, "names of safetensors files beside it"),
        ({INDEX: '{"weight_map": {"w": "model.bin"}}'}, "names of safetensors files beside it"),
        ({INDEX: '{"weight_map": {"w": 3}}'}, "names of safetensors files beside it, got 3"),
        ({INDEX: '{"weight_map": {"w": "model-1-of-1.safetensors"}}'}, "the shard model-1-of-1.safetensors is missing"),
        ({"adapter_config__json": "{}"}, "without adapter_model.safetensors"),
    ],
)
def test_folders_that_hold_no_weights_are_refused_with_a_way_out(tmp_path, files, message):
    folder = folder_with(tmp_path / "m", **files)
    with pytest.raises(PrefalignError, match=message):
        merge_folders([folder], tmp_path / "out", [1])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("index", [{"w": "one", "v": "two"}, {"w": "two"}, {"w": "one"}])
def test_an_index_that_does_not_fit_its_shards_is_refused(tmp_path, index):
    """`w` lies in one, and `v` in one too; `w` in both."""
    (tmp_path / "m").mkdir()
    save_file({"w": torch.zeros(1), "v": torch.zeros(1)}, tmp_path / "m" / "one.safetensors")
    save_file({"w": torch.zeros(1)}, tmp_path / "m" / "two.safetensors")
    shards = {name: f"{shard}.safetensors" for name, shard in index.items()}
    (tmp_path / "m" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    if index == {"w": "two"}:
        assert list(open_checkpoint(tmp_path / "m").layout) == ["w"]
        return
    with pytest.raises(PrefalignError, match="disagree on where 'v'"):
        open_checkpoint(tmp_path / "m")


def test_a_base_is_asked_for_where_the_method_needs_it(trio, tmp_path):
    with pytest.raises(PrefalignError, match="ties needs the base"):
        merge_folders(trio, tmp_path / "out", [1, 1, 1], Ties())
    with pytest.raises(PrefalignError, match="there is no folder"):
        merge_folders([tmp_path / "nowhere"], tmp_path / "out", [1])
    with pytest.raises(PrefalignError, match="nothing to merge"):
        merge_folders([], tmp_path / "out", [])
