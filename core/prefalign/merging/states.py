"""State dicts in, a state dict out; and a module that holds a merge for as long as a block lasts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from prefalign.interfaces import PrefalignError
from prefalign.merging.coefficients import Coefficients, coefficients, sums_to_one
from prefalign.merging.layout import check_layouts, layout_of, some
from prefalign.merging.methods import Extrapolate, Interpolate, Method, TaskArithmetic

State = Mapping[str, Tensor]
Weights = Coefficients | Sequence[float]
Modules = Mapping[str, Sequence[float]]

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def interpolate(
    models: Sequence[State], weights: Weights, *, modules: Modules | None = None, any_sum: bool = False
) -> dict[str, Tensor]:
    """Σ w_i θ_i: between several models trained from one base.

    Args:
        models: M state dicts of the same names, shapes and dtypes.
        weights: (M,), of sum 1.
        modules: other weights by name pattern; see `Coefficients`.
        any_sum: allow another sum, which scales the weights themselves.

    Raises:
        PrefalignError: see `merge`.
    """
    return merge(models, weights, Interpolate(convex=not any_sum), modules=modules)


def task_arithmetic(
    base: State, models: Sequence[State], weights: Weights, *, modules: Modules | None = None
) -> dict[str, Tensor]:
    """θ_0 + Σ w_i (θ_i − θ_0): what several trainings changed, added up; negative weights take it away.

    Raises:
        PrefalignError: see `merge`.
    """
    return merge(models, weights, TaskArithmetic(), base=base, modules=modules)


def extrapolate(
    base: State, model: State, alpha: float, *, modules: Mapping[str, float] | None = None
) -> dict[str, Tensor]:
    """θ_1 + α (θ_1 − θ_0): beyond an aligned model, away from the one that its alignment started from.

    Args:
        base: the model before its alignment.
        model: the model after it.
        alpha: 0 for the aligned model itself.
        modules: other values of alpha by name pattern.

    Raises:
        PrefalignError: see `merge`.
    """
    return merge([model], [alpha], Extrapolate(), base=base, modules={k: [v] for k, v in (modules or {}).items()})


def merge(
    models: Sequence[State],
    weights: Weights,
    method: Method,
    *,
    base: State | None = None,
    modules: Modules | None = None,
    titles: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """Merge state dicts by any method.

    Floating-point tensors are computed in float32 (float64 ones in float64) and keep their dtype. A tensor that is the
    same, bit for bit, in all models and the base is kept as it is. Names that share their memory in the models share it
    in the result, whose tensors are new.

    Args:
        models: M state dicts of the same names, shapes and dtypes.
        weights: (M,).
        method: the formula.
        base: the model that the others were trained from, for methods that need it.
        modules: other weights by name pattern; see `Coefficients`.
        titles: how messages call the models; "model 1", "model 2", … if not given.

    Raises:
        PrefalignError: for models that differ in names, shapes, dtypes or shared tensors; for integer, boolean or
            quantised tensors that are not equal; for weights that do not fit; for a result that is not finite.
    """
    if not models:
        raise PrefalignError("there is nothing to merge: expected at least one model")
    share = coefficients(weights, modules)
    called = [*(titles or [f"model {number + 1}" for number in range(len(models))])]
    states = [*models]
    if method.needs_base:
        if base is None:
            raise PrefalignError(f"{type(method).__name__} needs the base that the models were trained from")
        states, called = [*states, base], [*called, "the base"]
    check_layouts([layout_of(state, title) for state, title in zip(states, called, strict=True)], called)
    share.check(len(models), models[0], method.convex)
    result: dict[str, Tensor] = {}
    for names in _tied(states, called):
        check_tied_weights(names, share)
        tensors = [state[names[0]].detach() for state in states]
        start = tensors.pop() if method.needs_base else None
        merged = merge_tensor(names[0], tensors, start, share.of(names[0]), method)
        if any(merged is one for one in (*tensors, start)):
            merged = merged.clone()
        result.update(dict.fromkeys(names, merged))
    return {name: result[name] for name in models[0]}


def merge_tensor(
    name: str,
    models: Sequence[Tensor],
    base: Tensor | None,
    weights: Sequence[float],
    method: Method,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """One tensor of a merge; where nothing is to be computed, the first model's own.

    Args:
        name, models, base, weights: see `Method`; tensors as they are stored.
        method: the formula.
        dtype: of the result; that of the models if None.

    Raises:
        PrefalignError: as `merge`.
    """
    first, dtype = models[0], dtype or models[0].dtype
    others = [*models[1:], *([] if base is None else [base])]
    equal = all(same_bits(first, other) for other in others)
    if not first.is_floating_point() or first.element_size() == 1:
        if not equal:
            raise PrefalignError(
                f"{name!r} holds {str(first.dtype).removeprefix('torch.')} numbers, which cannot be mixed, and differs "
                "between the models; make it equal in all of them"
            )
        return first
    # Frozen parts stay what they are, where a sum of thirds would move their last digit; masks may hold infinities.
    if equal and first.dtype == dtype and (base is not None or sums_to_one(weights)):
        return first
    precision = torch.promote_types(first.dtype, torch.float32)
    lifted = [model.to(first.device, precision) for model in models]
    start = None if base is None else base.to(first.device, precision)
    merged = method(name, lifted, start, weights).to(dtype)
    if not merged.isfinite().all():
        broken = any(not one.isfinite().all() for one in (first, *others))
        why = "an input is not finite there" if broken else f"the result does not fit {dtype}"
        raise PrefalignError(f"{name!r} has NaN or infinity after merging with weights {tuple(weights)}: {why}")
    return merged


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one dtype and shape are equal bit for bit: −0.0 is not 0.0, and NaN equals itself."""
    if one.dtype.is_complex:
        one, other = torch.view_as_real(one.resolve_conj()), torch.view_as_real(other.resolve_conj())
    bits = _BITS[one.element_size()]
    return torch.equal(one.contiguous().view(bits), other.to(one.device).contiguous().view(bits))


