"""Everything of the miniature that needs no policy, drawn anew by each seed; only the soundfont stays the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from prefalign_audio.demo.clips import CRAWLED, FLAWLESS, Kind, all_captions, draw_score, mix
from prefalign_audio.demo.codec import ClipCodec
from prefalign_audio.demo.event_reward import EventCurves, EventReward, train_curves
from prefalign_audio.demo.features import LogMel
from prefalign_audio.demo.judges import ANNOTATOR, JUDGE, SECOND_JUDGE, Judge, JudgeDesign, train_judge
from prefalign_audio.demo.randomness import generator_for, seeded
from prefalign_audio.demo.sounds import SoundBank, render_sounds

_CHECKED = 300  # clips
_HELD_OUT = 0.2  # of the captions: 6 of 30, 11 of 56


@dataclass(frozen=True, kw_only=True)
class WorldSizes:
    """How much is drawn and trained; the defaults are the published miniature's.

    Attributes:
        pretraining: clips with captions as a crawled corpus has them.
        correct: clips that are as captioned, the real ones of the Fréchet distance.
        detection: clips that each judge learns from.
        detector_steps: of training each judge.
    """

    pretraining: int = 3000
    correct: int = 600
    detection: int = 2000
    detector_steps: int = 400


@dataclass(frozen=True, eq=False)
class CaptionedClips:
    """Coded clips.

    Attributes:
        latents: (clips, 12, 16) float32.
        captions: (clips, 2) int64, classes in the order that the caption says.
        kinds: (clips,) int64, values of `Kind`: whether the clip is as captioned.
    """

    latents: Tensor
    captions: Tensor
    kinds: Tensor


@dataclass(frozen=True, eq=False)
class World:
    """What a policy is trained on, labelled by and judged by.

    Attributes:
        seed: of everything.
        overlap: of the events, s; above 0 order is that of the onsets.
        sounds: the recordings, with the classes' names.
        captions: (pairs, 2) int64, all ordered pairs.
        held_out: (pairs,) bool, the captions that alignment never sees.
        codec: of all latents.
        pretraining: noisy clips, all captions among them.
        correct: clips as captioned, with the captions in turn.
        annotator: labels what is trained on.
        judge, second_judge: only measure.
        curves: the reward model's encoder, which learnt from the noisy captions.
        seconds: what each part took.
    """

    seed: int
    overlap: float
    sounds: SoundBank
    captions: Tensor
    held_out: Tensor
    codec: ClipCodec
    pretraining: CaptionedClips
    correct: CaptionedClips
    annotator: Judge
    judge: Judge
    second_judge: Judge
    curves: EventCurves
    seconds: dict[str, float]

    def annotate(self, latents: Tensor, captions: Tensor) -> Tensor:
        """(clips,) labels, 1 where the annotator hears the caption's events in its order, else 0."""
        return self.annotator.judge(latents, captions)[1].float()

    def new_reward(self, stream: str = "reward") -> EventReward:
        """A reward model whose head is yet to be trained; another stream starts from other weights."""
        with seeded(self.seed, stream):
            return EventReward(self.codec, self.curves)

    def caption(self, pair: Tensor) -> str:
        """The words of a (2,) caption."""
        first, second = (self.sounds.names[int(event)] for event in pair)
        return f"{first}, then {second}"

    def checks(self) -> dict[str, float]:
        """The figures to look at before alignment: variance kept, each judge on unseen recordings, and its ceilings.

        `NAME/clips` is the share of clips in which every presence is told right, `NAME/ceiling` the temporal accuracy
        of coded correct clips, `NAME/pretraining` that of the noisy ones.
        """
        figures = {"codec/kept": self.codec.kept}
        for judge in (self.annotator, self.judge, self.second_judge):
            name = judge.design.name
            figures |= {f"{name}/{key}": value for key, value in judge.accuracy.items()}
            for part, clips in (("ceiling", self.correct), ("pretraining", self.pretraining)):
                told = judge.judge(clips.latents[:_CHECKED], clips.captions[:_CHECKED])[1]
                figures[f"{name}/{part}"] = float(told.float().mean())
        return figures


def make_world(
    seed: int,
    classes: int = 6,
    *,
    overlap: float = 0.0,
    sizes: WorldSizes | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> World:
    """Draw sounds, clips, captions and splits, fit the codec, and train the judges and the reward model's encoder.

    The same seed gives the same world for a given number of threads.

    Args:
        seed: of everything.
        classes: of events, 2 to 8; 6 are the published miniature.
        overlap: seconds by which events may overlap, 0 to 0.5.
        sizes: of the sets; None is the published miniature's.
        log: told what is done, with its seconds.

    Raises:
        SoundsMissing: the recordings' packages are not installed.
        PrefalignError: for numbers outside their ranges.
    """
    sizes = sizes or WorldSizes()
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds[part] = time.perf_counter() - start
        log(f"{part}: {seconds[part]:.1f} s")

    with timed("sounds"):
        sounds = render_sounds(classes)
    captions = all_captions(classes)
    held_out = torch.zeros(len(captions), dtype=torch.bool)
    order = torch.randperm(len(captions), generator=generator_for(seed, "held-out captions"))
    held_out[order[: round(_HELD_OUT * len(captions))]] = True

    def drawn(number: int, shares: dict[Kind, float], stream: str) -> tuple[Tensor, Tensor, Tensor]:
        generator = generator_for(seed, stream)
        asked = captions[torch.arange(number) % len(captions)]
        score = draw_score(asked, shares, sounds.recordings.shape[1], generator, overlap)
        return LogMel()(mix(sounds, score, generator)), asked, score.kinds

    with timed("clips and codec"):
        features, asked, kinds = drawn(sizes.pretraining, CRAWLED, "pretraining clips")
        codec = ClipCodec.fit(features)
        pretraining = CaptionedClips(codec.encode(features), asked, kinds)
        real, real_captions, real_kinds = drawn(sizes.correct, FLAWLESS, "correct clips")
        correct = CaptionedClips(codec.encode(real), real_captions, real_kinds)

    def judge(design: JudgeDesign) -> Judge:
        with timed(design.name):
            options = {"clips": sizes.detection, "steps": sizes.detector_steps}
            return train_judge(design, sounds, captions, codec, seed, overlap=overlap, **options)

    annotator, first, second = judge(ANNOTATOR), judge(JUDGE), judge(SECOND_JUDGE)
    with timed("reward encoder"):
        with seeded(seed, "curves"):
            curves = EventCurves(LogMel().bands, classes)
        train_curves(curves, codec.decode(pretraining.latents), asked, generator_for(seed, "curves, batches"))
    return World(
        seed,
        overlap,
        sounds,
        captions,
        held_out,
        codec,
        pretraining,
        correct,
        annotator,
        first,
        second,
        curves,
        seconds,
    )
