"""Records to token rows under point clouds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefalign.interfaces import Batch, PreferenceRecord, Prompt, RecordError, Relations, Response, Segment
from prefalign.models.tokens import TokenExample, TokenRow, pad_rows, spans_to_weights
from prefalign_mesh3d.mesh.clouds import MESH, load_cloud, medium_bytes
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.files import mesh_from_bytes
from prefalign_mesh3d.tokenizers.base import MeshTokenizer


class MeshCodec:
    """Reads clouds and the tokens of meshes.

    A record's prompt brings one medium of the kind `points` or `mesh`. A response brings `token_ids`, which end with
    the tokenizer's end id where the mesh is finished, or one medium of the kind `mesh`, which is tokenised. Its
    segments may be on the axes `token` and `face`, faces in the order of the stream.

    Args:
        tokenizer: of the meshes.
        points: points of a cloud that the model reads.
        max_tokens: most tokens of a response, its end included; longer ones are refused, since half a mesh is no mesh.
        parts: also say where parts of the meshes begin, for windows that begin there.
    """

    def __init__(
        self, tokenizer: MeshTokenizer, points: int, max_tokens: int | None = None, parts: bool = False
    ) -> None:
        self.tokenizer, self.points, self.max_tokens, self.parts = tokenizer, points, max_tokens, parts

    def fingerprint(self) -> str:
        """Hash of what besides the record decides the encoding."""
        return hashlib.sha256(repr((self.tokenizer.fingerprint(), self.points, self.max_tokens)).encode()).hexdigest()

    def encode(self, record: PreferenceRecord) -> TokenExample:
        """One record as token rows, a row per response.

        Raises:
            RecordError: for prompts and responses that are not as the class describes, with the record's id.
        """
        clouds: dict[int, Tensor] = {}
        rows = []
        for index, response in enumerate(record.responses):
            prompt = record.context(index)
            if id(prompt) not in clouds:
                clouds[id(prompt)] = self._cloud(prompt, record)
            tokens = self._tokens(record, index)
            row = TokenRow([self.tokenizer.bos_id], tokens.tolist(), self._weights(response, tokens, record.id))
            row.side = {"points": clouds[id(prompt)]}
            rows.append(row.keyed())
        return TokenExample(record, rows)

    def cloud(self, prompt: Prompt) -> Tensor:
        """(P, 6) the cloud of a prompt.

        Raises:
            MeshError: unless it has exactly one medium, which can be read as one.
        """
        if len(prompt.media) != 1:
            raise MeshError(f"expected one medium, a cloud or a mesh, got {len(prompt.media)}")
        return torch.from_numpy(load_cloud(prompt.media[0], self.points))

    def _cloud(self, prompt: Prompt, record: PreferenceRecord) -> Tensor:
        try:
            return self.cloud(prompt)
        except MeshError as error:
            raise record.error(str(error), "prompt.media") from error

    def _tokens(self, record: PreferenceRecord, index: int) -> np.ndarray:
        response, place = record.responses[index], f"responses[{index}]"
        if response.token_ids is not None:
            tokens = np.asarray(response.token_ids, np.int64)
            self._check(tokens, record, place)
        else:
            tokens = np.append(self._tokenised(response, record, place), self.tokenizer.eos_id)
        if self.max_tokens is not None and len(tokens) > self.max_tokens:
            raise record.error(f"{len(tokens)} tokens, and max_tokens is {self.max_tokens}", place)
        return tokens

    def _check(self, tokens: np.ndarray, record: PreferenceRecord, place: str) -> None:
        tokenizer = self.tokenizer
        if not len(tokens):
            raise record.error("the response has no tokens, not even the end", f"{place}.token_ids")
        last = tokens[-1] == tokenizer.eos_id
        inside = tokens[: len(tokens) - last]
        bad = np.flatnonzero((inside < 0) | (inside >= tokenizer.geometry_size))
        if len(bad):
            problem = (
                f"token {bad[0]} is {inside[bad[0]]}; {tokenizer.name} with {tokenizer.levels} levels has ids 0 to "
                f"{tokenizer.geometry_size - 1}, and {tokenizer.eos_id} at the end only"
            )
            raise record.error(problem, f"{place}.token_ids")

    def _tokenised(self, response: Response, record: PreferenceRecord, place: str) -> np.ndarray:
        if len(response.media) != 1 or response.media[0].kind != MESH:
            raise record.error("expected token_ids, or one medium of the kind 'mesh'", place)
        medium = response.media[0]
        suffix = Path(medium.path or "mesh.glb").suffix.lstrip(".")
        try:
            mesh = mesh_from_bytes(medium_bytes(medium), suffix, medium.path or "the record's mesh")
            return self.tokenizer.tokenize(mesh)
        except MeshError as error:
            raise record.error(str(error), f"{place}.media[0]") from error

    def _weights(self, response: Response, tokens: np.ndarray, record_id: str) -> list[float]:
        """One weight per token; a token of no face keeps 1 under segments of faces."""
        by_face = [segment for segment in response.segments if segment.axis == "face"]
        if not by_face:
            return spans_to_weights(response, np.zeros((len(tokens), 2), np.int64), record_id)
        if len(by_face) < len(response.segments):
            raise RecordError(
                "segments on the axis 'face' beside segments on other axes", field="segments", record_id=record_id
            )
        return self._face_weights(by_face, tokens, record_id)

    def _face_weights(self, segments: Sequence[Segment], tokens: np.ndarray, record_id: str) -> list[float]:
        decoded = self.tokenizer.decode(tokens)
        count = len(decoded.mesh.faces)
        weights = np.ones(count + 1)
        for segment in segments:
            if segment.stop > count:
                problem = f"segment [{segment.start}, {segment.stop}) goes past the mesh's {count} faces"
                raise RecordError(problem, field="segments", record_id=record_id)
            weights[segment.start : segment.stop] = segment.weight
        # Tokens of no face are -1, which is the spare weight at the end.
        return weights[decoded.face_of_token].tolist()

    def collate(self, examples: Sequence[TokenExample], needs: frozenset[str] = frozenset()) -> Batch:
        """Right-padded rows, in the order of the records and their responses.

        Inputs of the batch: `input_ids`, `attention_mask`, `completion_mask`, `token_weights`, all (N, T); `points`
        (C, P, 6), the distinct clouds; `cloud` (N,), which of them a row answers; with `parts`, `part_starts` (N, T)
        bool, the inputs whose next token begins a part.
        """
        rows = [row for example in examples for row in example.rows]
        inputs: dict[str, Any] = pad_rows(rows, self.tokenizer.eos_id)
        # Rows of one prompt hold one tensor; the encoder then reads it once.
        distinct = {id(row.side["points"]): row.side["points"] for row in rows}
        places = {key: index for index, key in enumerate(distinct)}
        inputs["points"] = torch.stack(list(distinct.values()))
        inputs["cloud"] = torch.tensor([places[id(row.side["points"])] for row in rows])
        if self.parts:
            inputs["part_starts"] = torch.zeros(inputs["input_ids"].shape, dtype=torch.bool)
            for index, row in enumerate(rows):
                begins = self.tokenizer.part_starts(np.array(row.completion))
                inputs["part_starts"][index, : len(begins)] = torch.from_numpy(begins)
        relations = Relations.from_records([example.record for example in examples])
        return Batch(inputs, relations, [row.key for row in rows])
