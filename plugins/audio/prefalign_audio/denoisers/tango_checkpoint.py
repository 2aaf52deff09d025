"""Checkpoints of Tango's own layout: three files of configs, and weights under AudioLDM's names.

`main_config.json` names the text encoder, the scheduler and the U-Net's config; `vae_config.json` has AudioLDM's values
of the autoencoder, and `stft_config.json` those of the front end. `pytorch_model_main.bin` holds the weights of U-Net
and text encoder, `pytorch_model_vae.bin` those of autoencoder and vocoder.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor, nn

from prefalign.interfaces import PrefalignError
from prefalign.models.pretrained import from_pretrained
from prefalign_audio.denoisers.mel import HIGHEST, RATE, WINDOW

CONFIG, AUTOENCODER_CONFIG, STFT_CONFIG = "main_config.json", "vae_config.json", "stft_config.json"
WEIGHTS, AUTOENCODER_WEIGHTS = "pytorch_model_main.bin", "pytorch_model_vae.bin"

#: Steps and prediction of Stable Diffusion 2.1, which Tango's configs name and which need not be fetched for this.
STABLE_DIFFUSION_2_1 = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "prediction_type": "v_prediction",
    "steps_offset": 1,
}

#: Stable Diffusion 2's U-Net over eight channels: what Tango's configs call by a path in its repository of code.
UNET = {
    "sample_size": (32, 2),
    "in_channels": 8,
    "out_channels": 8,
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
    "upcast_attention": True,
}
UNETS = {
    "diffusion_model_config.json": UNET,
    "diffusion_model_xl_config.json": {**UNET, "cross_attention_dim": 2048},
}

#: AudioLDM's HiFi-GAN for 16 kHz, of which only the widths can be read off the weights.
VOCODER = {
    "sampling_rate": RATE,
    "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [16, 16, 8, 4, 4],
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
    "normalize_before": False,
}


def is_checkpoint(source: str) -> bool:
    """Whether a folder or hub repository has this layout."""
    return _file(source, CONFIG) is not None


def read_checkpoint(source: str, text_encoder: str | None = None) -> Any:
    """The pipeline of a folder or hub repository.

    Args:
        source: the folder or repository.
        text_encoder: folder or hub id of the text encoder's config and tokenizer; what the config names if None.

    Raises:
        PrefalignError: for files that are missing, cannot be read safely or do not fit together; and for a U-Net that
            was made of Stable Diffusion's, with layers around it, which no denoiser here has.
    """
    from diffusers import UNet2DConditionModel
    from transformers import AutoConfig, AutoTokenizer, T5EncoderModel

    from prefalign_audio.denoisers.tango_pipeline import TangoPipeline

    config = _json(source, CONFIG)
    if config.get("unet_model_name"):
        raise PrefalignError(
            f"{source}: a U-Net on top of {config['unet_model_name']!r} is not supported; expected one with a "
            "unet_model_config_path"
        )
    name = text_encoder or config.get("text_encoder_name", "google/flan-t5-large")
    tokenizer, encoder_config = from_pretrained(AutoTokenizer, name), from_pretrained(AutoConfig, name)
    if encoder_config.model_type != "t5":
        raise PrefalignError(f"{source}: expected a text encoder of the kind t5, got {encoder_config.model_type!r}")
    _check_front_end(source)
    # The random weights that the files replace are not to move the run's own random numbers.
    with torch.random.fork_rng(devices=[]):
        encoder = T5EncoderModel(encoder_config)
        with torch.device("meta"):  # its weights are the file's own, and need not be made first
            unet = UNet2DConditionModel.from_config(_unet_config(source, config.get("unet_model_config_path")))
        weights = _weights(source, WEIGHTS)
        _fill(unet, _below(weights, "unet."), f"{source}: unet in {WEIGHTS}", assign=True)
        _fill(encoder, _below(weights, "text_encoder."), f"{source}: text_encoder in {WEIGHTS}")
        vae, vocoder = _autoencoder(source)
    return TangoPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=_scheduler(config.get("scheduler_name", "stabilityai/stable-diffusion-2-1")),
        vocoder=vocoder,
    )


def _scheduler(name: str) -> Any:
    from diffusers import DDPMScheduler

    if name == "stabilityai/stable-diffusion-2-1":
        return DDPMScheduler(**STABLE_DIFFUSION_2_1)
    return from_pretrained(DDPMScheduler, name, subfolder="scheduler")


def _unet_config(source: str, path: str | None) -> dict[str, Any]:
    wanted = PurePosixPath(path or "diffusion_model_config.json")
    for place in (wanted, PurePosixPath(wanted.name)):
        if not place.is_absolute() and ".." not in place.parts and _file(source, str(place)):
            return _json(source, str(place))
    if wanted.name not in UNETS:
        raise PrefalignError(
            f"{source}: {CONFIG} names the U-Net's config {path!r}, which is not there; expected a file of the "
            f"checkpoint, {' or '.join(UNETS)}"
        )
    return dict(UNETS[wanted.name])


def _check_front_end(source: str) -> None:
    found = _json(source, STFT_CONFIG)
    expected = {
        "filter_length": WINDOW,
        "win_length": WINDOW,
        "hop_length": 160,
        "sampling_rate": RATE,
        "mel_fmin": 0,
        "mel_fmax": HIGHEST,
    }
    for name, value in expected.items():
        if found.get(name, value) != value:
            raise PrefalignError(f"{source}: {STFT_CONFIG}: expected {name} {value:g}, got {found[name]}")


def _autoencoder(source: str) -> tuple[Any, Any]:
    """Autoencoder and vocoder, renamed from AudioLDM's modules to those of Diffusers and Transformers."""
    from diffusers import AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    weights = _weights(source, AUTOENCODER_WEIGHTS)
    heard = {name.replace("ups.", "upsampler.", 1): value for name, value in _below(weights, "vocoder.").items()}
    if "conv_pre.weight" not in heard:
        raise PrefalignError(f"{source}: {AUTOENCODER_WEIGHTS} has no vocoder.conv_pre.weight")
    width, bands = heard["conv_pre.weight"].shape[:2]
    vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(**VOCODER, upsample_initial_channel=width, model_in_dim=bands))
    heard.update({name: vocoder.state_dict()[name] for name in ("mean", "scale")})  # unused, and not in the file
    _fill(vocoder, heard, f"{source}: vocoder in {AUTOENCODER_WEIGHTS}")
    config = _autoencoder_config(source)
    vae = AutoencoderKL(**config)
    ours = {name: value for name, value in weights.items() if not name.startswith("vocoder.")}
    _fill(vae, convert_ldm_vae_checkpoint(ours, config), f"{source}: {AUTOENCODER_WEIGHTS}")
    return vae, vocoder


