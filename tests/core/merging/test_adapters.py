"""Low-rank adapters: the merge is the function whose deltas are summed, as peft itself computes it, and not another."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from prefalign.interfaces import PrefalignError
from prefalign.merging import Extrapolate, Interpolate, TaskArithmetic, Ties, merge
from prefalign.merging.folders import merge_folders
from prefalign.testing.tiny import LLAMA

IDS = torch.arange(4, 24)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A Llama in a folder."""
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("base")
    settings = dict(LLAMA)
    torch.manual_seed(9)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings)).save_pretrained(
        folder
    )
    return folder


def adapter(base: Path, folder: Path, seed: int, **settings) -> Path:
    """An adapter over the base whose factors are all random."""
    import peft
    from transformers import AutoModelForCausalLM

    config = peft.LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"], **settings})
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    draw = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn(parameter.shape, generator=draw) / 4
    # As peft does by itself, with a warning.
    model.save_pretrained(folder, save_embedding_layers="embed_tokens" in config.target_modules)
    return folder


def merged_state(base: Path, folder: Path) -> dict[str, torch.Tensor]:
    """The base's weights with the adapter on them, by peft."""
    import peft
    from transformers import AutoModelForCausalLM

    model = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    return model.merge_and_unload().state_dict()


def read(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def pair(base, tmp_path_factory) -> list[Path]:
    """Two adapters of different ranks, one of them with a rank-stabilised scale."""
    root = tmp_path_factory.mktemp("pair")
    return [adapter(base, root / "a", 1), adapter(base, root / "b", 2, r=6, use_rslora=True)]


# ------------------------------------------------------------------------------------------------------------- by ranks


@pytest.mark.parametrize(
    ("weights", "method"),
    [([0.25, 0.75], Interpolate()), ([1.5, -0.5], TaskArithmetic()), ([0.4, 0.9], TaskArithmetic())],
)
def test_the_merge_is_the_sum_of_the_deltas(base, pair, tmp_path, weights, method):
    """Read by peft, it is θ_0 + Σ w_i Δ_i, with each Δ_i as peft computes it."""
    report = merge_folders(pair, tmp_path / "out", weights, method)
    assert report["form"] == "adapter of the summed rank"
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (10, 10, False)
    start = read(base)
    expected = merge([merged_state(base, folder) for folder in pair], weights, TaskArithmetic(), base=start)
    result = merged_state(base, tmp_path / "out")
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
    # Mixing the factors would be another function.
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.allclose(result[name], start[name], atol=1e-3)


@pytest.mark.oracle
def test_peft_stacks_to_the_same_adapter(base, tmp_path):
    """Against peft's own `cat`; not rank-stabilised, where it scales too much (huggingface/peft #3449)."""
    import peft
    from transformers import AutoModelForCausalLM

    folders = [adapter(base, tmp_path / name, seed, r=rank) for seed, (name, rank) in enumerate((("a", 4), ("b", 2)))]
    model = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folders[0], adapter_name="a")
    model.load_adapter(folders[1], adapter_name="b")
    model.add_weighted_adapter(["a", "b"], [0.3, 0.7], adapter_name="c", combination_type="cat")
    model.set_adapter("c")
    merge_folders(folders, tmp_path / "out", [0.3, 0.7])
    ours = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "out")
    torch.testing.assert_close(ours(IDS).logits, model(IDS).logits, rtol=1e-4, atol=1e-5)


def test_one_and_zero_give_the_first_adapter_byte_for_byte(pair, tmp_path):
    for weights, chosen in (([1, 0], pair[0]), ([0, 1], pair[1])):
        out = tmp_path / chosen.name
        merge_folders(pair, out, weights)
        for name in ("adapter_model.safetensors", "adapter_config.json"):
            assert (out / name).read_bytes() == (chosen / name).read_bytes()


