"""The mesh generator as a policy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from prefalign.functional.logprobs import token_logps
from prefalign.interfaces import Batch, CapabilityError, Policy, PrefalignError, Prompt, Response, ResponseScores
from prefalign.models.pretrained import DType, LoraSettings, add_adapter, choose_trained, from_pretrained
from prefalign.policies.token import scatter, summed
from prefalign_mesh3d.models.generator import MeshGenerator, MeshGeneratorConfig
from prefalign_mesh3d.policies.codec import MeshCodec
from prefalign_mesh3d.policies.sampling import LogitsProcessor, SamplingSettings, draw
from prefalign_mesh3d.policies.windows import Window, Windowing, place_of, window_at_random
from prefalign_mesh3d.tokenizers.base import MeshTokenizer

#: Beside a saved generator: how its tokens are to be read.
TOKENIZER_FILE = "mesh_tokenizer.json"

WindowMode = Literal["exact", "paired_random"]


class MeshPolicy(Policy):
    """A generator of mesh tokens under a point cloud.

    A response's score is the sum of its tokens' log-probabilities over all windows, each token under its window's left
    context and the whole condition. Windows are computed one after another, and computed again one after another in the
    backward pass, so that the exact gradient of the whole sequence is had in the memory of one window, for a third more
    arithmetic. (With g the loss's derivative by a score, this is ∇L = Σ over windows of g · ∇S_w, for any objective.)

    Args:
        model: folder of a `MeshGenerator`, or the arguments of `MeshGeneratorConfig` for random weights; its
            `vocab_size` is the tokenizer's.
        tokenizer: of the meshes.
        points: points of a cloud that the model reads.
        lora: train a low-rank adapter only; its reference is then the model with the adapter off.
        dtype: dtype of the weights. Log-probabilities are always accumulated in float32.
        window, stride: how long sequences are cut (see `Windowing`); None keeps them whole.
        window_mode: `exact` scores all windows; `paired_random` scores one at a time that begins with a part of the
            mesh, at the same relative place in all responses of a record and at another in every visit. That is cheap,
            biased, and leaves no score of the whole mesh.
        rows_at_once: rows of a batch whose windows are computed together; None for all.
        max_tokens: most tokens of a response, its end included.
        gradient_checkpointing: recompute activations block by block as well.
        frozen: parameters whose names contain one of these words are not trained; `encoder` is the point encoder.
        chunk_size: tokens whose logits exist at once.
        init_seed: seed of random weights.
        seed: of the random windows.

    Raises:
        PrefalignError: for settings that do not fit together.
    """

    provides = frozenset({"token_logps", "likelihood", "collision", "entropy"})
    codec: MeshCodec

    def __init__(
        self,
        model: str | dict[str, Any],
        tokenizer: MeshTokenizer,
        points: int = 4096,
        lora: LoraSettings | None = None,
        dtype: DType = "float32",
        window: int | None = None,
        stride: int | None = None,
        window_mode: WindowMode = "exact",
        rows_at_once: int | None = None,
        max_tokens: int | None = None,
        gradient_checkpointing: bool = False,
        frozen: list[str] | None = None,
        chunk_size: int = 1024,
        init_seed: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if (window is None) != (stride is None):
            raise PrefalignError("give window and stride both, or neither")
        if window_mode == "paired_random" and window is None:
            raise PrefalignError("window_mode paired_random needs window and stride")
        if rows_at_once is not None and rows_at_once < 1:
            raise PrefalignError(f"expected rows_at_once of at least 1, got {rows_at_once}")
        self.windowing = None if window is None or stride is None else Windowing(window, stride)
        self.source, self.tokenizer, self.lora, self.dtype = model, tokenizer, lora, dtype
        self.window_mode, self.rows_at_once = window_mode, rows_at_once
        self.gradient_checkpointing, self.frozen = gradient_checkpointing, frozen or []
        self.chunk_size, self.init_seed, self.seed = chunk_size, init_seed, seed
        self.codec = MeshCodec(tokenizer, points, max_tokens, parts=window_mode == "paired_random")
        self.model: Any = None

    def configure_model(self) -> None:
        """Load or build the weights, freeze what is not trained, add the adapter.

        Raises:
            PrefalignError: for a model of another tokenizer, or a stride that its hourglass cannot take.
        """
        if self.model is not None:
            return
        self.model = self._loaded()
        if self.model.config.vocab_size != self.tokenizer.vocab_size:
            raise PrefalignError(
                f"the model has {self.model.config.vocab_size} ids, and the tokenizer {self.tokenizer.name} with "
                f"{self.tokenizer.levels} levels has {self.tokenizer.vocab_size}"
            )
        if self.windowing is not None:
            self.windowing.check_unit(self.model.stride_unit)
        self.model.train()
        choose_trained(self.model, self.frozen, self.gradient_checkpointing)
        if self.lora is not None:
            self.model = add_adapter(
                self.model, self.lora, "FEATURE_EXTRACTION", self.init_seed, self.gradient_checkpointing
            )

    def _loaded(self) -> MeshGenerator:
        dtype = self.dtype if self.dtype == "auto" else getattr(torch, self.dtype)
        if isinstance(self.source, str):
            self._check_tokenizer(Path(self.source) / TOKENIZER_FILE)
            return from_pretrained(MeshGenerator, self.source, dtype=dtype)
        config = MeshGeneratorConfig(**{"vocab_size": self.tokenizer.vocab_size, **self.source})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.init_seed)
            model = MeshGenerator(config)
        return model if dtype == "auto" else model.to(dtype)

    def _check_tokenizer(self, file: Path) -> None:
        """Refuse a tokenizer of equal size that writes other streams than the model has learnt."""
        if not file.is_file():
            return
        learnt, mine = (
            json.loads(file.read_text("utf-8"))["tokenizer"],
            json.loads(json.dumps(self.tokenizer.settings())),
        )
        if learnt != mine:
            raise PrefalignError(f"{file}: the model was trained on the tokenizer {learnt}, and the policy has {mine}")

    @property
    def has_adapter(self) -> bool:
        """Whether only a peft adapter is trained."""
        return self.lora is not None

    def adapter_disabled(self) -> Any:
        """A context in which the adapter is off, so that the model is its own reference."""
        return self.model.disable_adapter() if self.has_adapter else super().adapter_disabled()

    @property
    def network(self) -> MeshGenerator:
        """The generator itself, beneath any adapter."""
        return self.model.get_base_model() if self.has_adapter else self.model

    def replays(self, batch: Batch) -> Iterable[Batch]:
        """The batch itself.

        Raises:
            CapabilityError: for random windows, of which there is no end.
        """
        if self.window_mode != "exact":
            raise CapabilityError(
                "random windows cannot be scored ahead: use the frozen reference, or window_mode exact"
            )
        return (batch,)

    def stored(self, scores: ResponseScores) -> list[Tensor]:
        """Token log-probabilities (T,) of each row."""
        assert scores.token_logps is not None
        assert scores.mask is not None
        return [row[mask].float() for row, mask in zip(scores.token_logps, scores.mask, strict=True)]

    def restored(self, values: Sequence[Tensor], batch: Batch) -> ResponseScores:
        """The scores whose token log-probabilities are given."""
        inputs: dict[str, Any] = batch.inputs
        mask = inputs["completion_mask"][:, 1:]
        return summed(scatter(torch.cat(list(values)).to(mask.device), mask), mask, inputs["token_weights"][:, 1:])

    def scores(self, batch: Batch, needs: frozenset[str] = frozenset()) -> ResponseScores:
        """Log-probabilities of the N meshes' tokens, in nats."""
        inputs: dict[str, Any] = batch.inputs
        ids, completion = inputs["input_ids"], inputs["completion_mask"][:, 1:]
        condition = self.network.condition(inputs["points"])
        jobs = self._jobs(batch)
        statistics = bool({"collision", "entropy"} & needs)
        found: dict[str, Tensor] = {}
        mask = torch.zeros_like(completion)
        for start, windows in jobs:
            selected = torch.zeros_like(completion)
            for row, window in windows.items():
                selected[row, window.scored : window.stop] = True
            rows = torch.tensor(list(windows), device=ids.device)
            stop = max(window.stop for window in windows.values())
            values = self._window(
                ids[rows, start:stop],
                condition[inputs["cloud"][rows]],
                start,
                selected[rows, start:stop],
                ids[:, 1:][rows, start:stop],
                statistics,
                again=len(jobs) > 1,
            )
            for name, value in values.items():
                before = found.get(name, torch.zeros(completion.shape, dtype=value.dtype, device=value.device))
                found[name] = before.masked_scatter(selected, value)
            mask |= selected
        out = summed(found["logps"], mask, inputs["token_weights"][:, 1:] * mask)
        out.collision, out.entropy = found.get("collision"), found.get("entropy")
        return out

    def _window(
        self,
        tokens: Tensor,
        condition: Tensor,
        start: int,
        selected: Tensor,
        targets: Tensor,
        statistics: bool,
        again: bool,
    ) -> dict[str, Tensor]:
        """Values at the selected positions of windows (n, T) with one start; computed `again` in the backward pass."""

        def run(tokens: Tensor, condition: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
            hidden = self.network.hidden(tokens, condition, start)[selected]
            out = token_logps(
                hidden, self.network.head, targets[selected], chunk_size=self.chunk_size, statistics=statistics
            )
            return out.logps, out.collision, out.entropy

        if again and torch.is_grad_enabled():
            out = checkpoint(run, tokens, condition, use_reentrant=False)
        else:
            out = run(tokens, condition)
        named = zip(("logps", "collision", "entropy"), out, strict=True)
        return {name: value for name, value in named if value is not None}

    def _jobs(self, batch: Batch) -> list[tuple[int, dict[int, Window]]]:
        """What is computed together: a start, and the windows that begin there by row, in ascending order of both."""
        inputs: dict[str, Any] = batch.inputs
        lengths = inputs["completion_mask"][:, 1:].sum(-1).tolist()
        jobs: dict[tuple[int, int], dict[int, Window]] = {}
        for row, length in enumerate(lengths):
            if self.windowing is None:
                windows = [Window(0, length, 0)]
            elif self.window_mode == "exact":
                windows = self.windowing.of(length)
            else:
                windows = [self._random_window(batch, row, length)]
            group = 0 if self.rows_at_once is None else row // self.rows_at_once
            for window in windows:
                jobs.setdefault((window.start, group), {})[row] = window
        return [(start, jobs[start, group]) for start, group in sorted(jobs)]

    def _random_window(self, batch: Batch, row: int, length: int) -> Window:
        inputs: dict[str, Any] = batch.inputs
        assert self.windowing is not None
        record = int(batch.relations.record[row])
        visit = 0 if batch.visits is None else int(batch.visits[record])
        place = place_of(batch.relations.ids[record], visit, self.seed)
        starts = inputs["part_starts"][row, :length]
        return window_at_random(starts, length, self.windowing, self.network.stride_unit, place)

    @torch.no_grad()
    def sample(
        self, prompts: Sequence[Prompt], n: int = 1, *, generator: torch.Generator | None = None, **options: Any
    ) -> list[list[Response]]:
        """`n` meshes to each cloud, as token ids; those that came to an end have the end id last.

        Args:
            prompts: with a cloud each; one batch.
            n: meshes per prompt.
            generator: samples with its seed; the likeliest token each time without one.
            options: fields of `SamplingSettings`, and `processors`, a list of logits processors.

        Returns:
            One list per prompt.
        """
        processors: Sequence[LogitsProcessor] = options.pop("processors", ())
        settings = SamplingSettings(**{"max_tokens": self.codec.max_tokens or 1024, **options})
        network, device = self.network, next(self.network.parameters()).device
        if generator is not None:
            # Drawn where the model is; the seed comes from the caller's generator, which may live elsewhere.
            seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
            generator = torch.Generator(device).manual_seed(seed)
        was_training = network.training
        network.eval()
        try:
            clouds = torch.stack([self.codec.cloud(prompt) for prompt in prompts]).to(device)
            condition = network.condition(clouds).repeat_interleave(n, dim=0)
            ends = (self.tokenizer.bos_id, self.tokenizer.eos_id)
            drawn = draw(network, condition, ends, settings, self.windowing, generator, processors)
        finally:
            network.train(was_training)
        name = self.source if isinstance(self.source, str) else network.config.model_type
        responses = [Response(token_ids=tuple(ids), source=name) for ids in drawn]
        return [responses[i * n : (i + 1) * n] for i in range(len(prompts))]

    def save_pretrained(self, folder: Path) -> None:
        """Write the generator (or the adapter, as peft reads it) and the settings of the tokenizer."""
        self.model.save_pretrained(folder)
        settings = {"tokenizer": self.tokenizer.settings(), "points": self.codec.points}
        (Path(folder) / TOKENIZER_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
