"""Does a song sound as its description says? By a music tagger."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.encoders.base import TextEncoder
from prefalign_audio.encoders.load import load_text_encoder
from prefalign_audio.metrics.functional.prompt_tags import named_tags, tag_log_odds, tag_similarities
from prefalign_audio.metrics.independence import ensure_independent_model

#: How a tag becomes a text.
_PROMPT = "music with {}"


class Tagger(Protocol):
    """Something that gives tags to sounds, such as `Musicnn`."""

    def tags(self, media: Sequence[Media]) -> Tensor:
        """(N, K) probabilities of N sounds."""

    def fingerprint(self) -> str:
        """A hash of its weights and settings."""


class PromptAgreement(Metric):
    """How well the tags that a tagger hears fit the descriptions that were asked for.

    Without a text encoder `compute()` gives `tag_log_odds`: the mean log-odds, in nats, of the tags that a description
    names; a description that names none of the tagger's tags is refused. With one it gives `tag_similarity` in [-1, 1]:
    the cosine of description and heard tags, any words counting; the tags' mean over all sounds of the metric is taken
    away first, so figures of different sets do not compare unless they share a `centre`. And `clips`.

    Args:
        tagger: by default musicnn with the 50 tags of MagnaTagATune, at 16,000 Hz.
        names: of the tagger's K tags; by default musicnn's.
        text: `transformers:ID` or `clap:ID`, or an encoder that is loaded; None to look for the tags' names.
        centre: (K,) mean probabilities of a set of sounds, instead of those of this metric.
        resample, downmix: of the default tagger.
        trainers, allow_trainer: see `JudgedMetric`; the tagger's fingerprint is compared.
        kwargs: of torchmetrics' `Metric`.

    Raises:
        PrefalignError: for a model that cannot be had or is one of the trainers; or settings that would play no part.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    total: Tensor
    clips: Tensor
    probabilities: list[Tensor]
    texts: list[Tensor]

    def __init__(
        self,
        tagger: Tagger | None = None,
        names: Sequence[str] | None = None,
        *,
        text: str | TextEncoder | None = None,
        centre: Tensor | None = None,
        resample: bool = False,
        downmix: bool = False,
        trainers: Collection[str] = (),
        allow_trainer: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        from prefalign_audio.encoders.musicnn import TAGS, Musicnn

        if tagger is None:
            tagger, names = Musicnn(resample, downmix), names or TAGS
        elif resample or downmix:
            raise PrefalignError("resample and downmix are settings of the tagger that is given: set them there")
        if not names:
            raise PrefalignError("expected the names of the tagger's tags")
        if centre is not None and text is None:
            raise PrefalignError("centre plays a part with a text encoder only; give text as well")
        ensure_independent_model(tagger, trainers, allow=allow_trainer)
        self.tagger, self.names = tagger, list(names)
        self.text = load_text_encoder(text) if isinstance(text, str) else text
        self.centre = centre
        self._tag_vectors: Tensor | None = None
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        for name in ("probabilities", "texts"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def scores(self, sounds: Sequence[Media], descriptions: Sequence[str]) -> Tensor:
        """(N,) float64 scores of N sounds under their descriptions; a reward.

        With a text encoder and no `centre` they are centred over these N sounds.

        Raises:
            PrefalignError: for another number of descriptions, one that names no tag, or a tagger of another number of
                tags. SoundError for a sound that cannot be used.
        """
        probabilities = self._heard(sounds, descriptions)
        if self.text is None:
            return tag_log_odds(probabilities, [named_tags(one, self.names) for one in descriptions])
        return self._similarities(probabilities, self._vectors(descriptions))

    def update(self, sounds: Sequence[Media], descriptions: Sequence[str]) -> None:
        """Add N sounds and their descriptions.

        Raises:
            PrefalignError: see `scores`.
        """
        if self.text is None:
            self.total += self.scores(sounds, descriptions).sum().to(self.device)
        else:
            probabilities, texts = self._heard(sounds, descriptions), self._vectors(descriptions)
            self.probabilities.append(probabilities.to(self.device))
            self.texts.append(texts.to(self.device))
        self.clips += len(sounds)

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names."""
        clips = {"clips": self.clips.clone()}
        if self.text is None:
            return {"tag_log_odds": self.total / self.clips, **clips}
        scores = self._similarities(dim_zero_cat(self.probabilities), dim_zero_cat(self.texts))
        return {"tag_similarity": scores.mean(), **clips}

    def _heard(self, sounds: Sequence[Media], descriptions: Sequence[str]) -> Tensor:
        if len(sounds) != len(descriptions):
            raise PrefalignError(f"expected one description for each of {len(sounds)} sounds, got {len(descriptions)}")
        with torch.no_grad():
            found = self.tagger.tags(sounds)
        if found.shape != (len(sounds), len(self.names)):
            raise PrefalignError(
                f"expected probabilities of {len(sounds)} sounds and {len(self.names)} tags, got {tuple(found.shape)}"
            )
        return found.double()

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        assert self.text is not None  # its callers look
        with torch.no_grad():
            return torch.nn.functional.normalize(self.text(texts).double(), dim=1)

    def _similarities(self, probabilities: Tensor, texts: Tensor) -> Tensor:
        if self._tag_vectors is None:
            self._tag_vectors = self._vectors([_PROMPT.format(name) for name in self.names])
        centre = probabilities.mean(0) if self.centre is None else self.centre
        return tag_similarities(probabilities, self._tag_vectors.to(probabilities), texts, centre)
