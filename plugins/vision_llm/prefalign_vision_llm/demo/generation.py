"""Answers of the model to many prompts, each about one picture, through the processor and ``generate``."""

import dataclasses
from collections.abc import Sequence

import torch
from PIL import Image
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from prefalign_vision_llm.demo.processor import render_prompt

#: Longest caption: four words of opening, six objects with articles and separators, full stop, eos.
CAPTION_TOKENS = 26
ANSWER_TOKENS = 4


@dataclasses.dataclass(frozen=True)
class Reply:
    """Text without special tokens; ``finished`` is whether the model ended it itself."""

    text: str
    finished: bool


def replies(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    images: Sequence[Image.Image],
    prompts: Sequence[str],
    max_new_tokens: int,
    seed: int | None = None,
    batch: int = 400,
) -> list[Reply]:
    """One reply a prompt about the image at the same place: greedy, or sampled at temperature 1 with that ``seed``."""
    tokenizer = processor.tokenizer
    rendered = {prompt: render_prompt(processor, prompt) for prompt in set(prompts)}
    found: list[Reply] = []
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        for start in range(0, len(prompts), batch):
            inputs = processor(
                images=list(images[start : start + batch]),
                text=[rendered[prompt] for prompt in prompts[start : start + batch]],
                padding=True,
                padding_side="left",  # so that every reply starts in the same column
                return_tensors="pt",
            ).to(model.device)
            ids = model.generate(
                **inputs,
                max_new_tokens=max_new_tokens,
                do_sample=seed is not None,
                **({} if seed is None else {"temperature": 1.0, "top_k": 0, "top_p": 1.0}),
                suppress_tokens=[model.config.image_token_id],  # a placeholder without an image would stop the model
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
            replied = ids[:, inputs["input_ids"].shape[1] :]
            finished = (replied == tokenizer.eos_token_id).any(dim=1).tolist()
            texts = tokenizer.batch_decode(replied, skip_special_tokens=True)
            found += [Reply(text, ended) for text, ended in zip(texts, finished, strict=True)]
    return found
