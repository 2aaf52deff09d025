"""The models of a TangoFlux checkpoint, which is no Diffusers pipeline: built from a config, filled from its files."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prefalign.interfaces import PrefalignError
from prefalign.models.pretrained import from_pretrained

CONFIG, WEIGHTS, AUTOENCODER = "config.json", "tangoflux.safetensors", "vae.safetensors"

#: The original's values of the network's config where the file does not give them.
NETWORK = {
    "num_layers": 6,
    "num_single_layers": 18,
    "in_channels": 64,
    "attention_head_dim": 128,
    "num_attention_heads": 8,
    "joint_attention_dim": 1024,
}

#: Beginnings of the names in the file of weights, and the part each belongs to; the misspelling is the original's.
PREFIXES = {
    "transformer.": "transformer",
    "text_encoder.": "text_encoder",
    "fc.": "projection",
    "duration_emebdder.": "duration_embedder",
}

#: What checkpoints of the original's preference training hold besides: that run's frozen reference.
IGNORED = "ref_transformer."


@dataclass
class TangoFluxParts:
    """All parts of the model, which stand where other families have a pipeline.

    Attributes:
        transformer: Flux's network.
        text_encoder, tokenizer: of FLAN-T5, whose states are D wide.
        projection: D to D, of the mean text state.
        duration_embedder: (N,) seconds to (N, 1, D).
        vae: Stable Audio's autoencoder.
        scheduler: of the flow.
        frames: of every latent.
        max_seconds: length of the sounds that latents stand for, and the longest that can be told.
    """

    transformer: Any
    text_encoder: Any
    tokenizer: Any
    projection: nn.Module
    duration_embedder: nn.Module
    vae: Any
    scheduler: Any
    frames: int
    max_seconds: float

    @property
    def components(self) -> dict[str, Any]:
        """The parts by name, as Diffusers' pipelines give theirs."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to(self, dtype: torch.dtype) -> None:
        """Convert all weights."""
        for part in self.components.values():
            if isinstance(part, nn.Module):
                part.to(dtype=dtype)


def built(
    network: Mapping[str, Any],
    autoencoder: Mapping[str, Any],
    text_encoder: Any,
    tokenizer: Any,
    frames: int,
    max_seconds: float,
) -> TangoFluxParts:
    """Parts with random weights around a text encoder; the two mappings are values of configs."""
    from diffusers import AutoencoderOobleck, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
    from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioNumberConditioner

    width = text_encoder.config.d_model
    return TangoFluxParts(
        transformer=FluxTransformer2DModel(**{**network, "pooled_projection_dim": width, "guidance_embeds": False}),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        projection=nn.Sequential(nn.Linear(width, network["joint_attention_dim"]), nn.ReLU()),
        duration_embedder=StableAudioNumberConditioner(width, 0, max_seconds),
        vae=AutoencoderOobleck(**autoencoder),
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000),
        frames=frames,
        max_seconds=max_seconds,
    )


def loaded(source: str, text_encoder: str | None) -> TangoFluxParts:
    """The parts of a folder or hub repository with `config.json`, `tangoflux.safetensors` and `vae.safetensors`.

    The autoencoder is Stable Audio's, unless the config brings values of another one's under `vae`.

    Args:
        source: the folder or repository.
        text_encoder: folder or hub id of the text encoder's config and tokenizer, which checkpoints lack although they
            hold its weights; the one that the checkpoint's config names if None.

    Raises:
        PrefalignError: for files that are missing, cannot be read or do not fit together.
    """
    from diffusers import FluxTransformer2DModel
    from transformers import AutoConfig, AutoTokenizer, T5EncoderModel

    config = _config(source)
    name = text_encoder or config.get("text_encoder_name", "google/flan-t5-large")
    tokenizer, encoder_config = from_pretrained(AutoTokenizer, name), from_pretrained(AutoConfig, name)
    known = inspect.signature(FluxTransformer2DModel.__init__).parameters
    network = {**NETWORK, **{key: value for key, value in config.items() if key in known}}
    # The random weights that the files replace are not to move the run's own random numbers.
    with torch.random.fork_rng(devices=[]):
        parts = built(
            network,
            config.get("vae", {}),
            T5EncoderModel(encoder_config),
            tokenizer,
            config.get("audio_seq_len", 645),
            config.get("max_duration", 30),
        )
    for part, weights in _sorted(source, _weights(source, WEIGHTS)).items():
        _fill(getattr(parts, part), weights, f"{source}: {part}")
    _fill(parts.vae, _weights(source, AUTOENCODER), f"{source}: {AUTOENCODER}")
    return parts


def _config(source: str) -> dict[str, Any]:
    text = _file(source, CONFIG).read_text(encoding="utf-8")
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise PrefalignError(f"{source}: {CONFIG} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise PrefalignError(f"{source}: expected {CONFIG} to hold a mapping, got {type(found).__name__}")
    return found


def _file(source: str, name: str) -> Path:
    from transformers.utils import cached_file

    if source.startswith((".", "/", "~")) and not Path(source).is_dir():
        raise PrefalignError(f"there is no model folder {source!r}; expected a folder with {CONFIG}, or a hub id")
    try:
        return Path(cached_file(source, name))
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        expected = f"expected {CONFIG}, {WEIGHTS} and {AUTOENCODER}, as in declare-lab/TangoFlux"
        raise PrefalignError(f"TangoFlux cannot load {source!r}: {first} ({expected})") from error


def _weights(source: str, name: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(_file(source, name))
    except SafetensorError as error:
        raise PrefalignError(f"{source}: {name} cannot be read: {error}") from error


def _sorted(source: str, weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The weights of each part, by the part's own names."""
    found: dict[str, dict[str, Tensor]] = {part: {} for part in PREFIXES.values()}
    for name, value in weights.items():
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
        if prefix is not None:
            found[PREFIXES[prefix]][name.removeprefix(prefix)] = value
        elif not name.startswith(IGNORED):
            expected = ", ".join(PREFIXES)
            raise PrefalignError(f"{source}: {WEIGHTS} has {name!r}; expected names that begin with {expected}")
    return found


def _fill(module: nn.Module, weights: dict[str, Tensor], place: str) -> None:
    """Load all weights; a tied one may stand in the file under either name."""
    places: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        places.setdefault(id(parameter), []).append(name)
    tied = {name: names for names in places.values() for name in names}
    try:
        missing, unknown = module.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise PrefalignError(f"{place}: the weights have other shapes than the config says: {error}") from error
    missing = [name for name in missing if not any(other in weights for other in tied.get(name, ()))]
    if missing or unknown:
        problem = f"misses {missing[0]!r}" if missing else f"has {unknown[0]!r}, which the config knows nothing of"
        raise PrefalignError(f"{place}: the file {problem} ({len(missing)} missing, {len(unknown)} unknown)")