def check_tied_weights(names: Sequence[str], share: Coefficients) -> None:
    """Refuse different weights for names of one tensor.

    Raises:
        PrefalignError: naming them.
    """
    if len({share.of(name) for name in names}) > 1:
        raise PrefalignError(f"{some(names)} are one tensor, and the module patterns give them different weights")


@contextmanager
def loaded(
    module: nn.Module,
    models: Sequence[State],
    weights: Weights,
    *,
    method: Method | None = None,
    base: State | None = None,
    modules: Modules | None = None,
) -> Iterator[nn.Module]:
    """The module with merged weights while the block lasts, with its own again afterwards, bit for bit.

    Weights are written in place, so that parameters keep their identity; a search reads the files once.

    Args:
        module: whose `state_dict` has the names of the models.
        models, weights, base, modules: see `merge`.
        method: interpolation if not given.

    Raises:
        PrefalignError: see `merge`; also for a module of other names or shapes, or one that shares what differs.
    """
    own = module.state_dict()
    merged = merge(models, weights, method or Interpolate(), base=base, modules=modules)
    check_layouts([layout_of(own, "the module"), layout_of(merged, "the merge")], ["the module", "the merge"])
    for names in _memory(own).values():
        if any(not same_bits(merged[names[0]], merged[name]) for name in names[1:]):
            raise PrefalignError(f"{some(names)} are one tensor in the module, and differ in the merge")
    kept = {name: value.clone() for name, value in own.items()}
    try:
        _write(own, merged)
        yield module
    finally:
        _write(own, kept)


@torch.no_grad()
def _write(targets: State, values: State) -> None:
    for name, target in targets.items():
        target.copy_(values[name])


def _tied(states: Sequence[State], titles: Sequence[str]) -> list[tuple[str, ...]]:
    """Names in groups that are one tensor each.

    What is tied in one model and stored twice, equal, in another counts as tied.
    """
    ties = [set(_memory(state).values()) for state in states]
    groups = set().union(*ties)
    if len({name for names in groups for name in names}) < sum(map(len, groups)):
        raise PrefalignError(f"the models tie different tensors to one another: {some(map(str, sorted(groups)))}")
    for names in groups:
        for state, title in zip(states, titles, strict=True):
            if any(not same_bits(state[names[0]], state[name]) for name in names[1:]):
                raise PrefalignError(f"{some(names)} are one tensor in another model, and differ in {title}")
    tied = {name for names in groups for name in names}
    return sorted(groups) + [(name,) for name in states[0] if name not in tied]


def _memory(state: State) -> dict[object, tuple[str, ...]]:
    """Names of two tensors and more that are the same memory, by what identifies it."""
    found = defaultdict(list)
    for name, tensor in state.items():
        if tensor.numel():
            found[tensor.data_ptr(), tensor.device, tensor.shape, tensor.stride()].append(name)
    return {key: tuple(names) for key, names in found.items() if len(names) > 1}
