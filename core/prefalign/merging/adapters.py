"""Low-rank adapters: W + s B A. What is merged is their products, never their factors.

Σ w_i B_i A_i is not (Σ w_i B_i)(Σ w_i A_i): the second has cross terms B_i A_j between adapters that never met. The sum
itself is a low-rank product again, of stacked factors, with rank Σ r_i: [w_1 s_1 B_1 … w_M s_M B_M] [A_1; …; A_M].
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign.merging.checkpoint import DIFFUSERS_ADAPTER, PEFT_CONFIG, Checkpoint, read_json
from prefalign.merging.coefficients import Coefficients
from prefalign.merging.layout import Entry, check_layouts, some
from prefalign.merging.methods import Interpolate
from prefalign.merging.states import merge_tensor, same_bits

METADATA = "lora_adapter_metadata"  # under which Diffusers puts the config into the file's header

_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(\.weight)?")
_PREFIX = "base_model.model."

# Settings under which the product of the factors, times the scale, is all that an adapter does; or that do not matter.
_HARMLESS = frozenset(
    {"alpha_pattern", "auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "exclude_modules"}
    | {"fan_in_fan_out", "inference_mode", "layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout"}
    | {"megatron_core", "modules_to_save", "peft_type", "peft_version", "qalora_group_size", "r", "rank_pattern"}
    | {"revision", "target_modules", "task_type", "use_rslora"}
)
# These start from factors that leave the base as it is; others, such as pissa, subtract them from it first.
_INITIAL = (None, True, False, "gaussian", "orthogonal", "eva")


class Factors(NamedTuple):
    """The two factors of one module: their names, s and whether they belong to an embedding."""

    a: str
    b: str
    scale: float
    embedding: bool


@dataclass(frozen=True)
class Adapter:
    """An adapter that can be merged.

    Attributes:
        checkpoint: its folder.
        config: peft's settings.
        factors: by module, named as in the base.
        whole: tensors saved whole (`modules_to_save`): name in the base to name in the file.
        copies: weights of the base that peft saved along with adapted embeddings, in the same way.
    """

    checkpoint: Checkpoint
    config: dict[str, Any]
    factors: dict[str, Factors]
    whole: dict[str, str]
    copies: dict[str, str]

    def delta(self, module: str) -> Tensor:
        """s B A of a module in float32, in the layout of its weight."""
        names = self.factors[module]
        a, b = (self.checkpoint.read(name).float() for name in (names.a, names.b))
        product = names.scale * (b.flatten(1) @ a.flatten(1))
        if names.embedding or self.config.get("fan_in_fan_out"):
            return product.T
        return product.reshape(b.shape[0], *a.shape[1:])


def open_adapter(checkpoint: Checkpoint) -> Adapter:
    """Read an adapter's config and find its factors.

    Raises:
        PrefalignError: for an adapter that is no plain LoRA (with or without rank-stabilised scale), or whose file and
            config disagree.
    """
    title, file = checkpoint.title, next(iter(checkpoint.files.values()))
    if DIFFUSERS_ADAPTER in checkpoint.files:
        if METADATA not in file.metadata:
            raise PrefalignError(f"{file.path}: its header has no {METADATA}, and without it the scale is not known")
        config = json.loads(file.metadata[METADATA])
    else:
        config = read_json(checkpoint.folder / PEFT_CONFIG)
    if config.get("peft_type") != "LORA":
        raise PrefalignError(f"{title}: expected an adapter of type LORA, got {config.get('peft_type')!r}")
    unknown = [key for key, value in config.items() if value and key not in {*_HARMLESS, "bias", "init_lora_weights"}]
    if config.get("bias", "none") != "none":
        unknown.append("bias")
    if config.get("init_lora_weights") not in _INITIAL:
        unknown.append("init_lora_weights")
    if unknown:
        raise PrefalignError(
            f"{title}: the adapter sets {some(unknown)}, under which it is more than a product of two factors; "
            "merge it into its base with peft's merge_and_unload, and merge whole models"
        )
    found: dict[str, dict[str, tuple[str, bool]]] = {}
    whole, copies = {}, {}
    for name in checkpoint.layout:
        match = _FACTOR.fullmatch(name)
        if match:
            module = match["module"].removeprefix(_PREFIX)
            found.setdefault(module, {})[match["side"]] = (name, bool(match["embedding"]))
        elif ".lora_" in name:
            raise PrefalignError(f"{title}: {name!r} belongs to no plain LoRA, and cannot be merged")
        elif ".base_layer." in name:
            copies[name.removeprefix(_PREFIX).replace(".base_layer.", ".")] = name
        else:
            whole[name.removeprefix(_PREFIX)] = name
    factors = {}
    for module, sides in found.items():
        if sides.keys() != {"A", "B"}:
            raise PrefalignError(f"{title}: the module {module!r} has one factor of two")
        (a, embedding), (b, _) = sides["A"], sides["B"]
        rank = checkpoint.layout[a].shape[0]
        stated = _pattern(config.get("rank_pattern"), module, config.get("r"), title)
        if checkpoint.layout[b].shape[1] != rank or stated != rank:
            raise PrefalignError(
                f"{title}: {module!r} has factors {checkpoint.layout[b].shape} and {checkpoint.layout[a].shape}, which "
                f"are not of the rank {stated} that the config says"
            )
        alpha = _pattern(config.get("alpha_pattern"), module, config.get("lora_alpha"), title)
        # Rank-stabilised LoRA (arXiv 2312.03732) divides by the root.
        factors[module] = Factors(a, b, alpha / (math.sqrt(rank) if config.get("use_rslora") else rank), embedding)
    return Adapter(checkpoint, config, factors, whole, copies)


def check_adapters(adapters: Sequence[Adapter]) -> None:
    """Compare adapters with the first.

    Raises:
        PrefalignError: for different bases, target modules, shapes beside the rank, or dtypes.
    """
    first = adapters[0]
    titles = [adapter.checkpoint.title for adapter in adapters]
    for adapter in adapters[1:]:
        for key in ("base_model_name_or_path", "revision", "fan_in_fan_out"):
            one, other = first.config.get(key), adapter.config.get(key)
            if one != other and (one or other):
                raise PrefalignError(
                    f"{titles[0]} and {adapter.checkpoint.title} are adapters over different bases: {key} is "
                    f"{one!r} in one and {other!r} in the other"
                )
    check_layouts([_modules(adapter) for adapter in adapters], titles)


def stack(adapters: Sequence[Adapter], share: Coefficients) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The merge of the products as one adapter of the summed rank: its tensors and its config.

    Weights and scales are folded into B, so that the scale becomes 1. Layers saved whole are interpolated.

    Args:
        adapters: M checked ones.
        share: (M,) weights; a module's own are looked up under the name of its weight in the base.

    Raises:
        PrefalignError: where layers saved whole meet weights whose sum is not 1.
    """
    first = adapters[0]
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for module, names in first.factors.items():
        parts_a, parts_b = [], []
        for adapter, weight in zip(adapters, share.of(weight_name(module)), strict=True):
            own = adapter.factors[module]
            parts_a.append(adapter.checkpoint.read(own.a))
            b = adapter.checkpoint.read(own.b)
            parts_b.append((weight * own.scale * b.float()).to(b.dtype))
        tensors[names.a], tensors[names.b] = torch.cat(parts_a, 0), torch.cat(parts_b, 1)
        ranks[module] = len(tensors[names.a])
        if not tensors[names.b].isfinite().all():
            raise PrefalignError(f"{names.b!r} has NaN or infinity after merging")
    for name in first.whole:
        read = [adapter.checkpoint.read(adapter.whole[name]) for adapter in adapters]
        Coefficients(share.of(name)).check(len(adapters), [name], convex=True)
        tensors[first.whole[name]] = merge_tensor(name, read, None, share.of(name), Interpolate())
    for name, own_name in first.copies.items():
        tensors[own_name] = first.checkpoint.read(own_name)
        for adapter in adapters[1:]:
            _check_copy(name, tensors[own_name], adapter, first.checkpoint.title)
    rank = Counter(ranks.values()).most_common(1)[0][0] if ranks else first.config["r"]
    # Anchored: peft also takes a pattern for the end of a longer name.
    other = {f"^{re.escape(module)}": own for module, own in ranks.items() if own != rank}
    changed = {"r": rank, "lora_alpha": rank, "use_rslora": False, "rank_pattern": other, "alpha_pattern": dict(other)}
    return tensors, {**first.config, **changed, "init_lora_weights": True, "inference_mode": True}


