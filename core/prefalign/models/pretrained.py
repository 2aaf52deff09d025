"""Loading a Transformers model, from pretrained or from random weights, and choosing what of it is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from prefalign.interfaces import PrefalignError

DType = Literal["float32", "bfloat16", "float16", "auto"]


@dataclass
class LoraSettings:
    """A low-rank adapter through peft.

    Attributes:
        r: rank.
        alpha: scale; the update is multiplied by alpha / r.
        dropout: dropout on the adapter's input. Above 0 the policy and its reference see different noise.
        target_modules: names of the layers to adapt; `all-linear` adapts every linear layer but the head.
        modules_to_save: further layers that are trained whole and saved with the adapter.
        use_dora, use_rslora: the variants of the same names in peft.
    """

    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    target_modules: str | list[str] = "all-linear"
    modules_to_save: list[str] | None = None
    use_dora: bool = False
    use_rslora: bool = False


def from_pretrained(auto: Any, name: str, **options: Any) -> Any:
    """`auto.from_pretrained(name)` of a Transformers Auto class, with an error that says what is not there.

    Raises:
        PrefalignError: for a folder that does not exist, a hub repository that cannot be had, or files that are none of
            this kind.
    """
    if name.startswith((".", "/", "~")) and not Path(name).is_dir():
        raise PrefalignError(f"there is no model folder {name!r}; expected a folder with config.json, or a hub id")
    try:
        return auto.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        # Transformers says what went wrong with hub or folder in one of the two, in several lines.
        first = str(error).strip().splitlines()[0]
        raise PrefalignError(f"{auto.__name__} cannot load {name!r}: {first}") from error


def load_network(
    auto_class: str,
    source: str | dict[str, Any],
    *,
    dtype: DType = "float32",
    attn_implementation: str | None = None,
    init_seed: int = 0,
    hub: Mapping[str, Any] | None = None,
    config_fields: Mapping[str, Any] | None = None,
) -> Any:
    """A Transformers model in training mode, without dropout.

    Args:
        auto_class: the Auto class that knows the family, such as `AutoModelForCausalLM`.
        source: id or folder for `from_pretrained`, or a config as a mapping for random weights.
        dtype: dtype of the weights.
        attn_implementation: as in Transformers; its own choice if None.
        init_seed: seed of the weights that the source does not bring.
        hub: revision and trust_remote_code, for `from_pretrained`.
        config_fields: values that replace those of the source's config.
    """
    import transformers

    auto = getattr(transformers, auto_class)
    options: dict[str, Any] = {"dtype": dtype if dtype == "auto" else getattr(torch, dtype)}
    if attn_implementation:
        options["attn_implementation"] = attn_implementation
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(init_seed)
        if isinstance(source, dict):
            settings = {**source, **(config_fields or {})}
            config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
            model = auto.from_config(config, **options)
        else:
            model = from_pretrained(auto, source, **options, **(hub or {}), **(config_fields or {}))
    for module in model.modules():
        # Policy and reference, or the two responses of a pair, must see the same function; dropout would add noise.
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model.train()  # from_pretrained gives eval mode, under which gradient checkpointing does nothing
    return model


def choose_trained(model: Any, frozen: Iterable[str], gradient_checkpointing: bool) -> None:
    """Freeze the parameters whose names contain one of the words; set up recomputation of activations."""
    for name, parameter in model.named_parameters():
        if any(word in name for word in frozen):
            parameter.requires_grad_(False)
    if gradient_checkpointing:
        # Transformers renamed it in 5.24 and warns of the old name.
        enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
        enable({"use_reentrant": False})


def add_adapter(
    model: Any, settings: LoraSettings, task_type: str, init_seed: int, gradient_checkpointing: bool
) -> Any:
    """The model with an adapter on it, of which only the adapter (and `modules_to_save`) is trained."""
    import peft

    values = asdict(settings)
    config = peft.LoraConfig(
        lora_alpha=values.pop("alpha"), lora_dropout=values.pop("dropout"), task_type=task_type, **values
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(init_seed)
        model = peft.get_peft_model(model, config)
    if gradient_checkpointing:
        model.enable_input_require_grads()
    return model
