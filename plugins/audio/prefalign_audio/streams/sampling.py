"""Writing songs step by step: which stream has a say in a step, guidance, and the draw.

Axes: N songs, M rows (twice as many under guidance), K streams, T frames, V ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign_audio.streams.model import Condition, StreamModel


@dataclass(frozen=True)
class SamplingSettings:
    """How codes are drawn.

    Attributes:
        max_frames: most frames of a song, at least 1.
        min_frames: fewest; no song ends before.
        temperature: divides the logits, > 0.
        top_k: only the k likeliest codes, 0 for all; one number, or one for each stream. LeVo samples the mixed stream
            and takes the likeliest codes of its parts, `[250, 1, 1]`.
        guidance: scale g of u + g (c − u) between the negative prompt's logits u and the prompt's c; 1 for none. LeVo
            takes 1.5.
        repetition_penalty: divides the positive logits (and multiplies the negative ones) of a stream's latest codes;
            1 for none (CTRL, arXiv 1909.05858 section 4.1). LeVo takes 1.1, and divides logits of either sign by it.
        repetition_frames: how many frames back that reaches. LeVo takes 50.

    Raises:
        PrefalignError: for values out of range.
    """

    max_frames: int = 256
    min_frames: int = 1
    temperature: float = 1.0
    top_k: int | Sequence[int] = 0
    guidance: float = 1.0
    repetition_penalty: float = 1.0
    repetition_frames: int = 50

    def __post_init__(self) -> None:
        counts = [self.top_k] if isinstance(self.top_k, int) else list(self.top_k)
        if not (
            self.temperature > 0 and min(counts, default=-1) >= 0 and self.guidance >= 0 and self.repetition_penalty > 0
        ):
            raise PrefalignError(
                f"expected temperature and repetition_penalty > 0, top_k and guidance of at least 0; got {self}"
            )
        if not 1 <= self.min_frames <= self.max_frames or self.repetition_frames < 1:
            raise PrefalignError(f"expected 1 <= min_frames <= max_frames and repetition_frames >= 1; got {self}")

    def kept(self, stream: int) -> int:
        """How many codes of a stream are in the draw; 0 for all."""
        return self.top_k if isinstance(self.top_k, int) else self.top_k[stream]


@dataclass(frozen=True)
class Drawn:
    """Songs as they were written.

    Attributes:
        codes: N arrays (K, T) of int64.
        ended: whether each came to its end, rather than to `max_frames`.
    """

    codes: list[Any]
    ended: list[bool]


@torch.no_grad()
def draw(
    model: StreamModel,
    condition: Condition,
    guided: bool,
    settings: SamplingSettings,
    generator: torch.Generator | None,
    begun: Sequence[Tensor | None],
) -> Drawn:
    """One song per row of the condition.

    Args:
        model: in evaluation mode.
        condition: of N rows; under guidance of 2N, the negative prompts' behind the prompts'.
        guided: whether it is so.
        settings: how codes are drawn.
        generator: of the draws; without one the likeliest codes are taken.
        begun: (K, T) codes that each song begins with, which may differ in length; None for nothing.
    """
    layout, count = model.layout, len(begun)
    if not isinstance(settings.top_k, int) and len(settings.top_k) != layout.pattern.streams:
        raise PrefalignError(f"expected one top_k for each of {layout.pattern.streams} streams, got {settings.top_k}")
    device = next(model.network.parameters()).device
    steps = layout.pattern.steps(settings.max_frames)
    state = model.begin(condition, steps)
    writer = _Writer(model, settings, generator, begun, device)
    ids = torch.tensor(layout.start, device=device).expand(count, -1)
    for step in range(steps):
        if writer.finished(step):
            break
        ids = model.step(state, torch.cat([ids, ids]) if guided else ids, writer.at(step, guided))[:count]
    return writer.drawn()


class _Writer:
    """The songs while they are written: (N, K, T) codes, and the frame in which each song ends."""

    def __init__(
        self,
        model: StreamModel,
        settings: SamplingSettings,
        generator: torch.Generator | None,
        begun: Sequence[Tensor | None],
        device: torch.device,
    ) -> None:
        self.layout, self.settings, self.generator = model.layout, settings, generator
        count, streams, frames = len(begun), model.layout.pattern.streams, settings.max_frames
        self.codes = torch.zeros(count, streams, frames, dtype=torch.long, device=device)
        # Frames that are given; no song may end inside them.
        self.given = torch.zeros(count, dtype=torch.long, device=device)
        for row, codes in enumerate(begun):
            if codes is not None:
                self.codes[row, :, : codes.shape[1]] = codes.to(device)
                self.given[row] = codes.shape[1]
        self.end = torch.full((count,), frames, dtype=torch.long, device=device)
        self.ended = torch.zeros(count, dtype=torch.bool, device=device)

    def finished(self, step: int) -> bool:
        """Whether all streams of all songs have all their frames."""
        return step >= int(self.end.max()) + max(self.layout.pattern.delays)

    def drawn(self) -> Drawn:
        """The songs."""
        codes = [one[:, :end].cpu().numpy() for one, end in zip(self.codes, self.end.tolist(), strict=True)]
        return Drawn(codes, self.ended.tolist())

    def at(self, step: int, guided: bool) -> Any:
        """What chooses the ids of a step."""

        def choose(stream: int, logits: Tensor) -> Tensor:
            logits = logits.float()
            if guided:
                conditioned, away = logits.chunk(2)
                logits = away + self.settings.guidance * (conditioned - away)
            ids = self._chosen(step, stream, logits)
            return torch.cat([ids, ids]) if guided else ids

        return choose

    def _chosen(self, step: int, stream: int, logits: Tensor) -> Tensor:
        """(N,) the ids of a stream in a step: drawn, given, or those that say that nothing is there."""
        layout = self.layout
        frame = step - layout.pattern.delays[stream]
        ids = torch.full_like(self.end, layout.fill[stream])
        if 0 <= frame < self.settings.max_frames:
            picked = self._picked(stream, frame, logits)
            picked = torch.where(frame < self.given, self.codes[:, stream, frame], picked)
            going = frame < self.end
            if layout.end is not None and stream == layout.leading:
                stops = going & (picked == layout.end[stream])
                self.end, self.ended = torch.where(stops, frame, self.end), self.ended | stops
                going &= ~stops
            self.codes[:, stream, frame] = torch.where(going, picked, 0)
            ids = torch.where(going, picked, ids)
        if layout.end is not None:
            ids = torch.where(self.ended & (frame == self.end), layout.end[stream], ids)
        return ids

    def _picked(self, stream: int, frame: int, logits: Tensor) -> Tensor:
        settings, layout = self.settings, self.layout
        allowed = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
        allowed[:, : layout.codes[stream]] = True
        if layout.end is not None and stream == layout.leading:
            allowed[:, layout.end[stream]] = frame >= self.given.clamp(min=settings.min_frames)
        logits = logits.masked_fill(~allowed, -torch.inf)
        if settings.repetition_penalty != 1 and frame:
            recent = self.codes[:, stream, max(0, frame - settings.repetition_frames) : frame]
            found, scale = logits.gather(1, recent), settings.repetition_penalty
            logits = logits.scatter(1, recent, torch.where(found > 0, found / scale, found * scale))
        if self.generator is None:
            return logits.argmax(-1)
        logits = logits / settings.temperature
        if kept := settings.kept(stream):
            least = logits.topk(min(kept, logits.shape[-1])).values[:, -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        probabilities = logits.softmax(-1).to(self.generator.device)
        return torch.multinomial(probabilities, 1, generator=self.generator).squeeze(-1).to(logits.device)
