"""Low-rank adapters on networks that are no Transformers models, such as Diffusers' denoisers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from prefalign.interfaces import PrefalignError
from prefalign.models.pretrained import LoraSettings

#: Diffusers' name for the file of an adapter.
ADAPTER_FILE = "pytorch_lora_weights.safetensors"


def add_network_adapter(network: Any, settings: LoraSettings, init_seed: int) -> None:
    """Put an adapter into the network, of which only the adapter is trained from then on.

    Raises:
        PrefalignError: for `modules_to_save`, which adapters of denoisers do not carry.
    """
    import peft

    values = asdict(settings)
    if values.pop("modules_to_save"):
        raise PrefalignError("lora.modules_to_save is not supported for denoisers: their adapter files hold no layers")
    if values["target_modules"] == "all-linear":
        values["target_modules"] = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    config = peft.LoraConfig(lora_alpha=values.pop("alpha"), lora_dropout=values.pop("dropout"), **values)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(init_seed)
        network.requires_grad_(False)
        if hasattr(network, "add_adapter"):
            network.add_adapter(config)
        else:
            peft.inject_adapter_in_model(config, network)


@contextlib.contextmanager
def adapters_disabled(network: nn.Module) -> Iterator[None]:
    """The network without its adapter's contribution."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [layer for layer in network.modules() if isinstance(layer, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def save_network_adapter(network: Any, folder: Path) -> None:
    """Write the adapter for `load_lora_adapter` of Diffusers, or for peft where the network is none of Diffusers'."""
    if hasattr(network, "save_lora_adapter"):
        network.save_lora_adapter(folder)
        return
    import peft

    save_file(peft.get_peft_model_state_dict(network), folder / ADAPTER_FILE)
