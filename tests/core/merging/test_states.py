"""Formulas against hand-derived numbers, what theory gives, bits that must survive, and what is refused."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prefalign.interfaces import PrefalignError
from prefalign.merging import (
    Dare,
    Interpolate,
    TaskArithmetic,
    Ties,
    extrapolate,
    interpolate,
    loaded,
    merge,
    task_arithmetic,
)


def state(*values: float, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    return {"w": torch.tensor(values, dtype=dtype)}


def random_states(count: int, dtype: torch.dtype = torch.float32) -> list[dict[str, torch.Tensor]]:
    draw = torch.Generator().manual_seed(1)
    return [
        {"a.weight": torch.randn(3, 4, generator=draw).to(dtype), "b.bias": torch.randn(5, generator=draw).to(dtype)}
        for _ in range(count)
    ]


def bits(tensor: torch.Tensor) -> list[int]:
    return tensor.contiguous().flatten().view(torch.uint8).tolist()


# ------------------------------------------------------------------------------------------------------------ formulas


def test_interpolation_by_hand():
    """0.5 (1, 2) + 0.25 (3, 6) + 0.25 (5, −2) = (2.5, 2)."""
    merged = interpolate([state(1, 2), state(3, 6), state(5, -2)], [0.5, 0.25, 0.25])
    assert merged["w"].tolist() == [2.5, 2.0]


def test_task_arithmetic_by_hand():
    """(1, 1) + 2 ((2, 1) − (1, 1)) − 0.5 ((1, 5) − (1, 1)) = (3, −1)."""
    merged = task_arithmetic(state(1, 1), [state(2, 1), state(1, 5)], [2, -0.5])
    assert merged["w"].tolist() == [3.0, -1.0]


def test_extrapolation_by_hand():
    """(2, 3) + 0.5 ((2, 3) − (1, 5)) = (2.5, 2)."""
    assert extrapolate(state(1, 5), state(2, 3), 0.5)["w"].tolist() == [2.5, 2.0]


def test_ties_by_hand():
    """The worked case: base 0, task vectors (4, −1, 0.1, 3) and (−2, −3, 0.2, 5), density 0.7, weights 1/2 each.

    0.7 of four entries are three: trimming takes 0.1 and 0.2 away. The sums are (2, −4, 0, 8): signs + − 0 +. Entry 0
    averages 4 alone, entry 1 averages −1 and −3, entry 3 averages 3 and 5.
    """
    merged = merge([state(4, -1, 0.1, 3), state(-2, -3, 0.2, 5)], [0.5, 0.5], Ties(0.7), base=state(0, 0, 0, 0))
    assert merged["w"].tolist() == [4.0, -2.0, 0.0, 4.0]


def test_ties_weighs_the_mean_and_scales_it_by_the_sum():
    """Both agree: (3 · 2 + 1 · 6) / (3 + 1) = 3, times the sum of weights 4, on a base of 10."""
    assert merge([state(12), state(16)], [3, 1], Ties(1.0), base=state(10))["w"].tolist() == [22.0]


def test_ties_elects_the_sign_by_weight():
    """3 · 1 − 1 · 2 is above 0, so that 1 stays alone, times the sum of weights 4; equal weights elect −2."""
    models, base = [state(1), state(-2)], state(0)
    assert merge(models, [3, 1], Ties(1.0), base=base)["w"].tolist() == [4.0]
    assert merge(models, [1, 1], Ties(1.0), base=base)["w"].tolist() == [-4.0]


def test_ties_keeps_a_single_whole_task_vector():
    model, base = random_states(2)
    merged = merge([model], [0.5], Ties(1.0), base=base)
    torch.testing.assert_close(merged["a.weight"], base["a.weight"] + 0.5 * (model["a.weight"] - base["a.weight"]))


def test_dare_drops_the_share_it_says_and_keeps_the_mean():
    """Of 40,000 entries of delta 1 a quarter stays, worth 4 each: the mean stays 1 within five standard errors."""
    size = 40_000
    merged = merge([state(*[1.0] * size)], [1.0], Dare(0.25, seed=3), base=state(*[0.0] * size))["w"]
    assert set(merged.tolist()) == {0.0, 4.0}
    assert abs(merged.mean().item() - 1) < 5 * math.sqrt(3 / size)


def test_dare_is_seeded_and_draws_anew_for_every_tensor_and_model():
    size = 64
    ones, zeros = torch.ones(size), torch.zeros(size)
    base, model = {"a": zeros, "b": zeros.clone()}, {"a": ones, "b": ones.clone()}
    once = merge([model, base], [1, 1], Dare(0.5, seed=1), base=base)
    again = merge([model, base], [1, 1], Dare(0.5, seed=1), base=base)
    other = merge([model, base], [1, 1], Dare(0.5, seed=2), base=base)
    swapped = merge([base, model], [1, 1], Dare(0.5, seed=1), base=base)
    assert torch.equal(once["a"], again["a"])
    assert not torch.equal(once["a"], once["b"])
    assert not torch.equal(once["a"], other["a"])
    assert not torch.equal(once["a"], swapped["a"])


@given(
    st.lists(st.floats(-3, 3), min_size=2, max_size=4),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_reductions(weights, dtype):
    """Of sum 1, task arithmetic is interpolation; DARE that drops nothing is task arithmetic; α is one weight more."""
    models = random_states(len(weights) + 1, dtype)
    base = models.pop()
    tolerance = {"rtol": 1e-4, "atol": 1e-4}
    arithmetic = task_arithmetic(base, models, weights)
    torch.testing.assert_close(merge(models, weights, Dare(1.0), base=base), arithmetic, **tolerance)
    rest = 1 - sum(weights)
    torch.testing.assert_close(interpolate([*models, base], [*weights, rest]), arithmetic, **tolerance)
    torch.testing.assert_close(
        extrapolate(base, models[0], weights[0]), task_arithmetic(base, models[:1], [1 + weights[0]]), **tolerance
    )


def test_sums_are_formed_in_float32():
    """256 + 1 + 1 + 1 = 259, which rounds to 260; rounded to bfloat16 after every term it stays 256."""
    models = [state(256, dtype=torch.bfloat16), *[state(2, dtype=torch.bfloat16)] * 3]
    merged = merge(models, [1, 0.5, 0.5, 0.5], Interpolate(convex=False))["w"]
    assert merged.dtype == torch.bfloat16
    assert merged.item() == torch.tensor(259.0).bfloat16().item() == 260.0


def test_float64_is_not_rounded_to_float32():
    merged = interpolate([state(1 + 2**-40, dtype=torch.float64), state(1, dtype=torch.float64)], [0.5, 0.5])["w"]
    assert merged.item() == 1 + 2**-41


# ---------------------------------------------------------------------------------------------------------------- bits


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_one_model_comes_back_bit_for_bit(dtype):
    models = random_states(3, dtype)
    models[0]["b.bias"][:3] = torch.tensor([-0.0, 1e-7, 6.1e-5]).to(dtype)  # subnormal in float16
    models[1]["b.bias"][0] = math.inf  # of weight 0, so it does no harm
    merged = interpolate(models, [1, 0, 0])
    assert {name: bits(tensor) for name, tensor in merged.items()} == {n: bits(t) for n, t in models[0].items()}
    assert bits(extrapolate(models[2], models[0], 0.0)["b.bias"]) == bits(models[0]["b.bias"])


def test_what_is_equal_everywhere_is_kept_as_it_is():
    """A third of 0.1 three times is not 0.1 in float32, and infinities of a mask stay."""
    frozen = {"f": torch.tensor([0.1, 0.7, -0.0]), "mask": torch.tensor([0.0, -math.inf])}
    models = [{**frozen, "w": torch.tensor([float(i)])} for i in range(3)]
    merged = interpolate(models, [1 / 3] * 3)
    assert bits(merged["f"]) == bits(frozen["f"])
    assert bits(merged["mask"]) == bits(frozen["mask"])
    assert merged["w"].item() == pytest.approx(1)
    assert bits(task_arithmetic(models[0], models[1:], [5, -7])["f"]) == bits(frozen["f"])


def test_weights_of_another_sum_scale_equal_tensors_too():
    assert interpolate([state(1), state(1)], [1, 1], any_sum=True)["w"].item() == 2


def test_results_share_no_memory_with_the_models():
    models = random_states(2)
    for merged in (
        interpolate(models, [1, 0]),
        extrapolate(models[1], models[0], 0),
        interpolate(models[:1] * 2, [1, 0]),
    ):
        merged["b.bias"].fill_(9)
    assert not any((one["b.bias"] == 9).any() for one in models)


def test_tied_tensors_stay_tied():
    models = []
    for value in (1.0, 3.0):
        shared = torch.full((2, 2), value)
        models.append({"embed": shared, "head": shared, "bias": torch.zeros(2)})
    merged = interpolate(models, [0.5, 0.5])
    assert merged["embed"] is merged["head"]
    assert list(merged) == ["embed", "head", "bias"]
    models[1]["head"] = models[1]["head"].clone()  # stored twice, still equal
    assert interpolate(models, [0.5, 0.5])["embed"].tolist() == [[2.0, 2.0], [2.0, 2.0]]
    with pytest.raises(PrefalignError, match="'embed', 'head' are one tensor"):
        interpolate(models, [0.5, 0.5], modules={"head": [1, 0]})
    models[1]["head"] += 1
    with pytest.raises(PrefalignError, match="differ in model 2"):
        interpolate(models, [0.5, 0.5])


# ------------------------------------------------------------------------------------------------------------- modules


def test_the_first_pattern_that_matches_takes_a_tensor():
    """`layers.1` is no beginning of `layers.10`; a glob crosses dots."""
    names = ["layers.1.w", "layers.10.w", "head.w", "head.norm.b"]
    models = [{name: torch.tensor([float(i)]) for name in names} for i in range(2)]
    merged = interpolate(models, [0.5, 0.5], modules={"layers.1": [1, 0], "*.b": [0.25, 0.75], "head": [0, 1]})
    assert {name: tensor.item() for name, tensor in merged.items()} == {
        "layers.1.w": 0.0,
        "layers.10.w": 0.5,
        "head.w": 1.0,
        "head.norm.b": 0.75,
    }


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"layer.1": [1, 0]}, "unknown module pattern 'layer.1'; did you mean 'layers.1'"),
        ({"layers.*": [1, 0], "layers.1": [0, 1]}, "'layers.1' takes no tensor: earlier patterns"),
        ({"layers.1": [1, 0, 0]}, "weights of 'layers.1': expected 2"),
        ({"layers.1": [0.5, 0.6]}, r"weights of 'layers.1': expected a sum of 1, got 1\.1"),
        ({"layers.1": [math.nan, 1]}, "weights of 'layers.1': expected finite"),
    ],
)
def test_patterns_that_do_not_fit_are_refused(modules, message):
    models = [{"layers.1.w": torch.zeros(1), "head.w": torch.zeros(1)}] * 2
    with pytest.raises(PrefalignError, match=message):
        interpolate(models, [0.5, 0.5], modules=modules)


# ------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"a": torch.zeros(2, 3)}, "model 1 has 'b', which model 2 has not"),
        (
            {"a": torch.zeros(2, 3), "b": torch.zeros(1), **{f"x{i}": torch.zeros(1) for i in range(5)}},
            "model 2 has 'x0', 'x1', 'x2' and 2 more, which model 1 has not",
        ),
        ({"a": torch.zeros(2, 4), "b": torch.zeros(1)}, r"'a' is \(2, 3\) in model 1 and \(2, 4\) in model 2"),
        ({"a": torch.zeros(2, 3).half(), "b": torch.zeros(1)}, "'a' is float32 in model 1 and float16 in model 2"),
        ({"a": torch.zeros(2, 3), "b": "state"}, "model 2: 'b' is a str"),
    ],
)
def test_models_that_differ_are_refused_by_name(other, message):
    with pytest.raises(PrefalignError, match=message):
        interpolate([{"a": torch.zeros(2, 3), "b": torch.zeros(1)}, other], [0.5, 0.5])


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float8_e4m3fn])
def test_what_cannot_be_averaged_must_be_equal(dtype):
    one, other = torch.tensor([1, 0]).to(dtype), torch.tensor([1, 1]).to(dtype)
    assert bits(interpolate([{"steps": one}, {"steps": one.clone()}], [0.5, 0.5])["steps"]) == bits(one)
    with pytest.raises(PrefalignError, match=r"'steps' holds .* which cannot be mixed"):
        interpolate([{"steps": one}, {"steps": other}], [0.5, 0.5])


def test_results_that_are_not_finite_are_refused_by_name():
    with pytest.raises(PrefalignError, match=r"'w' has NaN or infinity .* an input is not finite"):
        interpolate([state(1, math.nan), state(1, 2)], [0.5, 0.5])
    large = state(60000, dtype=torch.float16)
    with pytest.raises(PrefalignError, match=r"'w' has NaN or infinity .* does not fit torch.float16"):
        task_arithmetic(state(0, dtype=torch.float16), [large], [2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interpolate([], []), "nothing to merge"),
        (lambda: interpolate([state(1), state(2)], [1, 1]), "expected a sum of 1, got 2"),
        (lambda: interpolate([state(1), state(2)], [1]), "expected 2, one for each model, got 1"),
        (lambda: merge([state(1)], [1], TaskArithmetic()), "TaskArithmetic needs the base"),
        (lambda: merge([state(1), state(2)], [-1, 2], Ties(), base=state(0)), "at least 0"),
        (lambda: Ties(0), "density above 0 and at most 1, got 0"),
        (lambda: Dare(1.5), "density above 0 and at most 1, got 1.5"),
    ],
)
def test_calls_that_cannot_work_are_refused(call, message):
    with pytest.raises(PrefalignError, match=message):
        call()


# -------------------------------------------------------------------------------------------------------------- loaded


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(4, 3), nn.Linear(3, 4, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("step", torch.tensor(7))


def test_a_module_holds_the_merge_inside_the_block_and_itself_afterwards():
    module = Tied()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    models = [{name: t + i if t.is_floating_point() else t for name, t in before.items()} for i in (1, 3)]
    parameter = module.embed.weight

    def use(inside: nn.Module) -> None:
        assert inside is module
        torch.testing.assert_close(module.head.weight.detach(), before["head.weight"] + 2)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), loaded(module, models, [0.5, 0.5]) as inside:
        use(inside)
    assert module.embed.weight is parameter is module.head.weight
    assert all(bits(t) == bits(before[name]) for name, t in module.state_dict().items())


def test_a_module_refuses_a_merge_that_is_not_its_own():
    module = Tied()
    kept = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with (
        pytest.raises(PrefalignError, match="the module has 'step', which the merge has not"),
        loaded(module, [{k: v for k, v in kept.items() if k != "step"}], [1]),
    ):
        pass
    apart = {**kept, "head.weight": kept["head.weight"] + 1}
    with pytest.raises(PrefalignError, match="are one tensor in the module"), loaded(module, [apart], [1]):
        pass
    assert all(bits(t) == bits(kept[name]) for name, t in module.state_dict().items())
