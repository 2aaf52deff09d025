"""A stage that turns sounds into a stream model's codes once: training then hears nothing and loads no codec work.

records with sounds → the same records with arrays `codes`
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from prefalign.interfaces import PreferenceRecord, RecordError, Response, Stage, StageReport
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.streams.codec import CODES
from prefalign_audio.streams.model import StreamModel


class EncodeStreams(Stage):
    """Give each response its codes as an array `codes` (K, T).

    A record with a sound that cannot be encoded is left out and counted under the reason: a comparison that lost one of
    its sides is none.

    Args:
        model: the family that will be trained, in float32, since small distances decide a code. What it makes of other
            rates and channels is its own setting.
        keep_media: keep the sounds, which training then does not read.
    """

    def __init__(self, model: StreamModel, keep_media: bool = False) -> None:
        self.model, self.keep_media = model, keep_media

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The encoded records; nothing is random. What has codes already keeps them.

        Raises:
            CapabilityError: for a family without a codec.
        """
        self.model.configure_model()
        for record in records:
            report.seen += 1
            try:
                responses = tuple(self._encoded(response) for response in record.responses)
                encoded = dataclasses.replace(record, responses=responses)
            except SoundError as error:
                report.drop(str(error))
            except RecordError:
                # Only their codes tell responses apart from now on.
                report.drop("responses that are compared have the same codes")
            else:
                report.made += 1
                yield encoded

    def _encoded(self, response: Response) -> Response:
        if CODES in response.arrays:
            return response
        kinds = [medium.kind for medium in response.media]
        if kinds != ["audio"]:
            raise SoundError(f"a response without codes has media {kinds}: expected one sound")
        (sound,) = response.media
        try:
            arrays = {**response.arrays, CODES: self.model.encode(sound)}
        except SoundError as error:
            # Without the name of the file, so that sounds with one fault are counted together.
            raise SoundError(str(error).removeprefix(f"{sound.path or 'sound in the record'}: ")) from error
        return dataclasses.replace(response, arrays=arrays, media=response.media if self.keep_media else ())

    def settings(self) -> dict[str, Any]:
        """What decides the output: the codec's weights, and how sounds are fitted to it."""
        self.model.configure_model()
        return {
            "model": type(self.model).__name__,
            "codec": self.model.codec_fingerprint(),
            "keep_media": self.keep_media,
        }
