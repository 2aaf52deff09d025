"""Who listens: the annotator whose labels are trained on, and the judges that only measure."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from prefalign_audio.demo.clips import DETECTION, active_frames, draw_score, mix
from prefalign_audio.demo.codec import ClipCodec, resynthesise
from prefalign_audio.demo.detectors import EventDetector, Heard, detection_accuracy, train_detector
from prefalign_audio.demo.features import CubeRootERB, FrontEnd, LogMel
from prefalign_audio.demo.randomness import generator_for, seeded
from prefalign_audio.demo.sounds import TUNINGS, SoundBank

_ITERATIONS = 4  # of Griffin and Lim: all that a detector needs


@dataclass(frozen=True)
class JudgeDesign:
    """How a judge is built and what it learns from.

    Attributes:
        name: of its random streams too, so that two judges of one design differ.
        channels, kernel: of its convolutions.
        takes: of the recordings it learns from; it is tested on the others.
        front_end: what it hears with.
    """

    name: str
    channels: int
    kernel: int
    takes: tuple[int, ...]
    front_end: FrontEnd


ANNOTATOR = JudgeDesign("annotator", 48, 3, (0, 2), LogMel())
JUDGE = JudgeDesign("judge", 64, 5, (1, 3), LogMel())
#: Hears sound rather than the codec's features, with another front end.
SECOND_JUDGE = JudgeDesign("second judge", 64, 5, (1, 3), CubeRootERB())


@dataclass(frozen=True, eq=False)
class Judge:
    """A trained detector with the rule for order.

    Attributes:
        design: what it is.
        detector: trained.
        codec: of the latents it is given.
        by_onset: whether "A then B" compares starts; where events do not overlap, centres are surer.
        accuracy: of presence on recordings that it did not learn from, as `detection_accuracy` has it.
    """

    design: JudgeDesign
    detector: EventDetector
    codec: ClipCodec
    by_onset: bool
    accuracy: dict[str, float]

    def hear(self, latents: Tensor) -> Heard:
        """What it hears in (clips, 12, 16) latents."""
        return self.detector.hear(coded_frames(self.design.front_end, self.codec.decode(latents)))

    def judge(self, latents: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """(clips,) bool each: integrity, and temporal order, of latents (clips, 12, 16) for captions (clips, 2)."""
        heard = self.hear(latents)
        return heard.integrity(captions), heard.temporal(captions, by_onset=self.by_onset)


def coded_frames(front_end: FrontEnd, features: Tensor) -> Tensor:
    """Frames of decoded log-mel features; another front end has to hear them as sound."""
    return features if front_end == LogMel() else front_end(resynthesise(features, iterations=_ITERATIONS))


def train_judge(
    design: JudgeDesign,
    sounds: SoundBank,
    captions: Tensor,
    codec: ClipCodec,
    seed: int,
    *,
    overlap: float = 0.0,
    clips: int = 2000,
    steps: int = 400,
) -> Judge:
    """Train a judge on clips of its takes; half of them have been through the codec, as what it will judge has.

    Args:
        design: of the judge.
        sounds: all recordings.
        captions: (pairs, 2), of which clips are drawn.
        codec: of the latents it will be given.
        seed: of the whole world.
        overlap: of the events, s.
        clips, steps: of training; a quarter as many clips test.
    """
    front_end = design.front_end

    def drawn(number: int, takes: tuple[int, ...], stream: str) -> tuple[Tensor, Tensor]:
        generator = generator_for(seed, f"{design.name}, {stream}")
        bank = sounds.at(takes)
        asked = captions[torch.randint(len(captions), (number,), generator=generator)]
        score = draw_score(asked, DETECTION, bank.recordings.shape[1], generator, overlap)
        waveforms = mix(bank, score, generator)
        half = number // 2
        coded = coded_frames(front_end, codec.decode(codec.encode(LogMel()(waveforms[:half]))))
        return torch.cat([coded, front_end(waveforms[half:])]), active_frames(bank, score, front_end.hop)

    with seeded(seed, design.name):
        detector = EventDetector(front_end.bands, sounds.classes, design.channels, design.kernel)
    frames, active = drawn(clips, design.takes, "training")
    train_detector(detector, frames, active, generator_for(seed, f"{design.name}, batches"), steps)
    others = tuple(take for take in range(len(TUNINGS)) if take not in design.takes)
    frames, active = drawn(clips // 4, others, "test")
    return Judge(design, detector, codec, overlap > 0, dict(detection_accuracy(detector.hear(frames), active)))
