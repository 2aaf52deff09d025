"""The token reward: any Transformers language model with a linear head that judges a response."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefalign.interfaces import Batch, PrefalignError, Reward, RewardOutput
from prefalign.models.pretrained import DType, LoraSettings, add_adapter, choose_trained, from_pretrained, load_network
from prefalign.models.tokens import TextCodec

#: Log-variances are kept within this distance of 0, so that no variance overflows or vanishes.
LOG_VARIANCE_LIMIT = 20.0

#: What a saved folder holds besides the files of Transformers or peft.
HEAD_FILE = "reward_head.json"


class TokenReward(Reward):
    """A language model that reads prompt and response and gives one number per criterion.

    The numbers are a linear function of the hidden state at the last token that is not padding, computed in float32
    whatever the trunk's dtype: the difference of two rewards would drown in bfloat16.

    Args:
        model: id or folder for `from_pretrained` (a base model, which gets a fresh head, or a sequence classifier with
            the same number of outputs), or a config as a mapping for random weights.
        tokenizer: id or folder of the tokenizer; the model's own if None.
        criteria: names of the C outputs.
        gaussian: also give a variance per criterion; the head then has 2C outputs, means before log-variances.
        lora: train a low-rank adapter and the head only.
        dtype: dtype of the trunk's weights.
        max_length: most tokens of prompt and response together; prompts are never cut.
        gradient_checkpointing: recompute activations in the backward pass.
        attn_implementation: `sdpa`, `eager`, `flash_attention_2`, … as in Transformers.
        frozen: parameters whose names contain one of these words are not trained.
        init_seed: seed of a fresh head and of random weights; members of an ensemble differ in it.
        revision: revision on the hub.
        trust_remote_code: run model code that a hub repository brings. Off unless you have read it.
    """

    codec: TextCodec
    auto_class: str = "AutoModelForSequenceClassification"

    def __init__(
        self,
        model: str | dict[str, Any],
        tokenizer: str | None = None,
        criteria: Sequence[str] = ("reward",),
        gaussian: bool = False,
        lora: LoraSettings | None = None,
        dtype: DType = "float32",
        max_length: int | None = None,
        gradient_checkpointing: bool = False,
        attn_implementation: str | None = None,
        frozen: list[str] | None = None,
        init_seed: int = 0,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(model, dict) and tokenizer is None:
            raise PrefalignError("a model built from a config needs a tokenizer: give the id or folder of one")
        if not criteria or len(set(criteria)) < len(criteria):
            raise PrefalignError(f"expected at least one criterion, and no name twice; got {list(criteria)}")
        self.source = model
        self.criteria, self.gaussian = tuple(criteria), gaussian
        self.lora, self.dtype = lora, dtype
        self.gradient_checkpointing, self.attn_implementation = gradient_checkpointing, attn_implementation
        self.frozen, self.init_seed = frozen or [], init_seed
        self._hub: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
        self.codec = self.make_codec(str(tokenizer or model), max_length)
        self.model: Any = None

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> TokenReward:
        """The reward that `save_pretrained` wrote; `options` are further arguments of the class.

        Raises:
            PrefalignError: if the folder holds no reward of ours.
        """
        file = Path(folder) / HEAD_FILE
        if not file.is_file():
            raise PrefalignError(
                f"{folder}: no {HEAD_FILE}, so this is no reward that prefalign saved; for another sequence classifier "
                f"write {cls.__name__}(model, criteria=[…])"
            )
        head = json.loads(file.read_text("utf-8"))
        return cls(str(folder), criteria=head["criteria"], gaussian=head["gaussian"], **options)

    def make_codec(self, tokenizer: str, max_length: int | None) -> Any:
        """The codec for the tokenizer at an id or folder."""
        from transformers import AutoTokenizer

        loaded = from_pretrained(AutoTokenizer, tokenizer, **self._hub)
        if loaded.pad_token_id is None:
            # Said in the saved tokenizer too, for readers must pad as we do: the model looks for the last other token.
            loaded.pad_token = loaded.eos_token
        return TextCodec(loaded, max_length)

    @property
    def outputs(self) -> list[str]:
        """Names of the head's outputs, in order."""
        return [*self.criteria, *(f"{name}_log_variance" for name in self.criteria if self.gaussian)]

    def configure_model(self) -> None:
        """Load or build the weights, freeze what is not trained, add the adapter.

        Raises:
            PrefalignError: if the source is a classifier with another number of outputs.
        """
        if self.model is not None:
            return
        if isinstance(self.source, str):
            self._check_outputs(self.source)
        names = dict(enumerate(self.outputs))
        self.model = load_network(
            self.auto_class,
            self.source,
            dtype=self.dtype,
            attn_implementation=self.attn_implementation,
            init_seed=self.init_seed,
            hub=self._hub,
            config_fields={"num_labels": len(names), "id2label": names, "label2id": {v: k for k, v in names.items()}},
        )
        self.model.config.get_text_config().pad_token_id = self.codec.pad_id
        if hasattr(self.model, "score"):
            self.model.score.float()
        choose_trained(self.model, self.frozen, self.gradient_checkpointing)
        if self.lora is not None:
            self.model = add_adapter(self.model, self.lora, "SEQ_CLS", self.init_seed, self.gradient_checkpointing)

    def _check_outputs(self, source: str) -> None:
        from transformers import PreTrainedConfig

        with contextlib.suppress(OSError):  # an adapter's folder has no config; its own loading checks the head
            config, _ = PreTrainedConfig.get_config_dict(source, **self._hub)
            classifier = any("SequenceClassification" in name for name in config.get("architectures") or ())
            found = len(config.get("id2label") or (0, 1))  # Transformers writes no labels where there are two
            if classifier and found != len(self.outputs):
                raise PrefalignError(
                    f"{source} is a classifier with {found} outputs, but {len(self.criteria)} criteria "
                    f"{'with' if self.gaussian else 'without'} variance need {len(self.outputs)}: set criteria and "
                    "gaussian to what it was trained for"
                )

    @property
    def has_adapter(self) -> bool:
        """Whether a peft adapter is trained instead of the whole trunk."""
        return self.lora is not None

    @property
    def network(self) -> Any:
        """The Transformers model itself, beneath any adapter."""
        return self.model.get_base_model() if self.has_adapter else self.model

    def forward(self, batch: Batch) -> RewardOutput:
        """Rewards of the N rows, (N, C) float32, all of them valid."""
        found, count = self.head_outputs(batch), len(self.criteria)
        variance = None
        if self.gaussian:
            variance = found[:, count:].clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT).exp()
        valid = torch.ones(len(found), dtype=torch.bool, device=found.device)
        return RewardOutput(found[:, :count], valid, variance)

    def forward_inputs(self, batch: Batch) -> dict[str, Any]:
        """What the network reads of a batch."""
        return {name: batch.inputs[name] for name in ("input_ids", "attention_mask")}

    def head_outputs(self, batch: Batch) -> Tensor:
        """(N, outputs) what the head says, float32."""
        inputs = self.forward_inputs(batch)
        head = getattr(self.network, "score", None)
        if head is None:
            # Encoders pool in ways of their own.
            return self.network(**inputs).logits.float()
        hidden = self.network.base_model(**inputs, use_cache=False).last_hidden_state
        ids = inputs["input_ids"]
        # Where Transformers' own classifiers look, so that they read the saved model alike. Where the padding token is
        # the end token as well, this is the token before the end.
        places = torch.arange(ids.shape[1], device=ids.device) * (ids != self.codec.pad_id)
        pooled = hidden[torch.arange(len(ids), device=ids.device), places.argmax(-1)]
        with torch.autocast(pooled.device.type, enabled=False):
            return head(pooled.to(next(head.parameters()).dtype)).float()

    def save_pretrained(self, folder: Path) -> None:
        """Write model (or adapter and head) and tokenizer as Transformers and peft read them."""
        self.model.save_pretrained(folder)
        self.codec.tokenizer.save_pretrained(folder)
        head = {"criteria": list(self.criteria), "gaussian": self.gaussian}
        (Path(folder) / HEAD_FILE).write_text(json.dumps(head, indent=2) + "\n", "utf-8")