def test_alpha_extrapolates_an_adapter(base, pair, tmp_path):
    """θ_1 + α (θ_1 − θ_0) is the adapter 1 + α times."""
    merge_folders(pair[:1], tmp_path / "out", [0.5], Extrapolate())
    expected = merge([merged_state(base, pair[0])], [0.5], Extrapolate(), base=read(base))
    torch.testing.assert_close(merged_state(base, tmp_path / "out"), expected, rtol=1e-4, atol=1e-5)


def test_ranks_and_scales_may_differ_by_module(base, tmp_path):
    """peft reads the patterns of the merge; every module keeps its own rank and a scale of 1."""
    patterns = {"rank_pattern": {"down_proj": 2}, "alpha_pattern": {"layers.1.self_attn.q_proj": 3}}
    folders = [adapter(base, tmp_path / "a", 1, **patterns), adapter(base, tmp_path / "b", 2)]
    merge_folders(folders, tmp_path / "out", [0.5, 0.5])
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], set(config["rank_pattern"].values())) in ((8, {6}), (6, {8}))
    expected = merge([merged_state(base, f) for f in folders], [0.5, 0.5], TaskArithmetic(), base=read(base))
    torch.testing.assert_close(merged_state(base, tmp_path / "out"), expected, rtol=1e-4, atol=1e-5)


