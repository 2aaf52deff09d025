"""The stream policy: any model of several token streams as a scorer and sampler of songs.

Axes: N rows, C distinct prompts, K streams, S steps.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prefalign.functional.logprobs import token_logps
from prefalign.interfaces import (
    Batch,
    Extension,
    Policy,
    PrefalignError,
    Prompt,
    Response,
    ResponseScores,
    unknown_name,
)
from prefalign.models.pretrained import LoraSettings, add_adapter, choose_trained
from prefalign.policies.token import scatter, summed
from prefalign_audio.streams.codec import CODES, UNFINISHED, StreamCodec, condition_inputs
from prefalign_audio.streams.model import Condition, StreamModel
from prefalign_audio.streams.sampling import Drawn, SamplingSettings, draw

#: Beside saved weights: what their prompts and songs were encoded with.
STREAMS_FILE = "streams.json"


class StreamPolicy(Policy):
    """A model of several token streams.

    A song's score is the sum over streams and frames of weight × log-probability (arXiv 2506.07520), its end included.
    Token log-probabilities are laid out step by step, the scored streams of a step side by side, and
    `ResponseScores.streams` tells them apart.

    Args:
        model: the family with its weights.
        stream_weights: weight of each stream's log-probabilities; all 1 if None. Streams of weight 0 are not scored,
            and parts of the network that serve none of the others do not run.
        trained: groups of the network's parts that are trained, in the family's words (`mixed` and `parts` of LeLM);
            all if None.
        frozen: parameters whose names contain one of these words are not trained.
        lora: train a low-rank adapter only; its reference is then the model with the adapter off.
        max_frames: most frames of a song; longer ones are refused.
        gradient_checkpointing: recompute activations in the backward pass.
        chunk_size: predictions of a stream whose logits exist at once.
        init_seed: seed of the adapter's weights.

    Raises:
        PrefalignError: for weights that do not fit the streams, and settings that exclude each other.
    """

    provides = frozenset({"token_logps", "likelihood", "collision", "entropy"})
    codec: StreamCodec

    def __init__(
        self,
        model: StreamModel,
        stream_weights: list[float] | None = None,
        trained: list[str] | None = None,
        frozen: list[str] | None = None,
        lora: LoraSettings | None = None,
        max_frames: int | None = None,
        gradient_checkpointing: bool = False,
        chunk_size: int = 1024,
        init_seed: int = 0,
    ) -> None:
        super().__init__()
        count = model.layout.pattern.streams
        self.stream_weights = [1.0] * count if stream_weights is None else list(map(float, stream_weights))
        if len(self.stream_weights) != count or not all(map(math.isfinite, self.stream_weights)):
            raise PrefalignError(f"expected {count} finite stream_weights, one a stream; got {stream_weights}")
        #: The streams that are scored.
        self.scored = [k for k, weight in enumerate(self.stream_weights) if weight]
        if not self.scored:
            raise PrefalignError("stream_weights are all 0, so that nothing would be scored")
        if lora is not None and trained is not None:
            raise PrefalignError("lora trains an adapter only: leave trained out, or lora")
        if trained == []:
            raise PrefalignError("trained names no group, so that nothing would be trained; leave it out to train all")
        self.family, self.trained, self.frozen, self.lora = model, trained, frozen or [], lora
        self.gradient_checkpointing, self.chunk_size, self.init_seed = gradient_checkpointing, chunk_size, init_seed
        self.codec = StreamCodec(model.layout, model.conditioner, max_frames)
        self._configured = False

    def configure_model(self) -> None:
        """Load or build the weights, freeze what is not trained, add the adapter.

        Raises:
            PrefalignError: for groups that the family does not have, and weights that have learnt other prompts.
        """
        if self._configured:
            return
        self._check_saved()
        self.family.configure_model()
        network = self.family.network
        for module in network.modules():
            # Policy and reference, or the two songs of a pair, must meet the same function.
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        choose_trained(network, self.frozen, self.gradient_checkpointing)
        if self.trained is not None:
            self._train_only(self.trained)
        if self.lora is not None:
            self.family.network = add_adapter(
                network, self.lora, "FEATURE_EXTRACTION", self.init_seed, self.gradient_checkpointing
            )
        self._configured = True

    def _train_only(self, names: Sequence[str]) -> None:
        groups = self.family.groups()
        for name in names:
            if name not in groups:
                raise unknown_name("group of trained parts", name, groups)
        wanted = tuple(beginning for name in names for beginning in groups[name])
        for name, parameter in self.family.network.named_parameters():
            if not name.startswith(wanted):
                parameter.requires_grad_(False)

    def _check_saved(self) -> None:
        """Refuse prompts that are encoded otherwise than those which saved weights have learnt."""
        source = getattr(self.family, "source", None)
        file = Path(source) / STREAMS_FILE if isinstance(source, str) else None
        if file is None or not file.is_file():
            return
        if json.loads(file.read_text("utf-8"))["conditioner"] != self.family.conditioner.fingerprint():
            raise PrefalignError(
                f"{file}: the model has learnt prompts in another encoding than that of the policy's conditioner; give "
                "the conditioner the files that stand beside the weights"
            )

    @property
    def has_adapter(self) -> bool:
        """Whether only a peft adapter is trained."""
        return self.lora is not None

    def adapter_disabled(self) -> Any:
        """A context in which the adapter is off, so that the model is its own reference."""
        return self.family.network.disable_adapter() if self.has_adapter else super().adapter_disabled()

    # Scoring ---------------------------------------------------------------------------------------------------------

    def scores(self, batch: Batch, needs: frozenset[str] = frozenset()) -> ResponseScores:
        """Log-probabilities of the N songs' codes, in nats."""
        inputs: dict[str, Any] = batch.inputs
        ids, mask = inputs["ids"], inputs["mask"]
        condition = self._rows(self.family.condition(condition_inputs(inputs)), inputs["prompt"])
        hidden = self.family.hidden(ids, inputs["present"], condition, self.scored)
        statistics = bool({"collision", "entropy"} & needs)
        found: dict[str, list[Tensor]] = {}
        for k in self.scored:
            states, head = hidden[k]
            chosen = mask[:, k]
            values = token_logps(
                states[chosen], head, ids[:, k, 1:][chosen], chunk_size=self.chunk_size, statistics=statistics
            )
            for name in ("logps", "collision", "entropy"):
                if (value := getattr(values, name)) is not None:
                    found.setdefault(name, []).append(scatter(value, chosen))
        scores = self._summed(_side_by_side(found["logps"]), batch)
        if statistics:
            scores.collision, scores.entropy = (_side_by_side(found[name]) for name in ("collision", "entropy"))
        return scores

    def _summed(self, logps: Tensor, batch: Batch) -> ResponseScores:
        inputs: dict[str, Any] = batch.inputs
        weights = inputs["weights"] * torch.tensor(self.stream_weights, device=logps.device)[:, None]
        mask = _side_by_side([inputs["mask"][:, k] for k in self.scored])
        scores = summed(logps, mask, _side_by_side([weights[:, k] for k in self.scored]) * mask)
        scores.streams = torch.tensor(self.scored, device=logps.device).repeat(inputs["mask"].shape[-1])
        return scores

    def stored(self, scores: ResponseScores) -> list[Tensor]:
        """Token log-probabilities of each row, step by step; weights are left out, since the model never sees them."""
        assert scores.token_logps is not None
        assert scores.mask is not None
        return [row[mask].float() for row, mask in zip(scores.token_logps, scores.mask, strict=True)]

    def restored(self, values: Sequence[Tensor], batch: Batch) -> ResponseScores:
        """The scores whose token log-probabilities are given."""
        inputs: dict[str, Any] = batch.inputs
        mask = _side_by_side([inputs["mask"][:, k] for k in self.scored])
        return self._summed(scatter(torch.cat(list(values)).to(mask.device), mask), batch)

    def keys(self, batch: Batch) -> list[str]:
        """One key per row; which streams are scored is part of it."""
        return [hashlib.sha256(f"{key} {self.scored}".encode()).hexdigest() for key in batch.keys]

    # Sampling --------------------------------------------------------------------------------------------------------

    def sample(
        self, prompts: Sequence[Prompt], n: int = 1, *, generator: torch.Generator | None = None, **options: Any
    ) -> list[list[Response]]:
        """`n` songs to each prompt, as arrays `codes` (K, T), and as sound where the family has a codec.

        Args:
            prompts: one batch.
            n: songs per prompt.
            generator: samples with its seed; the likeliest codes without one.
            options: fields of `SamplingSettings`.

        Returns:
            One list per prompt. A song that did not come to its end within `max_frames` has an array `unfinished`.
        """
        settings = self._settings(options)
        drawn = self._drawn([prompt for prompt in prompts for _ in range(n)], None, settings, generator)
        songs = [
            self._response(codes, ended, decoded=True) for codes, ended in zip(drawn.codes, drawn.ended, strict=True)
        ]
        return [songs[i * n : (i + 1) * n] for i in range(len(prompts))]

    def extend(
        self,
        prompts: Sequence[Prompt],
        begun: Sequence[Response | None],
        units: int,
        *,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> list[Extension]:
        """Write each song on by at most `units` frames; see `Policy.extend`.

        Every call begins by reading what stands, so that a search pays each frame as often as it goes on behind it.
        What stands is kept as it is. The last frames of streams that lag were then written before the others went on.
        """
        given = [None if one is None else torch.from_numpy(self.codec.codes(one)) for one in begun]
        lengths = [0 if codes is None else codes.shape[1] for codes in given]
        if len(set(lengths)) > 1:
            raise PrefalignError(f"extend: expected songs that stand at one frame, got {sorted(set(lengths))}")
        settings = self._settings(options)
        until = min(lengths[0] + units, settings.max_frames)
        if until <= lengths[0]:
            return [Extension(one, ended=True) for one in begun if one is not None]
        settings = dataclasses.replace(settings, max_frames=until, min_frames=min(settings.min_frames, until))
        drawn = self._drawn(prompts, given, settings, generator)
        return [
            Extension(self._response(codes, ended, decoded=ended), ended)
            for codes, ended in zip(drawn.codes, drawn.ended, strict=True)
        ]

    def _settings(self, options: dict[str, Any]) -> SamplingSettings:
        known = {field.name for field in dataclasses.fields(SamplingSettings)}
        for name in options:
            if name not in known:
                raise unknown_name("sampling option", name, known)
        return SamplingSettings(**({"max_frames": self.codec.max_frames} if self.codec.max_frames else {}) | options)

    def _drawn(
        self,
        prompts: Sequence[Prompt],
        begun: Sequence[Tensor | None] | None,
        settings: SamplingSettings,
        generator: torch.Generator | None,
    ) -> Drawn:
        # A prompt that stands in several places is one object, and has one negative.
        distinct = {id(prompt): prompt for prompt in prompts}
        order = {key: place for place, key in enumerate(distinct)}
        places = [order[id(prompt)] for prompt in prompts]
        shown = list(distinct.values())
        if guided := settings.guidance != 1:
            shown += [self.family.conditioner.negative(prompt) for prompt in distinct.values()]
            places += [len(distinct) + place for place in places]
        with self._sampling():
            return draw(
                self.family,
                self._conditions(shown, places),
                guided,
                settings,
                generator,
                begun or [None] * len(prompts),
            )

    def _conditions(self, prompts: Sequence[Prompt], places: Sequence[int]) -> Condition:
        """Conditions of rows that answer the prompts at these places."""
        device = next(self.family.network.parameters()).device
        collated = self.family.conditioner.collate([self.family.conditioner.encode(prompt) for prompt in prompts])
        found = self.family.condition({name: value.to(device) for name, value in collated.items()})
        return self._rows(found, torch.tensor(places, device=device))

    @staticmethod
    def _rows(condition: Condition, rows: Tensor) -> Condition:
        return {name: value[rows] for name, value in condition.items()}

    def _response(self, codes: np.ndarray, ended: bool, decoded: bool) -> Response:
        whole = ended or self.family.layout.end is None
        arrays = {CODES: codes} if whole else {CODES: codes, UNFINISHED: np.array(True)}
        media = self.family.decode(torch.from_numpy(codes)) if decoded else ()
        return Response(arrays=arrays, media=media, source=self._name)

    @property
    def _name(self) -> str:
        source = getattr(self.family, "source", None)
        return source if isinstance(source, str) else type(self.family).__name__

    @contextmanager
    def _sampling(self) -> Iterator[None]:
        """Without gradients and in evaluation mode."""
        was_training = self.family.network.training
        self.family.network.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.family.network.train(was_training)

    def save_pretrained(self, folder: Path) -> None:
        """Write the network (or the adapter, as peft reads it), and what prompts and songs are encoded with."""
        self.family.save_pretrained(folder)
        for name, text in self.family.conditioner.files().items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        layout = dataclasses.asdict(self.family.layout)
        told = {"conditioner": self.family.conditioner.fingerprint(), "layout": layout}
        (Path(folder) / STREAMS_FILE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _side_by_side(streams: Sequence[Tensor]) -> Tensor:
    """(N, S × K) of K tensors (N, S), the streams of a step beside each other."""
    return torch.stack(list(streams), dim=-1).flatten(1)
