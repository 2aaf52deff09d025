"""The networks: caches that change nothing, causality, saving, sizes."""

import pytest
import torch

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.models.attention import Rotary, rotate
from prefalign_mesh3d.models.generator import MeshGenerator, MeshGeneratorConfig, parameters_of
from prefalign_mesh3d.models.points import PointEncoder

LLAMA = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 8,
}
GPT2 = {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 8}
POINTS = {"latents": 3, "width": 16, "heads": 2, "layers": 1, "frequencies": 2, "out_width": 12}
FAMILIES = {
    "plain": {"depths": [2]},
    "hourglass": {"depths": [1, 2, 1]},
    "two levels": {"depths": [1, 1, 1, 1, 1]},
    "llama": {"backbone": LLAMA},
    "gpt2": {"backbone": GPT2},
}


def build(family: str) -> MeshGenerator:
    torch.manual_seed(0)
    sizes = {"vocab_size": 20, "width": 16, "heads": 2, "inner": 32, "points": POINTS}
    return MeshGenerator(MeshGeneratorConfig(**sizes, **FAMILIES[family])).double().eval()


def inputs(length: int = 23) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 20, (3, length), generator=generator)
    return tokens, torch.randn(3, 8, 6, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("start", [0, 18])
@pytest.mark.parametrize("ahead", [1, 2, 9, 10])
def test_steps_with_a_cache_give_what_the_whole_window_gives(family: str, start: int, ahead: int) -> None:
    model, (tokens, points) = build(family), inputs()
    condition = model.condition(points)
    whole = model.hidden(tokens, condition, start)
    cache = model.cache(tokens.shape[1])
    parts = [model.hidden(tokens[:, :ahead], condition, start, cache)]
    for position in range(ahead, tokens.shape[1]):
        parts.append(model.hidden(tokens[:, position : position + 1], condition, start, cache))
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cache_goes_on_with_the_sequences_that_are_left(family: str) -> None:
    model, (tokens, points) = build(family), inputs()
    condition = model.condition(points)
    kept = torch.tensor([0, 2])
    cache = model.cache(tokens.shape[1])
    model.hidden(tokens[:, :7], condition, 0, cache)
    cache.keep(kept)
    for position in range(7, 12):
        out = model.hidden(tokens[kept, position : position + 1], condition[kept], 0, cache)
    torch.testing.assert_close(out[:, 0], model.hidden(tokens, condition)[kept, 11], rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_position_sees_a_later_one_and_all_see_earlier_ones(family: str) -> None:
    model, (tokens, points) = build(family), inputs()
    changed = tokens.clone()
    changed[:, 13] = (changed[:, 13] + 1) % 20
    condition = model.condition(points)
    moved = (model.hidden(changed, condition) - model.hidden(tokens, condition)).abs().amax((0, 2))
    assert moved[:13].max() < 1e-14
    assert moved[13:].min() > 1e-9


@pytest.mark.parametrize("family", FAMILIES)
def test_every_position_sees_the_cloud(family: str) -> None:
    model, (tokens, points) = build(family), inputs()
    moved = (model(tokens, points.flip(0)) - model(tokens, points))[0].abs().amax(-1)
    assert moved.min() > 1e-9


def test_tokens_know_their_absolute_place_only_by_their_distances() -> None:
    model, (tokens, points) = build("two levels"), inputs()
    condition = model.condition(points)
    # Rotary positions are relative, so a window that begins elsewhere gives the same.
    torch.testing.assert_close(model.hidden(tokens, condition, 27), model.hidden(tokens, condition), rtol=0, atol=1e-12)


def test_rotary_turns_pairs_by_the_position_over_the_base() -> None:
    cos, sin = Rotary(4, 100.0)(3, 2, torch.zeros(1, dtype=torch.float64))
    x = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64).view(1, 1, 1, 4)
    turned = rotate(x.expand(1, 1, 2, 4), (cos, sin))[0, 0]
    # Dimension 0 turns with 2 by the position, dimension 1 with 3 by a tenth of it (100^-1/2).
    for row, position in enumerate((3.0, 4.0)):
        angles = torch.tensor([position, position / 10], dtype=torch.float64)
        torch.testing.assert_close(turned[row], torch.cat([angles.cos(), angles.sin()]))


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_and_loaded_it_is_the_same_model(family: str, tmp_path) -> None:
    model, (tokens, points) = build(family), inputs()
    model.save_pretrained(tmp_path)
    assert {"config.json", "model.safetensors"} <= {file.name for file in tmp_path.iterdir()}
    again = MeshGenerator.from_pretrained(tmp_path, dtype=torch.float64)
    torch.testing.assert_close(again(tokens, points), model(tokens, points), rtol=0, atol=1e-12)


def test_recomputing_blocks_changes_no_gradient() -> None:
    tokens, points = inputs()
    gradients = []
    for recompute in (False, True):
        model = build("hourglass").train()
        if recompute:
            getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)(
                {"use_reentrant": False}
            )
        model(tokens, points).square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-12, atol=1e-12)


def test_the_encoder_does_not_care_for_the_order_of_points() -> None:
    torch.manual_seed(0)
    encoder = PointEncoder(**POINTS).double()
    _, points = inputs()
    out = encoder(points)
    assert out.shape == (3, 4, 12)
    torch.testing.assert_close(encoder(points[:, torch.randperm(8)]), out, rtol=0, atol=1e-12)


def test_positions_become_sines_of_doubling_frequency() -> None:
    encoder = PointEncoder(**POINTS).double()
    found = encoder.features(torch.tensor([[0.5, 0.0, -1.0]], dtype=torch.float64))[0]
    angles = torch.tensor([0.5, 1.0, 0.0, 0.0, -1.0, -2.0], dtype=torch.float64)
    expected = torch.cat([torch.tensor([0.5, 0.0, -1.0], dtype=torch.float64), angles.sin(), angles.cos()])
    torch.testing.assert_close(found, expected)


def test_the_default_sizes_are_those_of_the_published_layout() -> None:
    # 21 blocks of 8 D² for attention and cross-attention plus 3 · D · 4 D of the gated layer, D = 1280; the keys and
    # values of the condition come from 1024 dimensions.
    width, source = 1280, 1024
    attention = 4 * width**2 + 2 * width**2 + 2 * width * source
    norms = 3 * width
    block = attention + 12 * width**2 + norms
    resampling = 2 * (3 * width**2 + 3 * width**2)
    found = parameters_of(MeshGeneratorConfig())
    assert found["decoder"] == 21 * block + resampling
    assert found["embedding"] == found["head"] == 4738 * width


@pytest.mark.parametrize(
    ("change", "said"),
    [({"depths": [2, 2]}, "odd number of levels"), ({"depths": [1, 0, 1]}, "at least one"), ({"width": 18}, "heads")],
)
def test_sizes_that_do_not_fit_are_refused(change: dict, said: str) -> None:
    sizes = {"vocab_size": 20, "width": 16, "heads": 4, "inner": 32, "depths": [1], "points": POINTS}
    with pytest.raises(PrefalignError, match=said):
        MeshGenerator(MeshGeneratorConfig(**{**sizes, **change}))