def test_module_patterns_name_the_base_s_modules(base, pair, tmp_path):
    merge_folders(pair, tmp_path / "out", [1, 0], modules={"model.layers.1": [0, 1]})
    first, second, merged = (merged_state(base, folder) for folder in (*pair, tmp_path / "out"))
    expected = {name: (second if "layers.1." in name else first)[name] for name in first}
    torch.testing.assert_close(merged, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(PrefalignError, match=r"unknown module pattern 'model.layer.1'"):
        merge_folders(pair, tmp_path / "out2", [1, 0], modules={"model.layer.1": [0, 1]})


@pytest.mark.parametrize("settings", [{"target_modules": ["embed_tokens", "q_proj"]}, {"modules_to_save": ["lm_head"]}])
def test_embeddings_and_whole_layers(base, tmp_path, settings):
    folders = [adapter(base, tmp_path / name, seed, **settings) for seed, name in enumerate("ab")]
    expected = merge([merged_state(base, f) for f in folders], [0.5, 0.5], TaskArithmetic(), base=read(base))
    merge_folders(folders, tmp_path / "out", [0.5, 0.5])
    torch.testing.assert_close(merged_state(base, tmp_path / "out"), expected, rtol=1e-4, atol=1e-5)
    merge_folders(folders, tmp_path / "whole", [0.5, 0.5], TaskArithmetic(), base=base)
    torch.testing.assert_close(read(tmp_path / "whole"), expected, rtol=1e-4, atol=1e-5)
    if "modules_to_save" in settings:
        with pytest.raises(PrefalignError, match=r"weights: expected a sum of 1, got 0\.9"):
            merge_folders(folders, tmp_path / "out2", [0.4, 0.5], TaskArithmetic())


def test_a_copy_of_another_base_s_embedding_is_refused(base, tmp_path):
    folders = [adapter(base, tmp_path / name, 1, target_modules=["embed_tokens"]) for name in "ab"]
    file = folders[1] / "adapter_model.safetensors"
    save_file({name: t + ("base_layer" in name) for name, t in load_file(file).items()}, file)
    for start, message in ((None, "than that of .*a$"), (base, "than that of .*base")):
        with pytest.raises(PrefalignError, match=f"b was trained over another 'model.embed_tokens.weight' {message}"):
            merge_folders(folders, tmp_path / "out", [0.5, 0.5], base=start)


# ---------------------------------------------------------------------------------------------------------- into a base


@pytest.mark.parametrize(
    ("weights", "method"), [([0.25, 0.75], Interpolate()), ([0.7, 0.7], TaskArithmetic()), ([0.5, 0.5], Ties(0.4))]
)
def test_with_a_base_the_merge_is_a_whole_model(base, pair, tmp_path, weights, method):
    report = merge_folders(pair, tmp_path / "out", weights, method, base=base)
    assert report["form"] == "whole model from adapters"
    expected = merge([merged_state(base, folder) for folder in pair], weights, method, base=read(base))
    torch.testing.assert_close(read(tmp_path / "out"), expected, rtol=1e-4, atol=1e-5)
    assert (tmp_path / "out" / "config.json").read_bytes() == (base / "config.json").read_bytes()
    assert torch.equal(read(tmp_path / "out")["lm_head.weight"], read(base)["lm_head.weight"])


def test_transposed_and_convolutional_weights(tmp_path):
    """peft's own delta of a Conv1D (stored transposed) and of a convolution, in a module of three layers."""
    import peft
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.turned, self.conv = Conv1D(5, 3), nn.Conv2d(2, 4, 3)

    for targets, transposed in ((["turned"], True), (["conv"], False)):
        torch.manual_seed(0)
        net, folder = Net(), tmp_path / targets[0]
        (folder / "base").mkdir(parents=True)
        start = {name: t.clone() for name, t in net.state_dict().items()}
        save_file(start, folder / "base" / "model.safetensors")
        config = peft.LoraConfig(r=2, target_modules=targets, fan_in_fan_out=transposed, init_lora_weights=False)
        tuned = peft.get_peft_model(net, config)
        tuned.save_pretrained(folder / "adapter")
        expected = tuned.merge_and_unload().state_dict()
        merge_folders([folder / "adapter"], folder / "out", [1.0], base=folder / "base")
        torch.testing.assert_close(read(folder / "out"), dict(expected), rtol=1e-5, atol=1e-6)


def test_diffusers_adapters_keep_their_settings_in_the_header(tmp_path):
    """Written by our denoisers' export, merged, and read back by Diffusers."""
    from diffusers import UNet2DConditionModel
    from peft import LoraConfig

    def network():
        torch.manual_seed(0)
        return UNet2DConditionModel(
            8,
            1,
            1,
            block_out_channels=(32,),
            down_block_types=("CrossAttnDownBlock2D",),
            up_block_types=("CrossAttnUpBlock2D",),
            cross_attention_dim=8,
            layers_per_block=1,
            attention_head_dim=4,
        ).eval()

    def output(folder):
        net = network()
        net.load_lora_adapter(folder, prefix=None, use_safetensors=True)
        draw = torch.Generator().manual_seed(5)
        inputs = torch.randn(1, 1, 8, 8, generator=draw), 3, torch.randn(1, 2, 8, generator=draw)
        layers = {name: module for name, module in net.named_modules() if hasattr(module, "get_delta_weight")}
        return net(*inputs).sample, {name: m.get_delta_weight(m.active_adapters[0]) for name, m in layers.items()}

    for seed, (name, rank) in enumerate((("a", 2), ("b", 3))):
        net = network()
        net.add_adapter(LoraConfig(r=rank, lora_alpha=4, target_modules=["to_q", "to_v"], init_lora_weights=False))
        draw = torch.Generator().manual_seed(seed)
        for key, parameter in net.named_parameters():
            if "lora" in key:
                parameter.data = torch.randn(parameter.shape, generator=draw) / 4
        net.save_lora_adapter(tmp_path / name)
    merge_folders([tmp_path / "a", tmp_path / "b"], tmp_path / "out", [0.25, 0.75])
    (_, first), (_, second), (sample, merged) = (output(tmp_path / name) for name in ("a", "b", "out"))
    expected = {name: 0.25 * first[name] + 0.75 * second[name] for name in first}
    torch.testing.assert_close(merged, expected, rtol=1e-4, atol=1e-5)
    assert sample.isfinite().all()
    file = tmp_path / "b" / "pytorch_lora_weights.safetensors"
    save_file(load_file(file), file)
    with pytest.raises(PrefalignError, match="without it the scale is not known"):
        merge_folders([tmp_path / "b"], tmp_path / "out2", [1.0])


# -------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"base_model_name_or_path": "another"}, "over different bases: base_model_name_or_path is .* 'another'"),
        ({"use_dora": True}, "sets 'use_dora', under which it is more than a product"),
        ({"lora_bias": True}, "sets 'lora_bias'"),
        ({"bias": "all"}, "sets 'bias'"),
        ({"init_lora_weights": "pissa"}, "sets 'init_lora_weights'"),
        ({"something_new": {"a": 1}}, "sets 'something_new'"),
        ({"peft_type": "LOHA"}, "expected an adapter of type LORA, got 'LOHA'"),
        ({"r": 5}, "not of the rank 5 that the config says"),
        ({"lora_alpha": "8"}, "expected numbers for rank and alpha"),
        ({"rank_pattern": {"(": 3}}, "no regular expression"),
    ],
)
def test_adapters_that_are_more_than_a_product_or_of_another_base_are_refused(pair, tmp_path, config, message):
    other = shutil.copytree(pair[0], tmp_path / "other")
    known = json.loads((other / "adapter_config.json").read_text())
    (other / "adapter_config.json").write_text(json.dumps({**known, **config}))
    with pytest.raises(PrefalignError, match=message):
        merge_folders([pair[0], other], tmp_path / "out", [0.5, 0.5])
    assert not (tmp_path / "out").exists()


