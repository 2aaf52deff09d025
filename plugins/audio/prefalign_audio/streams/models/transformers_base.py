"""What all stream models of Transformers share: a network that is trained, and frozen parts beside it.

Axes: N rows, K streams, T frames, S steps, P places of a prompt, D width.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from prefalign.functional.fingerprint import fingerprint
from prefalign.interfaces import Media, PrefalignError, unknown_name
from prefalign.models.pretrained import DType, from_pretrained
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import wav_bytes
from prefalign_audio.sound.waveform import Waveform
from prefalign_audio.streams.model import Conditioner, StreamLayout, StreamModel
from prefalign_audio.streams.models.sounds import Fitting


class TransformersStreamModel(StreamModel):
    """A family of Transformers.

    Text encoder and codec are no part of the module tree, so that they are neither trained nor saved in checkpoints,
    and copies (a frozen reference) share them.

    Args:
        model: hub id or folder for `from_pretrained`; or values of the family's config on top of tiny ones, for random
            weights beside tiny frozen parts.
        dtype: of all weights.
        init_seed: of random weights.
        resample: bring sounds of another rate to the codec's before they are encoded; refused otherwise.
        downmix: take the mean of several channels where the model has one; refused otherwise.

    Raises:
        PrefalignError: if there is no such model, it is another family's, or the config has no such values.
    """

    #: Transformers' names of the family: `model_type` of its configs, and the class that reads its folders.
    family: ClassVar[str]
    model_class: ClassVar[str]

    def __init__(
        self,
        model: str | dict[str, Any],
        dtype: DType = "float32",
        init_seed: int = 0,
        resample: bool = False,
        downmix: bool = False,
    ) -> None:
        super().__init__()
        self.source, self.dtype, self.init_seed = model, dtype, init_seed
        self.resample, self.downmix = resample, downmix
        self.config = self._read_config()
        self.layout = self.make_layout()
        self.conditioner = self.make_conditioner()
        #: Modules that are not trained, by name; a mapping, so that torch does not register them.
        self.beside: dict[str, Any] = {}

    @classmethod
    @abstractmethod
    def tiny(cls) -> dict[str, Any]:
        """Values of a config that is built in a moment."""

    @abstractmethod
    def make_layout(self) -> StreamLayout:
        """The layout that the config names."""

    @abstractmethod
    def make_conditioner(self) -> Conditioner:
        """What reads the prompts."""

    @abstractmethod
    def take_apart(self, whole: Any) -> Any:
        """The network of a loaded model; what is frozen goes to `beside`."""

    @abstractmethod
    def whole(self) -> Any:
        """The model as Transformers writes it, put together again around the network as it is."""

    # Weights ---------------------------------------------------------------------------------------------------------

    def _read_config(self) -> Any:
        from transformers import AutoConfig

        if isinstance(self.source, str):
            config = from_pretrained(AutoConfig, self.source)
            if config.model_type != self.family:
                raise PrefalignError(
                    f"{self.source!r} is a model of the family {config.model_type!r}, and {type(self).__name__} reads "
                    f"{self.family!r}; name the stream model of that family"
                )
            return config
        config = AutoConfig.for_model(self.family, **_merged(self.tiny(), self.source))
        _check_names(config, self.source, "model")
        return config

    def configure_model(self) -> None:
        """Load or build the weights; see `StreamModel.configure_model`."""
        import transformers

        if self.network is not None:
            return
        kind = getattr(transformers, self.model_class)
        dtype = self.dtype if self.dtype == "auto" else getattr(torch, self.dtype)
        # Policy and reference, or the two songs of a pair, must meet the same function; dropout would add noise.
        still, kept = copy.deepcopy(self.config), [getattr(part, name) for part, name in _dropouts(self.config)]
        for part, name in _dropouts(still):
            setattr(part, name, 0.0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.init_seed)
            if isinstance(self.source, str):
                loaded = from_pretrained(kind, self.source, config=still, dtype=dtype)
            else:
                loaded = kind(still)
                _fill_codebooks(loaded)
                loaded = loaded if dtype == "auto" else loaded.to(dtype)
            # Layers have read theirs; what is saved states the model's own.
            for (part, name), value in zip(_dropouts(loaded.config), kept, strict=True):
                setattr(part, name, value)
            loaded.requires_grad_(False).eval()
            network = self.take_apart(loaded)
        self.network = network.requires_grad_(True).train()

    @property
    def base(self) -> Any:
        """The network beneath any adapter of peft."""
        network: Any = self.network
        return network.get_base_model() if hasattr(network, "get_base_model") else network

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        found: torch.device = next(self.base.parameters()).device
        return found

    def part(self, name: str) -> Any:
        """A frozen part, on the network's device."""
        part = self.beside[name]
        first = next(part.parameters(), None)
        if first is not None and first.device != self.device:
            part.to(self.device)
        return part

    def save_pretrained(self, folder: Path) -> None:
        """Write the whole model as Transformers reads it, or the adapter alone as peft does."""
        network: Any = self.network
        (network if network is not self.base else self.whole()).save_pretrained(folder)

    def __deepcopy__(self, memo: dict[int, Any]) -> TransformersStreamModel:
        memo[id(self.beside)] = self.beside
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        return made

    # Sounds ----------------------------------------------------------------------------------------------------------

    #: Channels of the model's sounds.
    channels: int = 1

    def codec(self) -> Any:
        """The model of sounds, on the network's device."""
        return self.part("codec")

    @property
    @abstractmethod
    def rate(self) -> int:
        """Sample rate of the codec, in Hz."""

    @property
    def fitting(self) -> Fitting:
        """How sounds are brought to the codec."""
        return Fitting(self.rate, self.channels, self.resample, self.downmix)

    @abstractmethod
    def sound_to_codes(self, samples: Tensor) -> Tensor:
        """(K, T) codes of (channels, samples) at the codec's rate."""

    @abstractmethod
    def codes_to_sound(self, codes: Tensor) -> Tensor:
        """(channels, samples) of the codes (K, T)."""

    @torch.no_grad()
    def encode(self, media: Media) -> np.ndarray:
        """(K, T) int64 codes of a sound.

        Raises:
            SoundError: for a sound that cannot be read, has another rate or other channels than the model, or is longer
                or shorter than its codec reads.
        """
        sound = self.fitting.read(media)
        codes = self.sound_to_codes(sound.samples.to(self.device))
        if len(codes) != self.layout.pattern.streams or not codes.shape[1]:
            raise SoundError(
                f"the codec made codes of shape {tuple(codes.shape)} of {sound.seconds:.3f} s; expected "
                f"({self.layout.pattern.streams}, frames) with at least one frame"
            )
        found: np.ndarray = codes.cpu().numpy().astype(np.int64)
        return found

    @torch.no_grad()
    def decode(self, codes: Tensor) -> tuple[Media, ...]:
        """One WAV file of the codes (K, T)."""
        samples = self.codes_to_sound(codes.to(self.device)).float().cpu()
        return (Media(kind="audio", data=wav_bytes(Waveform(samples.contiguous(), self.rate))),)

    def codec_fingerprint(self) -> str:
        """A hash of the codec's weights and of how sounds are fitted to it."""
        parts = (self.family, self.layout.codes, self.fitting, fingerprint(self.codec()))
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def cache_argument(module: nn.Module, cache: Any) -> dict[str, Any]:
    """The cache under the name that the module's `forward` gives it: Transformers 5.24 renamed it."""
    return {"cache" if "cache" in inspect.signature(module.forward).parameters else "past_key_values": cache}