class Adapted:
    """A base with an adapter on it, read tensor by tensor; what the adapter touches comes in float32.

    Raises:
        PrefalignError: for modules that the base does not have, or whose weight has another shape.
    """

    def __init__(self, base: Checkpoint, adapter: Adapter) -> None:
        self.base, self.adapter = base, adapter
        self.title = adapter.checkpoint.title
        self.layout = base.layout
        self._module = {weight_name(module): module for module in adapter.factors}
        lost = [name for name in (*self._module, *adapter.whole) if name not in base.layout]
        if lost:
            raise PrefalignError(f"{self.title} adapts {some(lost)}, which the base {base.title} has not")

    def read(self, name: str) -> Tensor:
        """One tensor."""
        if name in self.adapter.whole:
            return self.adapter.checkpoint.read(self.adapter.whole[name]).to(self.layout[name].dtype)
        weight = self.base.read(name)
        if name in self.adapter.copies:
            _check_copy(name, weight, self.adapter, self.base.title)
        if name not in self._module:
            return weight
        delta = self.adapter.delta(self._module[name])
        if delta.shape != weight.shape:
            shapes = f"{tuple(delta.shape)} and {tuple(weight.shape)}"
            raise PrefalignError(
                f"{self.title} and the base {self.base.title} differ in the shape of {name!r}: {shapes}"
            )
        return weight.float() + delta


