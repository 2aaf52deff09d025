"""What a policy's clips are worth: two judges, a guard-rail against odd sounds, and one against sameness."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from prefalign.interfaces.errors import PrefalignError
from prefalign_audio.demo.world import World
from prefalign_audio.metrics.functional.frechet import Moments, frechet_distance


@dataclass(frozen=True)
class Evaluation:
    """Figures of an arm; shares are 0..1.

    Attributes:
        integrity: clips with both events, by the judge.
        temporal: clips with both in the caption's order, by the judge.
        temporal_held_out: the same over the held-out captions.
        second_temporal, second_temporal_held_out: the same by the judge with another front end.
        mel_frechet: distance to correct clips in 24 statistics of the latents; comparable within a seed.
        variance: of the samples of one caption, in squared units of the latents; low values are sameness.
    """

    integrity: float
    temporal: float
    temporal_held_out: float
    second_temporal: float
    second_temporal_held_out: float
    mel_frechet: float
    variance: float

    def as_mapping(self) -> dict[str, float]:
        """By name."""
        return asdict(self)


def evaluate(world: World, latents: Tensor) -> Evaluation:
    """Judge samples of every caption.

    Args:
        world: with the judges.
        latents: (captions, samples, 12, 16), in the order of `world.captions`, at least two samples each.

    Raises:
        PrefalignError: for latents of another number of captions, single samples, or numbers that are not finite.
    """
    captions, samples = latents.shape[:2]
    if captions != len(world.captions) or samples < 2:
        raise PrefalignError(
            f"expected latents ({len(world.captions)} captions, 2 or more samples, …), got {tuple(latents.shape)}"
        )
    if wrong := int((~latents.flatten(2).isfinite().all(-1)).sum()):
        raise PrefalignError(
            f"{wrong} of {captions * samples} clips hold NaN or infinite numbers; did training diverge?"
        )
    flat, asked = latents.flatten(0, 1), world.captions.repeat_interleave(samples, 0)
    held_out = world.held_out.repeat_interleave(samples)
    integrity, temporal = world.judge.judge(flat, asked)
    _, second = world.second_judge.judge(flat, asked)
    return Evaluation(
        integrity=_share(integrity),
        temporal=_share(temporal),
        temporal_held_out=_share(temporal[held_out]),
        second_temporal=_share(second),
        second_temporal_held_out=_share(second[held_out]),
        mel_frechet=mel_frechet(flat, world.correct.latents),
        variance=float(latents.var(1).mean()),
    )


def mel_frechet(latents: Tensor, real: Tensor) -> float:
    """Fréchet distance between (clips, 12, 16) latents in each channel's mean and deviation over time."""
    first, second = (Moments.of(torch.cat([part.mean(2), part.std(2)], 1)) for part in (latents, real))
    return float(frechet_distance(first, second))


def _share(told: Tensor) -> float:
    return float(told.float().mean())