def packed(prefix: Tensor, lengths: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (N, S, D) directly behind prefixes (N, P, D) of `lengths` (N,): (N, P + S, D), and (N, S) where they stand.

    A short prefix is not padded: what is left over stands behind the row, where causal attention never looks, so that
    every place has the number that it has alone.
    """
    places = lengths[:, None] + torch.arange(rows.shape[1], device=rows.device)
    room = torch.cat([prefix, prefix.new_zeros(rows.shape)], dim=1)
    return room.scatter(1, places[..., None].expand_as(rows), rows.to(room.dtype)), places


def at_places(states: Tensor, places: Tensor) -> Tensor:
    """(N, S, D) the states (N, L, D) at places (N, S)."""
    return states.gather(1, places[..., None].expand(-1, -1, states.shape[-1]))


def _merged(small: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The small values with the given ones on top, mapping by mapping."""
    both = {
        name: _merged(small[name], value) if isinstance(value, dict) and isinstance(small.get(name), dict) else value
        for name, value in given.items()
    }
    return {**small, **both}


def _dropouts(config: Any) -> list[tuple[Any, str]]:
    """The values of a config and of its parts that say how much is dropped, each as the part and its name."""
    from transformers import PreTrainedConfig

    parts = [config, *(value for value in vars(config).values() if isinstance(value, PreTrainedConfig))]
    names = ("dropout", "attention_dropout", "activation_dropout", "layerdrop")
    return [(part, name) for part in parts for name in names if hasattr(part, name)]


def _check_names(config: Any, given: Mapping[str, Any], place: str) -> None:
    from transformers import PreTrainedConfig

    known = {*type(config)().to_dict(), *config.attribute_map, "model_type"}
    for name, value in given.items():
        if name not in known:
            raise unknown_name(f"value of {place}", name, known)
        part = getattr(config, name)
        if isinstance(value, dict) and isinstance(part, PreTrainedConfig):
            _check_names(part, value, f"{place}.{name}")


def _fill_codebooks(model: nn.Module) -> None:
    """Give the codebooks of a tiny codec random entries: Transformers leaves them at 0, and all sounds would be one."""
    for name, buffer in model.named_buffers():
        if name.endswith(("codebook.embed", "codebook.embed_sum")):
            buffer.normal_(0.0, 0.1)
