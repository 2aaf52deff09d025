"""The image-text policy: any Transformers image-text-to-text model, with one vision pass per context and step."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from prefalign.data.media import MAX_PIXELS
from prefalign.interfaces import Batch, PrefalignError, Prompt, Response
from prefalign.models.pretrained import DType, LoraSettings, from_pretrained
from prefalign.policies.token import TokenPolicy
from prefalign_vision_llm.policies.codec import VisionCodec
from prefalign_vision_llm.policies.features import deal_features, feature_count, features_only
from prefalign_vision_llm.policies.images import collate_images, dealt, image_tensors
from prefalign_vision_llm.policies.vision import VisionParts, modules_pattern, parameters_of, vision_parts

Trained = Literal["none", "projector", "all"]


@dataclass
class _LanguageLora(LoraSettings):
    """Adapter settings with the modules that get none, which peft knows under this name."""

    exclude_modules: str | None = None


class ChatVLM(TokenPolicy):
    """An image-text model.

    Args:
        model: id or folder for `from_pretrained`, or a config as a mapping (`{model_type: llava, …}`) for random
            weights.
        processor: id or folder of the processor; the model's own if None.
        train_vision: what is trained beside the language model: nothing, the `projector`, or `all`. What is not trained
            stays in evaluation mode, gets no adapter, and is shared with a frozen reference.
        share_vision: encode the images of a context once for all its rows. The numbers are the same without; switch it
            off for a model whose features cannot be shared.
        max_pixels: refuse images with more pixels before they are decoded.
        lora, dtype, max_length, gradient_checkpointing, attn_implementation, frozen, chunk_size, init_seed, revision,
            trust_remote_code: as in `TokenPolicy`; `max_length` counts image tokens.
    """

    auto_class = "AutoModelForImageTextToText"
    # A prompt with images has tokens that nobody wrote, so it has no likelihood to speak of.
    provides = TokenPolicy.provides - {"prompt_logps"}
    codec: VisionCodec

    def __init__(
        self,
        model: str | dict[str, Any],
        processor: str | None = None,
        train_vision: Trained = "none",
        share_vision: bool = True,
        max_pixels: int = MAX_PIXELS,
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
        if isinstance(model, dict) and processor is None:
            raise PrefalignError("a model built from a config needs a processor: give the id or folder of one")
        self._max_pixels = max_pixels
        super().__init__(
            model,
            processor,
            lora,
            dtype,
            max_length,
            gradient_checkpointing,
            attn_implementation,
            frozen,
            chunk_size,
            init_seed,
            revision,
            trust_remote_code,
        )
        self.train_vision, self.share_vision = train_vision, share_vision
        self._vision = VisionParts()
        self._accepted: frozenset[str] = frozenset()
        self._shares_parts = False

    def make_codec(self, tokenizer: str, max_length: int | None) -> VisionCodec:
        """The codec for the processor at an id or folder."""
        from transformers import AutoConfig, AutoProcessor

        if isinstance(self.source, dict):
            settings = dict(self.source)
            config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        else:
            config = from_pretrained(AutoConfig, self.source, **self._hub)
        image_token_id = getattr(config, "image_token_id", None)
        if image_token_id is None:
            raise PrefalignError(f"{self.source}: the configuration {type(config).__name__} names no image token")
        processor = from_pretrained(AutoProcessor, tokenizer, **self._hub)
        ends = [getattr(config, name, None) for name in ("vision_start_token_id", "vision_end_token_id")]
        frame = ("", "") if None in ends else tuple(processor.tokenizer.convert_ids_to_tokens(ends))
        return VisionCodec(processor, image_token_id, max_length, self._max_pixels, frame)

    def configure_model(self) -> None:
        """Load or build the weights, freeze what is not trained, add the adapter."""
        if self.model is not None:
            return
        super().configure_model()
        self._vision = vision_parts(self.network)
        for parameter in parameters_of(self._kept_parts()):
            parameter.requires_grad_(False)
        self._accepted = frozenset(inspect.signature(self.network.forward).parameters)
        if "mm_encoder_outputs" not in self._accepted or not hasattr(self.network, "get_image_features"):
            self.share_vision = False
        self._still()

    def _kept_parts(self) -> dict[str, Any]:
        """The vision parts that are not trained."""
        if self.train_vision == "all":
            return {}
        return self._vision.tower | (self._vision.projector if self.train_vision == "none" else {})

    def _add_adapter(self, settings: LoraSettings) -> None:
        self._vision = vision_parts(self.model)
        names = [name for name, part in self._kept_parts().items() if isinstance(part, nn.Module)]
        super()._add_adapter(_LanguageLora(**vars(settings), exclude_modules=modules_pattern(names) or None))
        self._vision = vision_parts(self.network)
        if any(parameter.requires_grad for parameter in parameters_of(self._kept_parts())):
            raise PrefalignError(
                f"lora.modules_to_save names vision modules ({', '.join(names)}), which train_vision: "
                f"{self.train_vision} keeps as they are; set train_vision to projector or all"
            )

    def train(self, mode: bool = True) -> ChatVLM:
        """Training mode, except for vision parts that are not trained: batch statistics must stay as they were."""
        super().train(mode)
        self._still()
        return self

    def _still(self) -> None:
        for part in self._kept_parts().values():
            if isinstance(part, nn.Module):
                part.eval()

    def __deepcopy__(self, memo: dict[int, Any]) -> ChatVLM:
        """A copy that shares the vision parts that are not trained: a frozen reference needs no second tower.

        Being the same modules, they also give the same features, which `scores` therefore computes once for both.
        """
        shared = [p for p in self._kept_parts().values() if not any(q.requires_grad for q in parameters_of({"": p}))]
        memo.update({id(part): part for part in shared})
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        twin._shares_parts = bool(shared)
        return twin

    def forward_inputs(self, batch: Batch) -> dict[str, Any]:
        """What the network reads of a batch: features in the place of pixels where it can."""
        inputs: dict[str, Any] = batch.inputs
        found = super().forward_inputs(batch)
        found |= {n: v for n, v in inputs.items() if n.endswith("token_type_ids") and n in self._accepted}
        images, rows = image_tensors(inputs), inputs["row_context"]
        if not images:
            return found
        for name, value in images.items():
            # The mask of the pixels goes with them.
            if name in self._accepted and not (self.share_vision and name.startswith("pixel_")):
                found[name] = dealt(self._cast(value), inputs["image_entries"][name], rows)
        if self.share_vision:
            encoded = deal_features(self.image_features(batch), inputs["image_tokens"], rows)
            found["mm_encoder_outputs"] = {"image": encoded}
        return found

    def image_features(self, batch: Batch) -> Any:
        """Encoder outputs of all contexts of a batch.

        As long as nothing in tower and projector is trained, they are kept with the batch and serve the reference too.

        Raises:
            PrefalignError: if model and processor disagree on the number of features.
        """
        parameters = list(self._vision.parameters())
        still = not any(parameter.requires_grad for parameter in parameters)
        if self._shares_parts and any(parameter.requires_grad for parameter in parameters_of(self._kept_parts())):
            raise PrefalignError(
                "vision parameters were set to be trained after the reference was made, which shares them; use "
                "train_vision instead"
            )
        inputs: dict[str, Any] = batch.inputs
        # The version counts changes of the values in place, such as an optimiser's step or a checkpoint's weights.
        key = [(id(parameter), parameter._version) for parameter in parameters]
        if still and inputs.get("image_features", (None,))[0] == key:
            return inputs["image_features"][1]
        accepted = inspect.signature(self.network.get_image_features).parameters
        images = {n: self._cast(v) for n, v in image_tensors(inputs).items() if n in accepted}
        # Where nothing is trained there is no graph, whatever hooks an adapter puts on embeddings.
        with torch.set_grad_enabled(torch.is_grad_enabled() and not still):
            encoded = features_only(self.network.get_image_features(**images, return_dict=True))
        have, places = feature_count(encoded.pooler_output), sum(inputs["image_tokens"])
        if have != places:
            raise PrefalignError(
                f"records {batch.relations.ids}: the model gives {have} image features for {places} image tokens in "
                "the prompts; the processor's settings (patch size, feature selection, tokens per image) are not this "
                "model's"
            )
        if still:
            inputs["image_features"] = (key, encoded)
        return encoded

    def _cast(self, value: Tensor) -> Tensor:
        return value.to(self.network.dtype) if value.is_floating_point() else value

    @torch.no_grad()
    def sample(
        self, prompts: Sequence[Prompt], n: int = 1, *, generator: torch.Generator | None = None, **options: Any
    ) -> list[list[Response]]:
        """`n` responses to each prompt, as text; see `TokenPolicy.sample`. Image tokens are never sampled."""
        video = getattr(self.network.config, "video_token_id", None)
        barred = {self.codec.image_token_id, self.codec.placeholder_id} | (set() if video is None else {video})
        answers = super().sample(prompts, n, generator=generator, **({"suppress_tokens": sorted(barred)} | options))
        self._still()
        return answers

    def generation_inputs(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """Left-padded prompts with their images, on the model's device."""
        contexts = [self.codec.context(prompt) for prompt in prompts]
        names = {n for context in contexts for n in context.side if n.endswith("token_type_ids")}
        width = max(len(context.ids) for context in contexts)
        found = {
            name: torch.full((len(contexts), width), self.codec.pad_id if name == "input_ids" else 0)
            for name in ("input_ids", "attention_mask", *sorted(names & self._accepted))
        }
        for index, context in enumerate(contexts):
            values = {name: value[0] for name, value in context.side.items()}
            values |= {"input_ids": torch.tensor(context.ids), "attention_mask": torch.ones(len(context.ids)).long()}
            for name, rows in found.items():
                if name in values:
                    rows[index, width - len(context.ids) :] = values[name]
        images = image_tensors(
            collate_images(
                [{n: v for n, v in context.side.items() if n in self._accepted - names} for context in contexts]
            )
        )
        device = next(self.network.parameters()).device
        return {name: self._cast(value).to(device) for name, value in (found | images).items()}

    def save_pretrained(self, folder: Path) -> None:
        """Write model (or adapter) and processor as Transformers and peft read them."""
        self.model.save_pretrained(folder)
        self.codec.processor.save_pretrained(folder)