def weight_name(module: str) -> str:
    """What an adapted module's weight is called in the base."""
    return f"{module}.weight"


def _modules(adapter: Adapter) -> dict[str, Entry]:
    """What adapters must have in common: all but the rank."""
    layout, made = adapter.checkpoint.layout, {}
    for module, names in adapter.factors.items():
        a, b = layout[names.a], layout[names.b]
        made[f"{module}.lora_A"] = Entry(a.dtype, a.shape[1:])
        made[f"{module}.lora_B"] = Entry(b.dtype, (b.shape[0], *b.shape[2:]))
    return {**made, **{name: layout[own] for name, own in {**adapter.whole, **adapter.copies}.items()}}


def _check_copy(name: str, weight: Tensor, adapter: Adapter, title: str) -> None:
    """Refuse an adapter whose copy of a base's weight is not the weight."""
    copy = adapter.checkpoint.read(adapter.copies[name])
    if Entry(copy.dtype, copy.shape) != Entry(weight.dtype, weight.shape) or not same_bits(copy, weight):
        raise PrefalignError(f"{adapter.checkpoint.title} was trained over another {name!r} than that of {title}")


def _pattern(patterns: Mapping[str, Any] | None, module: str, default: Any, title: str) -> float:
    """A module's value, by the rule with which peft reads patterns: the first that fits the end of the name."""
    try:
        value = next((v for k, v in (patterns or {}).items() if re.match(rf"(.*\.)?({k})$", module)), default)
    except re.error as error:
        raise PrefalignError(f"{title}: a pattern of its config is no regular expression: {error}") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PrefalignError(f"{title}: expected numbers for rank and alpha of {module!r}, got {value!r}")
    return value
