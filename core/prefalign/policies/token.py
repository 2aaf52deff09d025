"""The token policy: any Transformers causal language model as a scorer and sampler of responses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefalign.functional.logprobs import TokenStatistics, gathered_logps, token_logps
from prefalign.interfaces import (
    Batch,
    CapabilityError,
    Extension,
    Policy,
    PrefalignError,
    Prompt,
    Response,
    ResponseScores,
)
from prefalign.models.pretrained import (
    DType,
    LoraSettings,
    add_adapter,
    choose_trained,
    from_pretrained,
    load_network,
)
from prefalign.models.tokens import TextCodec


class TokenPolicy(Policy):
    """A causal language model.

    Args:
        model: id or folder for `from_pretrained`, or a config as a mapping (`{model_type: llama, hidden_size: 64, …}`)
            for random weights.
        tokenizer: id or folder of the tokenizer; the model's own if None.
        lora: train a low-rank adapter only; its reference is then the model with the adapter off.
        dtype: dtype of the weights. Log-probabilities are always accumulated in float32.
        max_length: most tokens of prompt and response together; prompts are never cut.
        gradient_checkpointing: recompute activations in the backward pass.
        attn_implementation: `sdpa`, `eager`, `flash_attention_2`, … as in Transformers.
        frozen: parameters whose names contain one of these words are not trained.
        chunk_size: tokens whose logits exist at once.
        init_seed: seed of random weights, so that the same config always gives the same model.
        revision: revision on the hub.
        trust_remote_code: run model code that a hub repository brings. Off unless you have read it.
    """

    provides = frozenset({"token_logps", "likelihood", "collision", "entropy", "prompt_logps", "mismatched"})
    codec: TextCodec

    def __init__(
        self,
        model: str | dict[str, Any],
        tokenizer: str | None = None,
        lora: LoraSettings | None = None,
        dtype: DType = "float32",
        max_length: int | None = None,
        gradient_checkpointing: bool = False,
        attn_implementation: str | None = None,
        frozen: list[str] | None = None,
        chunk_size: int = 1024,
        init_seed: int = 0,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(model, dict) and tokenizer is None:
            raise PrefalignError("a model built from a config needs a tokenizer: give the id or folder of one")
        self.source = model
        self.lora, self.dtype = lora, dtype
        self.gradient_checkpointing, self.attn_implementation = gradient_checkpointing, attn_implementation
        self.frozen, self.chunk_size, self.init_seed = frozen or [], chunk_size, init_seed
        self._hub: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
        self.codec = self.make_codec(str(tokenizer or model), max_length)
        self.model: Any = None
        self._plain_head = False

    def make_codec(self, tokenizer: str, max_length: int | None) -> Any:
        """The codec for the tokenizer or processor at an id or folder."""
        from transformers import AutoTokenizer

        return TextCodec(from_pretrained(AutoTokenizer, tokenizer, **self._hub), max_length)

    #: The Auto class that knows this family.
    auto_class: str = "AutoModelForCausalLM"

    def configure_model(self) -> None:
        """Load or build the weights, freeze what is not trained, add the adapter."""
        if self.model is not None:
            return
        self.model = load_network(
            self.auto_class,
            self.source,
            dtype=self.dtype,
            attn_implementation=self.attn_implementation,
            init_seed=self.init_seed,
            hub=self._hub,
        )
        choose_trained(self.model, self.frozen, self.gradient_checkpointing)
        if self.lora is not None:
            self._add_adapter(self.lora)
        self._plain_head = not self._head_reads_hidden_states()

    def _add_adapter(self, settings: LoraSettings) -> None:
        self.model = add_adapter(self.model, settings, "CAUSAL_LM", self.init_seed, self.gradient_checkpointing)

    @property
    def has_adapter(self) -> bool:
        """Whether only a peft adapter is trained."""
        return self.lora is not None

    def adapter_disabled(self) -> Any:
        """A context in which the adapter is off, so that the model is its own reference."""
        return self.model.disable_adapter() if self.has_adapter else super().adapter_disabled()

    @property
    def network(self) -> Any:
        """The Transformers model itself, beneath any adapter."""
        return self.model.get_base_model() if self.has_adapter else self.model

    @torch.no_grad()
    def _head_reads_hidden_states(self) -> bool:
        """Whether the head applied to the last hidden states gives the model's logits.

        Some families scale or cap their logits after the head; a few tokens tell, and the plain path serves those.
        Both sides are the same arithmetic where it does, so they agree far beyond the rounding of any dtype.
        """
        if self.network.get_output_embeddings() is None or next(self.network.parameters()).is_meta:
            return False
        vocabulary = self.network.get_input_embeddings().weight.shape[0]
        ids = torch.arange(16, device=next(self.network.parameters()).device)[None] % vocabulary
        was_training = self.network.training
        self.network.eval()
        logits = self.network(input_ids=ids, use_cache=False).logits
        hidden = self.network.base_model(input_ids=ids, use_cache=False).last_hidden_state
        self.network.train(was_training)
        return bool(
            torch.allclose(self.network.get_output_embeddings()(hidden).float(), logits.float(), rtol=1e-5, atol=1e-6)
        )

    def forward_inputs(self, batch: Batch) -> dict[str, Any]:
        """What the network reads of a batch."""
        return {name: batch.inputs[name] for name in ("input_ids", "attention_mask")}

    def stored(self, scores: ResponseScores) -> list[Tensor]:
        """Token log-probabilities (T,) of each row; weights are left out, since the model never sees them."""
        assert scores.token_logps is not None
        assert scores.mask is not None
        return [row[mask].float() for row, mask in zip(scores.token_logps, scores.mask, strict=True)]

    def restored(self, values: Sequence[Tensor], batch: Batch) -> ResponseScores:
        """The scores whose token log-probabilities are given."""
        mask, weights = self.token_layout(batch)
        return summed(scatter(torch.cat(list(values)).to(mask.device), mask), mask, weights)

    def token_layout(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(N, T - 1) mask of the scored positions and their weights, aligned with the predicted token."""
        inputs: dict[str, Any] = batch.inputs
        return inputs["completion_mask"][:, 1:], inputs["token_weights"][:, 1:]

    def scores(self, batch: Batch, needs: frozenset[str] = frozenset()) -> ResponseScores:
        """Log-probabilities of the N completions, in nats."""
        mask, weights = self.token_layout(batch)
        inputs: dict[str, Any] = batch.inputs
        selected = mask
        if "prompt_logps" in needs:
            selected = inputs["attention_mask"][:, 1:].bool()
        targets = inputs["input_ids"][:, 1:][selected]
        found = self._selected_logps(batch, selected, targets, bool({"collision", "entropy"} & needs))
        logps = scatter(found.logps, selected)
        out = summed(logps * mask, mask, weights)
        if found.collision is not None and found.entropy is not None:
            out.collision, out.entropy = scatter(found.collision, selected), scatter(found.entropy, selected)
        if "prompt_logps" in needs:
            prompt = selected & ~mask
            out.prompt_logps, out.prompt_lengths = (logps * prompt).sum(-1), prompt.sum(-1).to(logps.dtype)
        return out

    def _selected_logps(self, batch: Batch, selected: Tensor, targets: Tensor, statistics: bool) -> TokenStatistics:
        forward = self.forward_inputs(batch)
        if self._plain_head:
            logits = self.network(**forward, use_cache=False).logits[:, :-1][selected]
            logs = logits.detach().float().log_softmax(-1)
            return TokenStatistics(
                gathered_logps(logits, targets), (2 * logs).logsumexp(-1), -(logs.exp() * logs).sum(-1)
            )
        hidden = self.network.base_model(**forward, use_cache=False).last_hidden_state[:, :-1][selected]
        head = self.network.get_output_embeddings()
        return token_logps(hidden, head, targets, chunk_size=self.chunk_size, statistics=statistics)

    @torch.no_grad()
    def sample(
        self, prompts: Sequence[Prompt], n: int = 1, *, generator: torch.Generator | None = None, **options: Any
    ) -> list[list[Response]]:
        """`n` responses to each prompt, as text.

        Args:
            prompts: what to answer; one batch, padded on the left.
            n: responses per prompt.
            generator: samples with its seed; greedy without one.
            options: passed on to Transformers' `generate` (`max_new_tokens`, `temperature`, …).

        Returns:
            One list per prompt. A response may be empty: that is an outcome too, though no record takes it.
        """
        settings = {"max_new_tokens": 128, "num_return_sequences": n} | options
        ids = self._generated(self.generation_inputs(prompts), generator, settings)
        texts = self.codec.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [
            [Response(text=text, source=self._name) for text in texts[i * n : (i + 1) * n]] for i in range(len(prompts))
        ]

    @torch.no_grad()
    def extend(
        self,
        prompts: Sequence[Prompt],
        begun: Sequence[Response | None],
        units: int,
        *,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> list[Extension]:
        """Write each response on by up to `units` tokens; one batch, padded on the left.

        A response has its text without special tokens, and `token_ids`, which hold the end token where it has ended:
        read back by the codec, it is scored for the tokens that were drawn and no others. What has ended already comes
        back as it is.

        Args:
            prompts: what is answered.
            begun: what stands of each answer, by its `token_ids`; None for nothing.
            units: most tokens that are added.
            generator: samples with its seed; greedy without one.
            options: passed on to Transformers' `generate`. `eos_token_id` may name several tokens that end an answer.

        Raises:
            PrefalignError: for other numbers of prompts and answers, `units` below 1, a length among the options, or
                answers without token ids.
            CapabilityError: in a subclass that samples in a way of its own and has no `extend` to go with it.
        """
        self._check_extension(prompts, begun, units, options)
        end = options.get("eos_token_id", self.codec.tokenizer.eos_token_id)
        ends = set(end) if isinstance(end, (list, tuple)) else {end}
        written = [[] if one is None else list(one.token_ids or ()) for one in begun]
        going = [i for i, ids in enumerate(written) if not (ids and ids[-1] in ends)]
        if going:
            inputs = self._left_padded([self._prompt_ids(prompts[i]) + written[i] for i in going])
            drawn = self._generated(inputs, generator, {"max_new_tokens": units} | options).tolist()
            for i, ids in zip(going, drawn, strict=True):
                # Rows that end before the others are filled up behind their end.
                stop = next((place for place, token in enumerate(ids, start=1) if token in ends), len(ids))
                written[i] += ids[:stop]
        texts = self.codec.tokenizer.batch_decode(written, skip_special_tokens=True)
        return [
            Extension(Response(text=text, token_ids=tuple(ids), source=self._name), ended=bool(ids) and ids[-1] in ends)
            for text, ids in zip(texts, written, strict=True)
        ]

    def _check_extension(
        self, prompts: Sequence[Prompt], begun: Sequence[Response | None], units: int, options: Mapping[str, Any]
    ) -> None:
        own = type(self)
        if own.sample is not TokenPolicy.sample or own.generation_inputs is not TokenPolicy.generation_inputs:
            raise CapabilityError(
                f"{own.__name__} samples in a way of its own and has no extend to go with it; take best-of-N"
            )
        if len(prompts) != len(begun) or units < 1:
            raise PrefalignError(
                f"expected as many prompts as answers and units of at least 1, got {len(prompts)} prompts, "
                f"{len(begun)} answers and units {units}"
            )
        lengths = ("max_new_tokens", "max_length", "min_new_tokens", "min_length", "num_return_sequences")
        if wrong := sorted(options.keys() & set(lengths)):
            raise PrefalignError(f"extend adds one piece of `units` tokens to each answer; leave out {wrong[0]!r}")
        if bare := [i for i, one in enumerate(begun) if one is not None and one.token_ids is None]:
            raise PrefalignError(f"begun[{bare[0]}] has no token_ids; give the response of an earlier call")

    def _generated(
        self, inputs: Mapping[str, Any], generator: torch.Generator | None, settings: Mapping[str, Any]
    ) -> Tensor:
        """(rows, T) ids that are drawn behind the inputs."""
        tokenizer = self.codec.tokenizer
        usual = {"pad_token_id": self.codec.pad_id, "eos_token_id": tokenizer.eos_token_id}
        was_training = self.model.training
        self.model.eval()
        with seeded(generator):
            ids = self.model.generate(**inputs, **(usual | {"do_sample": generator is not None} | dict(settings)))
        self.model.train(was_training)
        return ids[:, inputs["input_ids"].shape[1] :]

    @property
    def _name(self) -> str:
        return self.source if isinstance(self.source, str) else str(self.source.get("model_type"))

    def generation_inputs(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """Left-padded prompts on the model's device."""
        return self._left_padded([self._prompt_ids(prompt) for prompt in prompts])

    def _prompt_ids(self, prompt: Prompt) -> list[int]:
        text, special = self.codec.prompt_text(prompt)
        return list(self.codec.tokenizer(text, add_special_tokens=special)["input_ids"])

    def _left_padded(self, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self.codec.pad_id)
        attention = torch.zeros((len(rows), width), dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, width - len(row) :] = torch.tensor(row)
            attention[index, width - len(row) :] = 1
        device = next(self.model.parameters()).device
        return {"input_ids": ids.to(device), "attention_mask": attention.to(device)}

    def save_pretrained(self, folder: Path) -> None:
        """Write model (or adapter) and tokenizer as Transformers and peft read them."""
        self.model.save_pretrained(folder)
        self.codec.tokenizer.save_pretrained(folder)


def scatter(values: Tensor, selected: Tensor) -> Tensor:
    """(M,) values back to the (N, T) positions they came from; 0 elsewhere. Differentiable."""
    return torch.zeros(selected.shape, dtype=values.dtype, device=values.device).masked_scatter(selected, values)


def summed(logps: Tensor, mask: Tensor, weights: Tensor) -> ResponseScores:
    """Scores of responses from their token log-probabilities (N, T), mask and weights."""
    weights = weights.to(logps.dtype)
    return ResponseScores(
        logps=(logps * weights).sum(-1),
        lengths=mask.sum(-1).to(logps.dtype),
        token_logps=logps,
        mask=mask,
        weights=weights,
    )


@contextlib.contextmanager
def seeded(generator: torch.Generator | None) -> Iterator[None]:
    """Run with the global random state set from a generator, and put the state back afterwards."""
    if generator is None:
        yield
        return
    seed = int(torch.randint(2**62, (1,), generator=generator))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
