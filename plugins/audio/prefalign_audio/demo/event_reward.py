"""The reward model of the demonstration: a small CLAP that keeps time, and a head that learns an annotator's labels.

First the encoder learns from noisy captions which event sounds when, as similarity of frames to event embeddings. It is
then frozen, and a head on a few numbers of the two curves of a caption learns the labels (BATON, Liao et al. 2024).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from prefalign.interfaces.errors import PrefalignError
from prefalign_audio.demo.codec import ClipCodec
from prefalign_audio.metrics.functional.reward_quality import agreement, area_under_curve

_BINS = 8  # parts of the clip, in each of which a curve's maximum is taken
_SHARPNESS = 3.0  # of the log-sum-exp that stands for "somewhere in the clip"
_TEMPERATURE = 0.25  # scale of similarities
_NOISE = 0.1
_BATCH = 64
_PRETRAINING_STEPS = 500
_HEAD_STEPS = 600
_TRAINED_SHARE = 0.8  # of the groups; the others measure


class EventCurves(nn.Module):
    """Similarity of every frame to every event: (clips, frames, bands) to (clips, frames, classes)."""

    def __init__(self, bands: int, classes: int, width: int = 32) -> None:
        super().__init__()
        self.frames = nn.Sequential(nn.Conv1d(bands, 48, 3, padding=1), nn.GELU(), nn.Conv1d(48, width, 3, padding=1))
        self.events = nn.Parameter(torch.randn(classes, width))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, features: Tensor) -> Tensor:
        """(clips, frames, bands) to (clips, frames, classes)."""
        return self.frames(features.transpose(1, 2)).transpose(1, 2) @ self.events.T * _TEMPERATURE

    def somewhere(self, features: Tensor) -> Tensor:
        """(clips, classes) logits of "this event is in the clip"."""
        curves = self(features)
        return (_SHARPNESS * curves).logsumexp(1) / _SHARPNESS + self.bias

    def summary(self, features: Tensor, captions: Tensor) -> Tensor:
        """(clips, 18): of both events of the (clips, 2) captions, the maxima in eight parts and the centre in time."""
        places = captions[:, None, :].expand(-1, features.shape[1], -1)
        curves = self(features).gather(2, places)
        maxima = curves.unflatten(1, (_BINS, -1)).amax(2)
        times = torch.linspace(0, 1, features.shape[1])
        centres = (curves.softmax(1) * times[:, None]).sum(1)
        return torch.cat([maxima.flatten(1), centres], 1)


@dataclass(frozen=True)
class RewardQuality:
    """How a head does on the groups that it was not trained on.

    Attributes:
        accuracy: share of labels that the score is less than a half away from.
        auc: probability that a 1 scores above a 0, ties counting half; NaN if only one label occurs.
        clips: held out.
    """

    accuracy: float
    auc: float
    clips: int


class EventReward(nn.Module):
    """Scores latents against captions, 0..1: the probability that the annotator would say 1.

    Args:
        codec: of the latents; the model hears what they decode to.
        curves: trained by `train_curves`, and frozen here.
    """

    def __init__(self, codec: ClipCodec, curves: EventCurves) -> None:
        super().__init__()
        self.codec = codec
        self.curves = copy.deepcopy(curves).requires_grad_(False).eval()
        self.head = nn.Sequential(nn.Linear(2 * _BINS + 2, 32), nn.GELU(), nn.Linear(32, 1))

    def forward(self, latents: Tensor, captions: Tensor) -> Tensor:
        """(clips, 12, 16) latents and (clips, 2) captions to (clips,) logits."""
        return self.head(self.curves.summary(self.codec.decode(latents), captions)).squeeze(-1)

    @torch.no_grad()
    def score(self, latents: Tensor, captions: Tensor) -> Tensor:
        """(clips,) scores, 0..1."""
        return self(latents, captions).sigmoid()


def train_curves(curves: EventCurves, features: Tensor, captions: Tensor, generator: torch.Generator) -> None:
    """Teach which events a clip holds, from its caption, by multi-label cross-entropy: 500 steps of 64 clips.

    Args:
        curves: trained in place.
        features: (clips, frames, bands).
        captions: (clips, 2) classes; they may be wrong.
        generator: of batches and of the noise on the features.
    """
    mentioned = functional.one_hot(captions, len(curves.events)).amax(1).float()
    optimizer = torch.optim.AdamW(curves.parameters(), lr=3e-3)
    for _ in range(_PRETRAINING_STEPS):
        batch = torch.randint(len(features), (_BATCH,), generator=generator)
        noise = _NOISE * torch.randn(_BATCH, *features.shape[1:], generator=generator)
        logits = curves.somewhere(features[batch] + noise)
        loss = functional.binary_cross_entropy_with_logits(logits, mentioned[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def train_head(
    reward: EventReward,
    latents: Tensor,
    captions: Tensor,
    labels: Tensor,
    generator: torch.Generator,
) -> RewardQuality:
    """Fit the head to labels of 80 % of the groups by binary cross-entropy, and measure it on the others.

    Args:
        reward: its head is trained in place.
        latents: (groups, samples, 12, 16), the samples of a group answering one caption.
        captions: (groups, 2) classes.
        labels: (groups, samples), 0 or 1.
        generator: of the split and the batches.

    Raises:
        PrefalignError: for labels outside 0..1 or of other groups, or fewer than two groups.
    """
    groups, samples = labels.shape
    if latents.shape[:2] != labels.shape or len(captions) != groups:
        raise PrefalignError(
            f"labels of {tuple(labels.shape)} (groups, samples) do not fit latents of {tuple(latents.shape[:2])} and "
            f"{len(captions)} captions"
        )
    if groups < 2:
        raise PrefalignError("a reward head needs at least two groups: one to train on, one to measure on")
    if not ((labels >= 0) & (labels <= 1)).all():
        raise PrefalignError("a label lies outside 0..1; expected 0 or 1")
    order = torch.randperm(groups, generator=generator)
    trained = max(1, min(groups - 1, round(_TRAINED_SHARE * groups)))
    fit, rest = order[:trained], order[trained:]
    targets = labels[fit].flatten().float()
    with torch.no_grad():  # the encoder is frozen, so its numbers are taken once
        summaries = reward.curves.summary(
            reward.codec.decode(latents[fit].flatten(0, 1)), captions[fit].repeat_interleave(samples, 0)
        )
    optimizer = torch.optim.AdamW(reward.head.parameters(), lr=5e-3, weight_decay=1e-2)
    for _ in range(_HEAD_STEPS):
        batch = torch.randint(len(targets), (_BATCH,), generator=generator)
        loss = functional.binary_cross_entropy_with_logits(reward.head(summaries[batch]).squeeze(-1), targets[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scores = reward.score(latents[rest].flatten(0, 1), captions[rest].repeat_interleave(samples, 0))
    return reward_quality(scores, labels[rest].flatten())


def reward_quality(scores: Tensor, labels: Tensor) -> RewardQuality:
    """Accuracy and area under the ROC curve of (clips,) scores in 0..1 against labels 0 or 1."""
    told, wanted = scores.double().numpy(), labels.double().numpy()
    return RewardQuality(agreement(told, wanted), area_under_curve(told, wanted), len(labels))
