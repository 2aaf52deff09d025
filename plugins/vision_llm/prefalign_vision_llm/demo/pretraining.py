"""Makes the base model: it sees nearly everything and still names companions that are not there.

Three stages. *Alignment* teaches the tower to see (it stands for CLIP). The *clean* stage teaches captions and
questions with true labels, until yes/no questions are answered by looking: that circuit forms suddenly, at a step that
depends on the seed, so the stage runs until a gate is passed. The *noisy* stage then adds the bias of captions found on
the web.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from prefalign_vision_llm.demo.instructions import InstructionSampler, TokenRows
from prefalign_vision_llm.demo.model import next_token_logits, patch_features
from prefalign_vision_llm.demo.scenes import Scene, World

_MEMORY = 0.95  # of the moving average that the gate watches


@dataclasses.dataclass(frozen=True)
class PretrainingRecipe:
    """Steps and rates of the three stages, and the two gates, either of which None switches off.

    ``label_gate`` is the label accuracy that alignment must end with (a missed object costs 1 / objects times its
    frequency); ``answer_gate`` the loss of yes/no answers in nats that ends the clean stage. Without it all
    ``clean_steps`` are taken.
    """

    alignment_steps: int = 150
    alignment_batch: int = 64
    alignment_lr: float = 2e-3
    alignment_warmup: int = 50
    pixel_noise: float = 0.05
    clean_steps: int = 1400
    noisy_steps: int = 400
    batch: int = 128
    lr: float = 3e-3
    clean_caption_share: float = 0.15
    noisy_caption_share: float = 0.30
    answer_weight: float = 6.0
    label_gate: float | None = 0.995
    answer_gate: float | None = 0.2


class GateNotReachedError(RuntimeError):
    """The base did not learn to see, or to answer by looking; what follows would be measured on a blind model."""


@dataclasses.dataclass(frozen=True)
class PretrainingReport:
    """Steps that the clean stage took and the moving average of its answer loss (nats) at the end; final losses."""

    alignment_accuracy: float
    clean_steps: int
    clean_answer_loss: float
    noisy_answer_loss: float


@dataclasses.dataclass(frozen=True)
class AnnotatedScenes:
    """Scenes with their pictures (N, 3, height, width), normalised."""

    scenes: Sequence[Scene]
    pixels: Tensor


def pretrain(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    world: World,
    uniform: AnnotatedScenes,
    biased: AnnotatedScenes,
    recipe: PretrainingRecipe,
    seed: int,
    log: Callable[[str], None],
) -> PretrainingReport:
    """Train ``model`` in place: on ``uniform`` scenes for seeing, on ``biased`` ones for language.

    Raises :class:`GateNotReachedError` if alignment ends below ``recipe.label_gate`` or the clean stage does not get
    the answer loss below ``recipe.answer_gate``.
    """
    rng = np.random.default_rng([seed, 1])
    accuracy = _align(model, processor, world, uniform, recipe, rng)
    log(f"alignment: {recipe.alignment_steps} steps, label accuracy {accuracy:.2%}")
    if recipe.label_gate is not None and not accuracy >= recipe.label_gate:
        raise GateNotReachedError(
            f"seed {seed}: after {recipe.alignment_steps} steps of alignment {accuracy:.2%} of the object labels are "
            f"right, expected {recipe.label_gate:.2%}. Some object is hardly visible or looks like another: give it "
            "contrast, or allow more alignment steps."
        )
    model.model.vision_tower.requires_grad_(False)
    with torch.no_grad():
        features = torch.cat([patch_features(model, part) for part in biased.pixels.split(500)])
    sampler = InstructionSampler(biased.scenes, world, processor, rng)
    trainer = _InstructionTrainer(model, sampler, features, recipe)

    average = math.log(2)
    steps = 0
    while steps < recipe.clean_steps and (recipe.answer_gate is None or average >= recipe.answer_gate):
        average = _MEMORY * average + (1 - _MEMORY) * trainer.step(
            recipe.clean_caption_share, noisy=False, lr=recipe.lr
        )
        steps += 1
        if steps % 100 == 0:
            log(f"clean stage, step {steps}: answer loss {average:.3f}")
    log(f"clean stage: {steps} steps, answer loss {average:.3f}")
    if recipe.answer_gate is not None and average >= recipe.answer_gate:
        raise GateNotReachedError(
            f"seed {seed}: after {steps} steps of the clean stage the loss of yes/no answers is {average:.3f} nats, "
            f"not below {recipe.answer_gate} (0.693 is guessing). Allow more clean steps, or try another seed."
        )
    clean_loss = average
    for step in range(recipe.noisy_steps):
        lr = recipe.lr * _cosine(step / recipe.noisy_steps, floor=0.03)
        average = _MEMORY * average + (1 - _MEMORY) * trainer.step(recipe.noisy_caption_share, noisy=True, lr=lr)
    log(f"noisy stage: {recipe.noisy_steps} steps, answer loss {average:.3f}")
    return PretrainingReport(accuracy, steps, clean_loss, average)


def _align(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    world: World,
    data: AnnotatedScenes,
    recipe: PretrainingRecipe,
    rng: np.random.Generator,
) -> float:
    """Multi-label training of tower, projector and word embeddings; returns the label accuracy of the last 20 steps.

    The logit of an object is the log-sum-exp over patches of ``exp(a) cos(patch, word) + b`` with learned a and b.
    """
    words = torch.tensor(processor.tokenizer.convert_tokens_to_ids(list(world.objects)))
    labels = torch.tensor([[float(name in scene.objects) for name in world.objects] for scene in data.scenes])
    scale, offset = nn.Parameter(torch.tensor(2.5)), nn.Parameter(torch.tensor(-4.0))
    projector, embeddings = model.model.multi_modal_projector, model.get_input_embeddings()
    tower = [p for p in model.model.vision_tower.parameters() if p.requires_grad]
    parameters = [*tower, *projector.parameters(), *embeddings.parameters(), scale, offset]
    optimizer = _optimizer(parameters, recipe.alignment_lr)
    noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
    correct: list[float] = []
    for step in range(recipe.alignment_steps):
        rows = torch.from_numpy(rng.integers(len(data.scenes), size=recipe.alignment_batch))
        pixels = data.pixels[rows]
        pixels = pixels + recipe.pixel_noise * torch.randn(pixels.shape, generator=noise)
        patches = F.normalize(projector(patch_features(model, pixels)), dim=-1)
        similarity = patches @ F.normalize(embeddings.weight[words], dim=-1).T
        logits = torch.logsumexp(scale.exp() * similarity + offset, dim=1)
        loss = F.binary_cross_entropy_with_logits(logits, labels[rows])
        correct.append(float(((logits > 0) == (labels[rows] > 0.5)).float().mean()))
        warmth = min(1.0, (step + 1) / max(1, recipe.alignment_warmup))
        _update(optimizer, loss, recipe.alignment_lr * warmth * _cosine(step / recipe.alignment_steps, floor=0.05))
    return float(np.mean(correct[-20:])) if correct else float("nan")


class _InstructionTrainer:
    """Optimiser steps on captions and questions about scenes with fixed patch features (scenes, patches, width)."""

    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        sampler: InstructionSampler,
        features: Tensor,
        recipe: PretrainingRecipe,
    ) -> None:
        self._model, self._sampler, self._features, self._recipe = model, sampler, features, recipe
        self._optimizer = _optimizer([p for p in model.parameters() if p.requires_grad], recipe.lr)

    def step(self, caption_share: float, noisy: bool, lr: float) -> float:
        """One update; returns the unweighted cross-entropy of the yes/no answers in nats."""
        captions = round(caption_share * self._recipe.batch)
        caption_losses, caption_mask = self._token_losses(self._sampler.captions(captions, noisy))
        answer_losses, answer_mask = self._token_losses(self._sampler.questions(self._recipe.batch - captions, noisy))
        # One answer token stands against a dozen of a caption, hence its weight; one mean over the whole batch.
        answer_weights = answer_mask.float()
        answer_weights[:, 0] = self._recipe.answer_weight
        total = (caption_losses * caption_mask).sum() + (answer_losses * answer_weights).sum()
        _update(self._optimizer, total / (caption_mask.sum() + answer_weights.sum()), lr)
        return float(answer_losses[:, 0].detach().mean())

    def _token_losses(self, rows: TokenRows) -> tuple[Tensor, Tensor]:
        """Cross-entropy in nats and the mask of real tokens, both (rows, answer tokens)."""
        logits = next_token_logits(self._model, rows.ids[:, :-1], self._features[rows.scenes])[:, rows.start - 1 :]
        losses = F.cross_entropy(logits.transpose(1, 2), rows.ids[:, rows.start :], reduction="none")
        return losses, rows.answered


def _optimizer(parameters: Sequence[nn.Parameter], lr: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.98), weight_decay=0.01)


def _update(optimizer: torch.optim.AdamW, loss: Tensor, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()


def _cosine(progress: float, floor: float) -> float:
    """Falls from 1 to ``floor`` as progress goes from 0 to 1."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
