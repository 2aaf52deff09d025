"""The demonstration's model family: rectified flow over the latents of two-second clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from prefalign.functional.levels import Levels
from prefalign.functional.noise_path import LinearPath
from prefalign.interfaces import Media, PrefalignError, Prompt
from prefalign.models.condition import Condition
from prefalign.models.denoiser import Denoiser
from prefalign_audio.demo.codec import ClipCodec, playable, resynthesise
from prefalign_audio.demo.network import EventTransformer
from prefalign_audio.sound.files import wav_bytes

CONFIG, WEIGHTS, CODEC = "config.json", "model.safetensors", "codec.safetensors"


class EventDenoiser(Denoiser):
    """A small rectified flow over clips of two events, saved in a folder with its codec.

    Args:
        model: the folder, as `save_pretrained` writes it.
    """

    path = LinearPath()
    levels = Levels("logit_normal")
    steps = 16
    guidance = 2.0
    shared = ("clip_codec",)

    def __init__(self, model: str) -> None:
        super().__init__()
        self.folder = Path(model)
        self.clip_codec: ClipCodec | None = None
        self.names: tuple[str, ...] = ()

    @classmethod
    def fresh(cls, names: Sequence[str], codec: ClipCodec, seed: int) -> EventDenoiser:
        """A family with random weights for these event classes, not read from a folder."""
        made = cls("")
        made._build({"events": list(names), "channels": codec.channels, "frames": 16}, codec, seed)
        return made

    def configure_model(self) -> None:
        """Read the folder.

        Raises:
            PrefalignError: if the folder is none of this family.
        """
        if self.network is not None:
            return
        missing = [name for name in (CONFIG, WEIGHTS, CODEC) if not (self.folder / name).is_file()]
        if missing:
            raise PrefalignError(
                f"{self.folder}: no {missing[0]}; expected a model of the sound demonstration, which `prefalign audio "
                "demo --prepare-only` makes"
            )
        config = json.loads((self.folder / CONFIG).read_text("utf-8"))
        self._build(config, ClipCodec.load(self.folder / CODEC), 0)
        network: Any = self.network
        network.load_state_dict(load_file(self.folder / WEIGHTS))

    def _build(self, config: dict[str, Any], codec: ClipCodec, seed: int) -> None:
        from diffusers import FlowMatchEulerDiscreteScheduler

        self.config, self.clip_codec, self.names = config, codec, tuple(config["events"])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = EventTransformer(config["channels"], config["frames"], len(self.names))
        self.scheduler = FlowMatchEulerDiscreteScheduler()

    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """The two event classes of each caption.

        Raises:
            PrefalignError: for a caption that does not read "A, then B" with known events.
        """
        place = {name: index for index, name in enumerate(self.names)}
        rows = []
        for prompt in prompts:
            words = (prompt.text or "").split(", then ")
            if len(words) != 2 or not set(words) <= place.keys():
                raise PrefalignError(
                    f"caption {prompt.text!r}: expected 'A, then B' of the events {', '.join(self.names)}"
                )
            rows.append([place[word] for word in words])
        return Condition({"events": torch.tensor(rows, device=self.network.positions.device)})

    def null_condition(self, condition: Condition) -> Condition:
        """No event twice."""
        return Condition({"events": torch.full_like(condition.tensors["events"], len(self.names))})

    def predict(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """(N, channels, frames) velocities."""
        velocity: Tensor = self.network(noisy, time, **condition.arguments())
        return velocity

    def latent_shape(self, prompt: Prompt) -> tuple[int, ...]:
        """(channels, frames)."""
        return self.config["channels"], self.config["frames"]

    def decode(self, latents: Tensor) -> list[tuple[Media, ...]]:
        """WAV files of 8 kHz."""
        assert self.clip_codec is not None
        sounds = resynthesise(self.clip_codec.decode(latents.float().cpu()))
        return [(Media(kind="audio", data=wav_bytes(playable(sound))),) for sound in sounds]

    def save_pretrained(self, folder: Path) -> None:
        """Write config, weights and codec."""
        assert self.clip_codec is not None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(json.dumps(self.config, indent=2) + "\n", encoding="utf-8")
        save_file({name: value.contiguous() for name, value in self.network.state_dict().items()}, folder / WEIGHTS)
        self.clip_codec.save(folder / CODEC)
