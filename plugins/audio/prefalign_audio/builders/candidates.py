"""Candidates for a caption and for what it is not (Tango 2, arXiv 2404.09956): the second ones are the losers."""

from __future__ import annotations

from collections.abc import Sequence

from prefalign.data.stages import Sample
from prefalign.interfaces import PreferenceRecord, Prompt
from prefalign_audio.captions.stages import perturbed_prompt


class SampleCaptions(Sample):
    """Sounds for the record's own caption, then as many for its perturbed one, which they have as their `context`.

    `PerturbCaption` or `RewriteCaption` goes before. A judge after it should compare all with the caption that counts:
    `Score(judge, name, against="prompt")`. The arguments are those of `Sample`.
    """

    def contexts(self, record: PreferenceRecord) -> Sequence[Prompt | None]:
        """The own caption and the perturbed one.

        Raises:
            RecordError: if the record has no perturbed caption.
        """
        return (None, perturbed_prompt(record))
