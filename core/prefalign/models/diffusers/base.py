"""What all denoisers of Diffusers share: a pipeline, of which the network is trained and the rest is frozen."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from prefalign.interfaces import PrefalignError, Prompt
from prefalign.models.adapters import ADAPTER_FILE
from prefalign.models.condition import Condition
from prefalign.models.denoiser import Denoiser
from prefalign.models.pretrained import from_pretrained


class DiffusersDenoiser(Denoiser):
    """A network of Diffusers, and the pipeline that it comes in.

    The pipeline encodes prompts and media and brings the scheduler; it is no part of the module tree, so that its
    frozen parts are neither trained nor saved, and copies share it. Its own reference to the network is never used.

    Args:
        model: hub id or folder of a pipeline; or values of the network's config, for random weights beside tiny frozen
            parts. Values that are not given make the network tiny.
        dtype: of all weights.
        init_seed: seed of random weights.
        steps, guidance: usual number of sampling steps and scale of guidance; the family's if None.
        network_weights: folder or hub id of a network, or of an adapter for it, that stands in the place of the
            pipeline's: what an earlier run exported, to go on from there. An adapter is merged.
    """

    #: Class of the pipeline in Diffusers, and the name of the network in it.
    pipeline_class: ClassVar[str]
    network_name: ClassVar[str] = "transformer"
    #: Further options of the pipeline's `from_pretrained`.
    load_options: ClassVar[Mapping[str, Any]] = {}
    shared = ("pipeline",)

    def __init__(
        self,
        model: str | dict[str, Any],
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        init_seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        network_weights: str | None = None,
    ) -> None:
        super().__init__()
        self.model, self.dtype, self.init_seed, self.network_weights = model, dtype, init_seed, network_weights
        self.steps = self.steps if steps is None else steps
        self.guidance = self.guidance if guidance is None else guidance
        self.pipeline: Any = None

    @abstractmethod
    def tiny(self, config: dict[str, Any]) -> Any:
        """A pipeline with random weights, whose network has this config on top of small values."""

    @abstractmethod
    def configure_path(self) -> None:
        """Set `path` as the loaded scheduler and network want it, and check what the constructor was told."""

    def load(self, source: str) -> Any:
        """The pipeline of a hub id or folder.

        Raises:
            PrefalignError: if there is none, or it is another family's.
        """
        import diffusers

        options = {"dtype": getattr(torch, self.dtype), **self.load_options}
        return from_pretrained(getattr(diffusers, self.pipeline_class), source, **options)

    def configure_model(self) -> None:
        """Load or build the pipeline, freeze all of it but the network, and read the noise path off it.

        Raises:
            PrefalignError: if there is no such pipeline, or the network's config has no such values.
        """
        if self.network is not None:
            return
        if isinstance(self.model, str):
            pipeline = self.load(self.model)
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.init_seed)
                pipeline = self.tiny(dict(self.model))
            if self.dtype != "float32":
                pipeline.to(getattr(torch, self.dtype))
        if self.network_weights is not None:
            take_weights(getattr(pipeline, self.network_name), self.network_weights)
        for part in pipeline.components.values():
            if isinstance(part, nn.Module):
                part.requires_grad_(False).eval()
        self.pipeline = pipeline
        self.network = getattr(pipeline, self.network_name).requires_grad_(True)
        self.scheduler = pipeline.scheduler
        self.configure_path()

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        found: torch.device = next(self.network.parameters()).device
        return found

    def frozen_parts(self) -> list[nn.Module]:
        """All models of the pipeline but the network, by name."""
        parts = sorted(self.pipeline.components.items())
        return [part for name, part in parts if name != self.network_name and isinstance(part, nn.Module)]

    def ready(self) -> Any:
        """The pipeline, with its frozen parts on the network's device."""
        for part in self.frozen_parts():
            first = next(part.parameters(), None)
            if first is not None and first.device != self.device:
                part.to(self.device)
        return self.pipeline

    def predict(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """(N, …) predictions; the condition's names are the network's arguments."""
        return self.call(noisy, time, condition.arguments())

    def call(self, noisy: Tensor, time: Tensor, arguments: Mapping[str, Any]) -> Tensor:
        """The network's answer, whatever precision it and the arguments have. Times stay as exact as they come."""
        dtype = self.network.dtype
        cast = {
            name: value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
            for name, value in arguments.items()
        }
        predicted: Tensor = self.network(noisy.to(dtype), timestep=time, **cast, return_dict=False)[0]
        return predicted


def take_weights(network: Any, source: str) -> None:
    """Give a network of Diffusers the weights of another of its kind, or merge an adapter that was trained on it.

    Raises:
        PrefalignError: for a source that is neither, or does not fit.
    """
    if not (Path(source) / ADAPTER_FILE).is_file():
        found = from_pretrained(type(network), source, use_safetensors=True)
        try:
            network.load_state_dict(found.state_dict())
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise PrefalignError(f"network_weights: {source!r} is no network of this size: {reason}") from error
    elif hasattr(network, "load_lora_adapter"):
        network.load_lora_adapter(source, prefix=None, use_safetensors=True)
        network.fuse_lora()
        network.unload_lora()
    else:
        raise PrefalignError(
            f"network_weights: {type(network).__name__} of Diffusers reads no adapters; merge {source!r} into "
            "a network and name its folder"
        )


def texts(prompts: Sequence[Prompt]) -> list[str]:
    """The prompts' plain texts.

    Raises:
        PrefalignError: for a conversational prompt, or one without text.
    """
    found = []
    for prompt in prompts:
        if prompt.text is None:
            kind = "chat turns" if prompt.messages else "no text"
            raise PrefalignError(
                f"a denoiser is conditioned on a prompt's plain text, but this one has {kind}: {prompt}"
            )
        found.append(prompt.text)
    return found


def small_config(network_class: Any, small: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Small values of a network's config with the given ones on top.

    Raises:
        PrefalignError: for a name that the config has not.
    """
    import difflib
    import inspect

    names = list(inspect.signature(network_class.__init__).parameters)[1:]
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, 3)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; expected some of {', '.join(names)}"
            raise PrefalignError(f"model: the config of {network_class.__name__} has no {name!r}{hint}")
    return {**small, **given}


def repeated(condition: Condition, count: int) -> Condition:
    """The condition of one sample, `count` times."""
    return Condition(
        {name: value.expand(count, *value.shape[1:]) for name, value in condition.tensors.items()}, condition.constants
    )


def dynamic_shift(scheduler: Any, tokens: int) -> float:
    """The shift mu of a flow scheduler's levels for sequences of `tokens`, linear in their number.

    Larger pictures drown in noise later (arXiv 2403.03206, section 5.3.2); Diffusers' pipelines interpolate the
    logarithm of the shift between two lengths that the scheduler's config names.
    """
    config = scheduler.config
    low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    first, last = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    return float(first + (last - first) * (tokens - low) / (high - low))
