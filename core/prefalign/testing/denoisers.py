"""A denoiser small enough for tests and examples: short sequences of numbers, described by words."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_model
from torch import Tensor, nn

from prefalign.functional.noise_path import LinearPath, NoisePath
from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Response
from prefalign.models.condition import Condition
from prefalign.models.denoiser import Denoiser
from prefalign.models.latents import LATENTS


def latent_pairs(count: int, seed: int = 0, channels: int = 3, frames: int = 4) -> list[PreferenceRecord]:
    """Pairs that a `SmallDenoiser` can learn: chosen latents lie about +1, rejected ones about −1."""
    generator = np.random.default_rng(seed)
    records = []
    for number in range(count):
        noise = 0.3 * generator.standard_normal((2, channels, frames)).astype(np.float32)
        chosen, rejected = (Response(arrays={LATENTS: sign + part}) for sign, part in zip((1, -1), noise, strict=True))
        prompt = Prompt(text=f"word {number % 4}")
        records.append(
            PreferenceRecord(
                id=f"pair-{seed}-{number:04}", prompt=prompt, responses=(chosen, rejected), verdict=Pair(0, 1)
            )
        )
    return records


class SmallNetwork(nn.Module):
    """A perceptron over (channels, frames) latents, applied frame by frame, with time and one vector as conditions."""

    def __init__(self, channels: int, words: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words + 1, width)
        self.inner = nn.Linear(channels + 1, width)
        self.outer = nn.Linear(width, channels)

    def forward(self, noisy: Tensor, time: Tensor, words: Tensor) -> Tensor:
        """(N, channels, frames) predictions; `time` (N,), `words` (N,) word numbers, the last one for no word."""
        frames = noisy.movedim(1, -1)
        clock = time.to(noisy)[:, None, None].expand(*frames.shape[:2], 1)
        hidden = self.inner(torch.cat([frames, clock], -1)) + self.words(words)[:, None]
        return self.outer(nn.functional.silu(hidden)).movedim(-1, 1)


class SmallDenoiser(Denoiser):
    """A `SmallNetwork` on any noise path; a prompt's text is hashed to one of a few words.

    Args:
        channels, frames: shape of a latent.
        words: number of words.
        width: of the hidden layer.
        init_seed: seed of the weights.
        path: rectified flow if None. Paths with steps need a scheduler of their own to be sampled.
    """

    frame_axis = 1
    steps = 8
    guidance = 2.0

    def __init__(
        self,
        channels: int = 3,
        frames: int = 4,
        words: int = 8,
        width: int = 16,
        init_seed: int = 0,
        path: NoisePath | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.frames, self.words, self.width = channels, frames, words, width
        self.init_seed = init_seed
        self.path = path or LinearPath()

    def configure_model(self) -> None:
        """Draw the weights."""
        if self.network is not None:
            return
        from diffusers import FlowMatchEulerDiscreteScheduler

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.init_seed)
            self.network = SmallNetwork(self.channels, self.words, self.width)
        self.scheduler = FlowMatchEulerDiscreteScheduler()

    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """Word numbers of the texts."""
        numbers = [zlib.crc32((prompt.text or "").encode()) % self.words for prompt in prompts]
        return Condition({"words": torch.tensor(numbers, device=self.network.outer.weight.device)})

    def null_condition(self, condition: Condition) -> Condition:
        """The number that stands for no word."""
        return Condition({"words": torch.full_like(condition.tensors["words"], self.words)})

    def predict(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """(N, channels, frames) predictions."""
        predicted: Tensor = self.network(noisy, time, **condition.arguments())
        return predicted

    def latent_shape(self, prompt: Prompt) -> tuple[int, ...]:
        """(channels, frames)."""
        return self.channels, self.frames

    def save_pretrained(self, folder: Path) -> None:
        """Write the weights as safetensors."""
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.network, str(folder / "model.safetensors"))
