"""Detectors of events, frame by frame: one plays the annotator, the others judge what training never saw of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from prefalign.interfaces.errors import PrefalignError
from prefalign_audio.demo.clips import CLIP_SECONDS
from prefalign_audio.metrics.functional.events import EventRule, centroids, events_present

_SECONDS_APART = 0.125  # two frames of the policy's features: what "then" means at the least
_RULE = EventRule()  # a mean probability above a half in two neighbouring frames
_NOISE = 0.25  # the greatest deviation of the noise on features in training
_LEARNING_RATE = 4e-3
_BATCH = 64


class EventDetector(nn.Module):
    """Two convolutions over time and a linear head: (clips, frames, bands) to (clips, frames, classes) logits."""

    def __init__(self, bands: int, classes: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(bands, channels, kernel, padding=kernel // 2),
            nn.GELU(),
            nn.Conv1d(channels, channels, kernel, padding=kernel // 2),
            nn.GELU(),
            nn.Conv1d(channels, classes, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(clips, frames, bands) to (clips, frames, classes) logits."""
        return self.layers(features.transpose(1, 2)).transpose(1, 2)

    @torch.no_grad()
    def hear(self, features: Tensor) -> Heard:
        """What a trained detector makes of (clips, frames, bands) features."""
        return Heard(torch.cat([self(part) for part in features.split(512)]).sigmoid())


@dataclass(frozen=True, eq=False)
class Heard:
    """Probabilities of events over time, and the rules that read captions off them.

    Attributes:
        probabilities: (clips, frames, classes), 0..1; the frames tile 2 s.
    """

    probabilities: Tensor

    def present(self) -> Tensor:
        """(clips, classes) bool: the mean of two neighbouring frames exceeds a half somewhere."""
        return events_present(self.probabilities, _RULE)

    def centroids(self) -> Tensor:
        """(clips, classes) seconds: where each class's probability has its centre; NaN where it is 0 throughout."""
        return centroids(self.probabilities) * self._frame_seconds

    def onsets(self) -> Tensor:
        """(clips, classes) seconds: the first time that makes a class present; infinite where it is not."""
        loud = self.probabilities.unfold(1, _RULE.run, 1).mean(-1) > _RULE.threshold
        return torch.where(loud.any(1), loud.int().argmax(1) * self._frame_seconds, torch.inf)

    def integrity(self, captions: Tensor) -> Tensor:
        """(clips,) bool: both events of the (clips, 2) captions are present."""
        return self.present().gather(1, captions).all(1)

    def temporal(self, captions: Tensor, *, by_onset: bool = False) -> Tensor:
        """(clips,) bool: both are present, and the first comes first.

        Args:
            captions: (clips, 2) int64 classes.
            by_onset: compare when they start, as events that overlap need; otherwise their centres have to be more than
                two frames of 62.5 ms apart.
        """
        times, apart = (self.onsets(), 0.0) if by_onset else (self.centroids(), _SECONDS_APART)
        first, second = times.gather(1, captions).unbind(1)
        return self.integrity(captions) & (first + apart < second)

    @property
    def _frame_seconds(self) -> float:
        return CLIP_SECONDS / self.probabilities.shape[1]


def train_detector(
    detector: EventDetector, features: Tensor, active: Tensor, generator: torch.Generator, steps: int = 400
) -> None:
    """Train on frame labels by binary cross-entropy, with noise of every strength up to 0.25 on the features.

    Args:
        detector: trained in place, and left in evaluation mode.
        features: (clips, frames, bands).
        active: (clips, frames, classes), 0 or 1.
        generator: of batches and noise.
        steps: of 64 clips.

    Raises:
        PrefalignError: features and labels are not of the same clips and frames.
    """
    if features.shape[:2] != active.shape[:2]:
        raise PrefalignError(
            f"labels of {tuple(active.shape[:2])} (clips, frames) do not fit features of {tuple(features.shape[:2])}"
        )
    optimizer = torch.optim.AdamW(detector.parameters(), lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
    detector.train()
    for _ in range(steps):
        batch = torch.randint(len(features), (_BATCH,), generator=generator)
        strength = _NOISE * torch.rand(_BATCH, 1, 1, generator=generator)
        heard = features[batch] + strength * torch.randn(_BATCH, *features.shape[1:], generator=generator)
        loss = functional.binary_cross_entropy_with_logits(detector(heard), active[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    detector.eval()


def detection_accuracy(heard: Heard, active: Tensor) -> Mapping[str, float]:
    """How well presence is told on clips with known frames.

    Args:
        heard: by the detector.
        active: (clips, frames, classes), 0 or 1.

    Returns:
        `events`: the share of (clip, class) decisions that are right; `clips`: the share of clips without a mistake.
    """
    right = heard.present() == active.bool().any(1)
    return {"events": float(right.float().mean()), "clips": float(right.all(1).float().mean())}
