"""Records to sounds and latents whose length their prompt tells, where networks must know it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from prefalign.interfaces import Batch, PreferenceRecord, Prompt
from prefalign.models.latents import LatentExample
from prefalign_audio.codec import AudioCodec


class ToldLengthCodec(AudioCodec):
    """Reads latents (frames, channels) of as many frames as the prompt asks for, or sounds cut or filled to them.

    Args:
        rate, channels: as in `AudioCodec`.
        hop: samples of a frame.
        seconds: usual length, which prompts may replace.
        frames_of: frames that a prompt asks for.
    """

    def __init__(self, rate: int, channels: int, hop: int, seconds: float, frames_of: Callable[[Prompt], int]) -> None:
        super().__init__(rate, channels, round(rate * seconds), frame_axis=0)
        self.hop, self.frames_of = hop, frames_of

    def read_media(self, record: PreferenceRecord, index: int) -> Tensor:
        """(channels, samples) float32 of the prompt's length, nominal range [-1, 1]."""
        samples = self.frames_of(record.context(index)) * self.hop
        return AudioCodec(self.rate, self.channels, samples, self.frame_axis).read_media(record, index)

    def encode(self, record: PreferenceRecord) -> LatentExample:
        """One record.

        Raises:
            RecordError: as in `AudioCodec`, and for latents of another length than the prompt tells.
        """
        example = super().encode(record)
        for index, row in enumerate(example.rows):
            frames = self.frames_of(row.prompt)
            if row.encoded and len(row.data) != frames:
                problem = (
                    f"latents of {len(row.data)} frames ({len(row.data) * self.hop / self.rate:.6g} s), but the prompt "
                    f"asks for {frames}; state the length in its condition 'seconds'"
                )
                raise record.error(problem, f"responses[{index}].arrays.latents")
        return example

    def collate(self, examples: Sequence[LatentExample], needs: frozenset[str] = frozenset()) -> Batch:
        """As in `LatentCodec`.

        Raises:
            RecordError: as there, and for several lengths where prompts are to be paired with other records' sounds.
        """
        lengths = {self.frames_of(row.prompt): example.record for example in examples for row in example.rows}
        if "mismatched" in needs and len(lengths) > 1:
            problem = f"pairing prompts with other records' sounds needs one length, got {sorted(lengths)} frames"
            raise list(lengths.values())[-1].error(problem, "prompt.conditions.seconds")
        return super().collate(examples, needs)
