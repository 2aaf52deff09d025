"""What CSM is told: the words and who says them, behind the turns of a conversation with their sounds.

Axes: C prompts, L tokens, A sounds of a prompt, W samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prefalign.interfaces import Media, Message, PrefalignError, Prompt
from prefalign_audio.streams.models.sounds import Fitting
from prefalign_audio.streams.models.text import UNCONDITIONAL, TextConditioner

#: Stands among the tokens where a sound is heard.
SOUND = -1


@dataclass(frozen=True)
class Turn:
    """Who says what, and how it sounded; the last turn of a prompt has no sound."""

    speaker: int
    text: str
    sound: Media | None = None


class CsmConditioner(TextConditioner):
    """Reads what is to be said, by whom, and what was said before.

    A prompt is a text, or the condition `lyrics`, with the condition `speaker`, a number, 0 if not told. Or it is a
    conversation: messages whose role is the speaker's number, each a text and the place of its sound, and a last one
    that is text alone.

    Args:
        tokenizer: marks the beginning and the end of each turn.
        longest: most tokens of the texts.
        fitting: brings the sounds of turns to the codec.
    """

    further = ("speaker",)

    def __init__(self, tokenizer: Any, longest: int, fitting: Fitting) -> None:
        super().__init__(tokenizer, "lyrics", longest, add_special_tokens=True)
        self.fitting = fitting

    def encode(self, prompt: Prompt) -> dict[str, Tensor]:
        """`input_ids` (L,), `SOUND` behind each turn that has one; `samples` (A, W) and `counts` (A,) of the sounds.

        Raises:
            PrefalignError: for other prompts than these, and texts that are too long.
        """
        ids: list[int] = []
        sounds: list[Tensor] = []
        for turn in self.turns(prompt):
            ids += self.tokenizer(f"[{turn.speaker}]{turn.text}", **self.options)["input_ids"]
            if turn.sound is not None:
                ids.append(SOUND)
                sounds.append(self.fitting.read(turn.sound).samples[0])
        if len(ids) > self.longest:
            raise PrefalignError(f"the texts have {len(ids)} tokens, and the model reads {self.longest}")
        counts = torch.tensor([len(one) for one in sounds], dtype=torch.long)
        samples = torch.nn.utils.rnn.pad_sequence(sounds, batch_first=True) if sounds else torch.zeros(0, 0)
        return {"input_ids": torch.tensor(ids, dtype=torch.long), "samples": samples, "counts": counts}

    def turns(self, prompt: Prompt) -> list[Turn]:
        """The turns, of which the last is to be said.

        Raises:
            PrefalignError: for a speaker that is no number, turns of another form, and media without a place.
        """
        unheard = bool(prompt.conditions.get(UNCONDITIONAL))
        if not prompt.messages:
            self.check(prompt)
            speaker = prompt.conditions.get("speaker", 0)
            if isinstance(speaker, bool) or not isinstance(speaker, int) or speaker < 0:
                problem = f"expected the condition 'speaker' to be a whole number of at least 0, got {speaker!r}"
                raise PrefalignError(problem)
            return [Turn(speaker, "" if unheard else self.text(prompt))]
        self.check(Prompt(conditions=prompt.conditions))
        if told := sorted(prompt.conditions.keys() - {UNCONDITIONAL}):
            raise PrefalignError(f"the condition {told[0]!r} stands beside messages, which say it themselves")
        media = iter(prompt.media)
        found = [_turn(message, media, number) for number, message in enumerate(prompt.messages)]
        if next(media, None) is not None:
            raise PrefalignError("the prompt has media that no message has a place for")
        *earlier, last = found
        if last.sound is not None or any(turn.sound is None for turn in earlier):
            raise PrefalignError("expected each message to bring its sound, but the last one, which is to be said")
        return [*earlier, Turn(last.speaker, "" if unheard else last.text)]

    def collate(self, encoded: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` (C, L), padded on the right; `samples` (C, A, W) and `counts` (C, A)."""
        heard = torch.tensor(True)
        texts = super().collate([{"input_ids": one["input_ids"], "heard": heard} for one in encoded])
        most, width = (max(one["samples"].shape[axis] for one in encoded) for axis in (0, 1))
        samples = torch.zeros(len(encoded), most, width)
        counts = torch.zeros(len(encoded), most, dtype=torch.long)
        for row, one in enumerate(encoded):
            count, size = one["samples"].shape
            samples[row, :count, :size], counts[row, :count] = one["samples"], one["counts"]
        del texts["heard"]
        return {**texts, "samples": samples, "counts": counts}

    def fingerprint(self) -> str:
        """Hash of the vocabulary; sounds that are heard at all are heard as they are."""
        return hashlib.sha256(f"turns {super().fingerprint()}".encode()).hexdigest()


def _turn(message: Message, media: Any, number: int) -> Turn:
    if not message.role.isdecimal():
        raise PrefalignError(f"messages[{number}]: expected the speaker's number as role, got {message.role!r}")
    match message.content:
        case (str() as text,):
            return Turn(int(message.role), text)
        case (str() as text, slot) if not isinstance(slot, str) and slot.kind == "audio":
            return Turn(int(message.role), text, next(media))
    raise PrefalignError(f"messages[{number}]: expected a text, and behind it the place of its sound")