def _autoencoder_config(source: str) -> dict[str, Any]:
    """Diffusers' values of the autoencoder."""
    config = _json(source, AUTOENCODER_CONFIG)
    try:
        inner = config["ddconfig"]
        multiples: list[int] = inner["ch_mult"]
        found = {
            "in_channels": inner["in_channels"],
            "out_channels": inner["out_ch"],
            "down_block_types": ("DownEncoderBlock2D",) * len(multiples),
            "up_block_types": ("UpDecoderBlock2D",) * len(multiples),
            "block_out_channels": tuple(inner["ch"] * multiple for multiple in multiples),
            "latent_channels": inner["z_channels"],
            "layers_per_block": inner["num_res_blocks"],
            "sample_size": inner["resolution"],
            "scaling_factor": float(config["scale_factor"]),
        }
    except KeyError as error:
        raise PrefalignError(f"{source}: {AUTOENCODER_CONFIG} has no {error}; expected AudioLDM's values") from error
    if inner.get("attn_resolutions") or config.get("embed_dim") != inner["z_channels"]:
        problem = f"attn_resolutions {inner.get('attn_resolutions')}, embed_dim {config.get('embed_dim')}"
        expected = f"expected no attn_resolutions, and embed_dim {inner['z_channels']} (z_channels)"
        raise PrefalignError(f"{source}: {AUTOENCODER_CONFIG}: {expected}; got {problem}")
    return found


# Files ---------------------------------------------------------------------------------------------------------------


def _file(source: str, name: str) -> Path | None:
    """Where the file is, or None if there is none."""
    from transformers.utils import cached_file

    try:
        found = cached_file(source, name)
    except (OSError, ValueError):
        return None
    return None if found is None else Path(found)


def _found(source: str, name: str) -> Path:
    path = _file(source, name)
    if path is None:
        raise PrefalignError(f"{source}: {name} is missing; a checkpoint like declare-lab/tango has it beside {CONFIG}")
    return path


def _json(source: str, name: str) -> dict[str, Any]:
    try:
        found = json.loads(_found(source, name).read_text(encoding="utf-8"))
    except ValueError as error:
        raise PrefalignError(f"{source}: {name} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise PrefalignError(f"{source}: expected {name} to hold a mapping, got {type(found).__name__}")
    return found


def _weights(source: str, name: str) -> dict[str, Tensor]:
    """The tensors of a file, in float32, read by torch's reader that runs nothing."""
    try:
        found = torch.load(_found(source, name), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        first = str(error).strip().splitlines()[0]
        raise PrefalignError(f"{source}: {name} cannot be read as weights and nothing else: {first}") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise PrefalignError(f"{source}: expected {name} to hold tensors by name")
    return {key: value.float() if value.is_floating_point() else value for key, value in found.items()}


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _fill(module: nn.Module, weights: dict[str, Tensor], place: str, assign: bool = False) -> None:
    """Load all weights; one of T5's two names for its tied embeddings is enough."""
    try:
        missing, unknown = module.load_state_dict(weights, strict=False, assign=assign)
    except RuntimeError as error:
        raise PrefalignError(f"{place}: the weights have other shapes than the config says: {error}") from error
    tied = {"shared.weight", "encoder.embed_tokens.weight"}
    lost = [name for name in missing if not (name in tied and tied & weights.keys())]
    if lost or unknown:
        problem = f"misses {lost[0]!r}" if lost else f"has {unknown[0]!r}, which the config knows nothing of"
        raise PrefalignError(f"{place}: the file {problem} ({len(lost)} missing, {len(unknown)} unknown)")
