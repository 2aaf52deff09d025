"""M-DPO's masks (Mesh-RFT, arXiv 2505.16761) as token weights: good faces of the chosen, bad ones of the rejected."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np

from prefalign.interfaces import Pair, PreferenceRecord, Response, Segment, Stage, StageReport, unknown_name
from prefalign_mesh3d.pairs.face_rules import FaceRule
from prefalign_mesh3d.tokenizers.base import Decoded, MeshTokenizer

End = Literal["chosen", "both", "none"]


def token_mask(decoded: Decoded, good: np.ndarray, *, of_good: bool) -> np.ndarray:
    """(T,) bool, tokens of good faces, or tokens of bad ones; tokens of no face are in neither.

    Args:
        decoded: a stream and its mesh.
        good: (F,) bool.
        of_good: which of both: φ or, over tokens of faces, 1 − φ.
    """
    # The spare flag at the end is that of face -1.
    return np.append(good == of_good, False)[decoded.face_of_token]


def part_of_face(tokenizer: MeshTokenizer, tokens: np.ndarray, decoded: Decoded) -> np.ndarray:
    """(F,) int64 which part of a stream each face is written in, such as its fan; see `MeshTokenizer.part_starts`."""
    part = np.cumsum(tokenizer.part_starts(tokens))
    found = np.zeros(len(decoded.mesh.faces), np.int64)
    owned = decoded.face_of_token >= 0
    found[decoded.face_of_token[owned]] = part[owned]
    return found


def mask_segments(mask: np.ndarray) -> tuple[Segment, ...]:
    """Segments of weight 0 on the axis `token`, one for each run outside of a (T,) mask; what is left out weighs 1."""
    turns = np.flatnonzero(np.diff(np.concatenate([[True], mask, [True]]).astype(np.int8))).reshape(-1, 2)
    return tuple(Segment(start, stop, 0.0, "token") for start, stop in turns.tolist())


class MaskFaces(Stage):
    """Let only the good faces of the chosen mesh, and only the bad ones of the rejected mesh, count in the loss.

    The chosen mesh's tokens weigh φ, 1 on those of good faces; the rejected mesh's 1 − φ. A token belongs to the first
    face that needs it (`Decoded.face_of_token`). A token of no face, such as one that makes a degenerate face, weighs 0
    on either side. Other orders of the pair, as for a control with shuffled preferences, are to be made before: the
    masks are those of the verdict.

    Args:
        tokenizer: that wrote the responses' `token_ids`.
        rule: which faces are good.
        end: whether the end token counts, where there is one. `chosen` (default): in the chosen mesh only, so that
            ending well is learnt and ending at all is not unlearnt. `both` gives DPO where every face of the chosen is
            good and every face of the rejected bad. `none` leaves it out, as no face needs it; the paper does not say.

    Raises:
        PrefalignError: for an unknown `end`.
    """

    def __init__(self, tokenizer: MeshTokenizer, rule: FaceRule, end: End = "chosen") -> None:
        if end not in get_args(End):
            raise unknown_name("end", end, get_args(End))
        self.tokenizer, self.rule, self.end = tokenizer, rule, end

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs with their masks as segments; nothing is random.

        A side without a token that counts takes no part in the loss; a pair without any is left out, and so is one of
        which neither side is better.

        Raises:
            RecordError: for records that are no pairs, and for responses without `token_ids` or with segments already.
        """
        for record in records:
            report.seen += 1
            verdict = record.verdict
            if not isinstance(verdict, Pair):
                raise record.error("expected a pair; put this stage behind one that makes pairs", "verdict")
            if verdict.tie or verdict.probability <= 0.5:
                report.drop("neither side of the pair is better, so there is nothing to mask")
                continue
            masks = {
                verdict.chosen: self._mask(record, verdict.chosen, chosen=True),
                verdict.rejected: self._mask(record, verdict.rejected, chosen=False),
            }
            if not any(mask.any() for mask in masks.values()):
                report.drop("the chosen mesh has no good face and the rejected one no bad face")
                continue
            report.made += 1
            responses: list[Response] = list(record.responses)
            for index, mask in masks.items():
                responses[index] = dataclasses.replace(responses[index], segments=mask_segments(mask))
            yield dataclasses.replace(record, responses=tuple(responses))

    def _mask(self, record: PreferenceRecord, index: int, *, chosen: bool) -> np.ndarray:
        """(T,) bool, the tokens of a response that count."""
        response = record.responses[index]
        if response.token_ids is None:
            raise record.error("expected token_ids, which masks are made of", f"responses[{index}].token_ids")
        if response.segments:
            problem = "the response has segments already, which masks would replace"
            raise record.error(problem, f"responses[{index}].segments")
        tokens = np.asarray(response.token_ids, np.int64)
        decoded = self.tokenizer.decode(tokens)
        good = self.rule(decoded.mesh, part_of_face(self.tokenizer, tokens, decoded))
        mask = token_mask(decoded, good, of_good=chosen)
        if self.end == "both" or (self.end == "chosen" and chosen):
            # The first end is the one that is sampled; what stands behind it is padding.
            mask[np.flatnonzero(tokens == self.tokenizer.eos_id)[:1]] = True
        return mask

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {"tokenizer": self.tokenizer.settings(), "rule": self.rule.settings(), "end": self.end}


__all__ = ["End", "MaskFaces", "mask_segments", "part_of_face", "token_mask"]
