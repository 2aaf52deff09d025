"""Rows of prompt and answer that teach the base its language, with true or noisy annotations."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import LlavaProcessor

from prefalign_vision_llm.demo import language
from prefalign_vision_llm.demo.processor import EOS, render_prompt
from prefalign_vision_llm.demo.scenes import Scene, World


@dataclasses.dataclass(frozen=True)
class TokenRows:
    """Rows with prompts of one length, padded on the right.

    ``scenes`` (rows,) are indices of the scenes shown; ``ids`` (rows, tokens); the answers, eos included, begin at
    column ``start``; ``answered`` (rows, tokens - start) is true on their tokens.
    """

    scenes: Tensor
    ids: Tensor
    start: int
    answered: Tensor


class InstructionSampler:
    """Draws captions and questions about annotated scenes.

    The noisy annotation of a scene is drawn once: one list of mentions and one caption, on which its questions agree.
    """

    def __init__(
        self, scenes: Sequence[Scene], world: World, processor: LlavaProcessor, rng: np.random.Generator
    ) -> None:
        self._scenes, self._world, self._rng = scenes, world, rng
        self._tokenizer = processor.tokenizer
        self._placeholders = (processor.image_token, " ".join([processor.image_token] * world.grid**2))
        self._describe = render_prompt(processor, language.DESCRIBE)
        self._ask = {name: render_prompt(processor, language.question(name)) for name in world.objects}
        self._noisy_mentions = [language.noisy_mentions(scene, world, rng) for scene in scenes]
        self._noisy_captions = [language.caption(self._opening(), named) for named in self._noisy_mentions]

    def captions(self, rows: int, noisy: bool) -> TokenRows:
        """Captions of random scenes: the noisy ones, or new ones that list exactly what is present, in random order."""
        indices = self._rng.integers(len(self._scenes), size=rows)
        answers = [self._noisy_captions[i] if noisy else self._true_caption(self._scenes[i]) for i in indices]
        return self._rows(indices, [self._describe] * rows, answers)

    def questions(self, rows: int, noisy: bool) -> TokenRows:
        """One yes/no question about each of ``rows`` random scenes.

        A noisy label calls an absent object present if the scene's noisy caption names it.
        """
        indices = self._rng.integers(len(self._scenes), size=rows)
        prompts, answers = [], []
        for index in indices:
            scene = self._scenes[index]
            name = language.asked_object(scene, self._world, self._rng)
            present = name in scene.objects or (noisy and name in self._noisy_mentions[index])
            prompts.append(self._ask[name])
            answers.append(language.YES if present else language.NO)
        return self._rows(indices, prompts, answers)

    def _true_caption(self, scene: Scene) -> str:
        return language.caption(self._opening(), [scene.objects[i] for i in self._rng.permutation(len(scene.objects))])

    def _opening(self) -> str:
        return language.OPENINGS[self._rng.integers(len(language.OPENINGS))]

    def _rows(self, indices: np.ndarray, prompts: Sequence[str], answers: Sequence[str]) -> TokenRows:
        texts = [
            f"{prompt.replace(*self._placeholders)} {answer} {EOS}"
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        encoded = self._tokenizer(texts, padding=True, return_tensors="pt")
        start = 1 + len(prompts[0].replace(*self._placeholders).split())  # <bos>, then one token a word
        return TokenRows(
            torch.from_numpy(indices), encoded["input_ids"], start, encoded["attention_mask"][:, start:].bool()
        )