def test_adapters_over_other_modules_are_refused_by_name(base, pair, tmp_path):
    other = adapter(base, tmp_path / "other", 3, target_modules=["q_proj", "up_proj"])
    with pytest.raises(
        PrefalignError, match=r"has 'model.layers.0.mlp.down_proj.lora_A'.*other has 'model.layers.0.mlp.up"
    ):
        merge_folders([pair[0], other], tmp_path / "out", [0.5, 0.5])


def test_adapters_that_do_not_fit_what_they_are_merged_with_are_refused(base, pair, tmp_path):
    for models, method, start, message in (
        ([pair[0], base], None, None, "is an adapter and .* a whole model; merge one kind"),
        (pair, None, pair[0], "the base .* is an adapter"),
        (pair, Ties(), None, "give the base, and the result is a whole model"),
        (pair, Extrapolate(), None, "extrapolation takes one model, got 2"),
    ):
        with pytest.raises(PrefalignError, match=message):
            merge_folders(models, tmp_path / "out", [0.5, 0.5], method, base=start)
    small = tmp_path / "small"
    shutil.copytree(base, small)
    save_file({"model.norm.weight": torch.ones(32)}, small / "model.safetensors")
    with pytest.raises(
        PrefalignError, match=r"adapts 'model.layers.0.mlp.down_proj.weight'.* which the base .* has not"
    ):
        merge_folders(pair, tmp_path / "out", [0.5, 0.5], base=small)
    turned = {name: t.T.contiguous() if "down_proj" in name else t for name, t in read(base).items()}
    save_file(turned, small / "model.safetensors")
    with pytest.raises(PrefalignError, match=r"differ in the shape of 'model.layers.\d.mlp.down_proj.weight'"):
        merge_folders(pair, tmp_path / "out", [0.5, 0.5], base=small)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, name: t.update({f"{name}.lora_magnitude_vector": torch.ones(1)}), "belongs to no plain LoRA"),
        (lambda t, name: t.pop(f"{name}.lora_B.weight"), "has one factor of two"),
        (lambda t, name: t.update({f"{name}.lora_B.weight": torch.ones(32, 3)}), r"has factors \(32, 3\)"),
    ],
)
def test_files_that_are_no_pairs_of_factors_are_refused(pair, tmp_path, change, message):
    other = shutil.copytree(pair[0], tmp_path / "other")
    tensors = load_file(other / "adapter_model.safetensors")
    change(tensors, next(iter(tensors)).partition(".lora_")[0])
    save_file(tensors, other / "adapter_model.safetensors")
    with pytest.raises(PrefalignError, match=message):
        merge_folders([other], tmp_path / "out", [1.0])
