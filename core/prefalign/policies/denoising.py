"""The denoising policy: any diffusion or flow model as a scorer and sampler of responses.

A response's score is minus half its denoising error at one noise level with one noise, which all responses of a record
share (Diffusion-DPO, arXiv 2311.12908 eq. 14), so that differences of scores say little of the luck of the draw.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from prefalign.functional.fingerprint import fingerprint
from prefalign.functional.levels import Levels
from prefalign.functional.noise_path import mean_squared_error
from prefalign.functional.replay import replayed_noise
from prefalign.interfaces import Batch, CapabilityError, Policy, PrefalignError, Prompt, Response, ResponseScores
from prefalign.models.adapters import adapters_disabled, add_network_adapter, save_network_adapter
from prefalign.models.condition import Condition
from prefalign.models.denoiser import Denoiser
from prefalign.models.latents import LATENTS, LatentCodec
from prefalign.models.pretrained import LoraSettings


@dataclass
class Noised:
    """The N noised rows of a batch: what policy and reference both look at.

    Attributes:
        noisy, target: (N, …) latents at their noise level, and what a perfect network predicts.
        time: (N,) the level as the network reads it.
        condition: of the N rows.
        row_weight: (N,) weight of each row's squared error.
        frame_weights: (N, …) weights of the latents' elements, broadcastable; None for all 1.
    """

    noisy: Tensor
    target: Tensor
    time: Tensor
    condition: Condition
    row_weight: Tensor
    frame_weights: Tensor | None


class DenoisingPolicy(Policy):
    """A denoiser.

    Args:
        denoiser: the model family with its weights.
        lora: train a low-rank adapter only; its reference is then the network with the adapter off.
        score: `half_mse` scores a response by minus half its error, as in the papers (beta 2000 in Tango 2 and
            TangoFlux, 5000 for images); `mse` by minus the whole, as in Diffusers' example, with half the beta.
        levels: how noise levels are drawn; as the family was trained if None.
        min_snr_gamma: bound of the data error's weight (5 is usual); None weighs all noise levels alike.
        replays: number K of different draws of (noise level, noise) for each record, used in turn, visit after visit;
            None draws anew at every visit. A cached reference needs a number.
        noise_seed: seed of the draws.
        gradient_checkpointing: recompute activations in the backward pass.
        frozen: parameters of the network whose names contain one of these words are not trained.
        init_seed: seed of the adapter's weights.
    """

    provides = frozenset({"likelihood", "mismatched"})
    codec: LatentCodec

    def __init__(
        self,
        denoiser: Denoiser,
        lora: LoraSettings | None = None,
        score: Literal["half_mse", "mse"] = "half_mse",
        levels: Levels | None = None,
        min_snr_gamma: float | None = None,
        replays: int | None = None,
        noise_seed: int = 0,
        gradient_checkpointing: bool = False,
        frozen: list[str] | None = None,
        init_seed: int = 0,
    ) -> None:
        super().__init__()
        if replays is not None and replays < 1:
            raise PrefalignError(f"expected replays of at least 1, or none for new noise at every visit; got {replays}")
        if min_snr_gamma is not None and not min_snr_gamma > 0:
            raise PrefalignError(f"expected min_snr_gamma > 0, got {min_snr_gamma}")
        self.denoiser, self.lora, self.score = denoiser, lora, score
        self.levels, self.min_snr_gamma = levels or denoiser.levels, min_snr_gamma
        self.replay_count, self.noise_seed = replays, noise_seed
        self.gradient_checkpointing, self.frozen, self.init_seed = gradient_checkpointing, frozen or [], init_seed
        self.codec = denoiser.codec()
        self.units = "mse/2" if score == "half_mse" else "mse"
        self._configured = False
        self._frozen_key: str | None = None

    def configure_model(self) -> None:
        """Load or build the network, freeze what is not trained, add the adapter."""
        if self._configured:
            return
        self.denoiser.configure_model()
        network = self.denoiser.network
        for module in network.modules():
            # Policy and reference, and the responses of a record, must meet the same function.
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        words = [word for word in self.frozen if not any(word in name for name, _ in network.named_parameters())]
        if words:
            raise PrefalignError(f"frozen: no parameter of {type(network).__name__} has {', '.join(words)} in its name")
        for name, parameter in network.named_parameters():
            if any(word in name for word in self.frozen):
                parameter.requires_grad_(False)
        if self.gradient_checkpointing:
            network.enable_gradient_checkpointing()
        if self.lora is not None:
            add_network_adapter(network, self.lora, self.init_seed)
        network.train()
        self._configured = True

    @property
    def has_adapter(self) -> bool:
        """Whether only a low-rank adapter is trained."""
        return self.lora is not None

    def adapter_disabled(self) -> contextlib.AbstractContextManager[None]:
        """A context in which the adapter is off."""
        return adapters_disabled(self.denoiser.network) if self.has_adapter else super().adapter_disabled()

    # Scoring ---------------------------------------------------------------------------------------------------------

    def scores(self, batch: Batch, needs: frozenset[str] = frozenset()) -> ResponseScores:
        """Minus (half) the denoising error of the N rows, at the draw of their records' visit."""
        noised = self.noised(batch)
        prediction = self.denoiser.predict(noised.noisy, noised.time, noised.condition)
        errors = mean_squared_error(prediction, noised.target, noised.frame_weights)
        return self._as_scores(errors * noised.row_weight)

    def _as_scores(self, errors: Tensor) -> ResponseScores:
        return ResponseScores(
            logps=-errors / 2 if self.score == "half_mse" else -errors,
            lengths=torch.ones_like(errors),
            units=self.units,
            errors=errors,
        )

    @torch.no_grad()
    def noised(self, batch: Batch) -> Noised:
        """What is to be denoised. It is made once for a batch, for policy and reference alike."""
        held: Any = batch.inputs.get("noised")
        if held is not None and held[0] == self._draw_settings():
            noised: Noised = held[1]
            return noised
        owners, replays = self._draws(batch)
        latents = self._latents(batch)
        uniform, noise = replayed_noise(
            self.noise_seed, batch.relations.ids, replays, latents.shape[1:], self.denoiser.frame_axis
        )
        noise = noise.to(latents.device)[owners].to(latents.dtype)
        level = self.levels.quantile(uniform).to(latents.device)[owners]
        path = self.denoiser.path
        weight = torch.ones_like(level) if self.min_snr_gamma is None else path.min_snr(level, self.min_snr_gamma)
        noised = Noised(
            noisy=path.noisy(latents, noise, level),
            target=path.target(latents, noise, level),
            time=path.model_time(level),
            condition=self._condition(batch),
            row_weight=weight,
            frame_weights=self._frame_weights(batch, latents),
        )
        batch.inputs["noised"] = (self._draw_settings(), noised)
        return noised

    def _draw_settings(self) -> tuple[Any, ...]:
        """What decides the draws besides records and visits."""
        return self.noise_seed, self.replay_count, self.levels, self.min_snr_gamma, self.denoiser.path.identity()

    def _draws(self, batch: Batch) -> tuple[Tensor, list[int]]:
        """(N,) the record that each row shares its noise with, and the R records' replay indices."""
        relations = batch.relations
        owners = relations.record.clone()
        owners[relations.mismatched] = torch.arange(len(relations.mismatched), device=owners.device)
        visits = [0] * len(relations.ids) if batch.visits is None else batch.visits.tolist()
        return owners, [visit % self.replay_count for visit in visits] if self.replay_count else visits

    def _latents(self, batch: Batch) -> Tensor:
        given = batch.inputs.get(LATENTS)
        if isinstance(given, Tensor):
            return given
        media = batch.inputs["media"]
        assert isinstance(media, Tensor)
        return self.denoiser.encode(media)

    def _condition(self, batch: Batch) -> Condition:
        """Conditions of the rows; a prompt that several rows share is encoded once."""
        given: Any = batch.inputs.get("condition")
        if given is not None:
            parts = [{name: values[row][None] for name, values in given.items()} for row in range(len(batch.keys))]
            device = next(self.parameters()).device
            return Condition.cat([Condition(part) for part in parts]).to(device)
        prompts: Any = batch.inputs["prompts"]
        unique: list[Prompt] = []
        rows = []
        for prompt in prompts:
            if prompt not in unique:
                unique.append(prompt)
            rows.append(unique.index(prompt))
        return self.denoiser.condition(unique).select(torch.tensor(rows, device=next(self.parameters()).device))

    def _frame_weights(self, batch: Batch, latents: Tensor) -> Tensor | None:
        weights = batch.inputs.get("frame_weights")
        axis = self.denoiser.frame_axis
        if not isinstance(weights, Tensor) or axis is None:
            return None
        shape = [len(latents), *(1 for _ in latents.shape[1:])]
        shape[1 + axis % (latents.ndim - 1)] = weights.shape[1]
        return weights.reshape(shape)

    # References ------------------------------------------------------------------------------------------------------

    def replays(self, batch: Batch) -> Iterator[Batch]:
        """The batch with each of its K draws.

        Raises:
            CapabilityError: if there is no end of them.
        """
        if self.replay_count is None:
            raise CapabilityError(
                "a cached reference needs a number of noise draws that is known ahead: set replays on the policy (16 "
                "is usual)"
            )
        for replay in range(self.replay_count):
            visits = torch.full((len(batch.relations.ids),), replay)
            inputs = {name: value for name, value in batch.inputs.items() if name != "noised"}
            yield replace(batch, inputs=inputs, visits=visits)

    def keys(self, batch: Batch) -> list[str]:
        """Content keys of rows and draws. The frozen parts make latents and conditions of what a row's key covers."""
        if self._frozen_key is None:
            self._frozen_key = "".join(map(fingerprint, self.denoiser.frozen_parts()))
        owners, replays = self._draws(batch)
        # Once for all rows: a path may have a thousand steps to spell out.
        fixed = hashlib.sha256(repr((self._draw_settings(), self._frozen_key)).encode()).hexdigest()
        ids = batch.relations.ids
        return [
            hashlib.sha256(repr((key, ids[owner], replays[owner], fixed)).encode()).hexdigest()
            for key, owner in zip(batch.keys, owners.tolist(), strict=True)
        ]

    def stored(self, scores: ResponseScores) -> list[Tensor]:
        """The errors (1,) of the rows."""
        assert scores.errors is not None
        return list(scores.errors.float().split(1))

    def restored(self, values: Sequence[Tensor], batch: Batch) -> ResponseScores:
        """The scores whose errors are given."""
        return self._as_scores(torch.cat(list(values)).to(next(self.parameters()).device))

    # Sampling --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[Prompt],
        n: int = 1,
        *,
        generator: torch.Generator | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        decode: bool = True,
        **options: Any,
    ) -> list[list[Response]]:
        """`n` responses to each prompt, as latents and, where the family can, as media.

        Args:
            prompts: what to answer; their latents must have one shape.
            n: responses per prompt.
            generator: of the noise, on the CPU; a fresh one with `noise_seed` if None.
            steps: sampling steps; the family's usual number if None.
            guidance: scale of classifier-free guidance, 1 for none; the family's usual one if None.
            decode: make media of the latents.
            options: none are known.

        Raises:
            PrefalignError: for unknown options, fewer than 1 step, or prompts of several shapes.
        """
        steps = self.denoiser.steps if steps is None else steps
        guidance = self.denoiser.guidance if guidance is None else guidance
        shapes = {self.denoiser.latent_shape(prompt) for prompt in prompts}
        if options or steps < 1 or len(shapes) > 1:
            problem = f"unknown options {sorted(options)}" if options else f"{steps} steps, latents of shapes {shapes}"
            raise PrefalignError(f"cannot sample: {problem}; expected steps >= 1 and prompts of one shape")
        generator = generator or torch.Generator().manual_seed(self.noise_seed)
        noise = torch.randn(len(prompts) * n, *shapes.pop(), generator=generator)
        latents = self.generate(noise, self.denoiser.condition(prompts), n, steps, guidance, generator)
        media = self.denoiser.decode(latents) if decode else [()] * len(latents)
        held = latents.float().cpu().numpy()
        name = type(self.denoiser).__name__
        made = [
            Response(arrays={LATENTS: array}, media=tuple(sounds), source=name)
            for array, sounds in zip(held, media, strict=True)
        ]
        return [made[i * n : (i + 1) * n] for i in range(len(prompts))]

    @torch.no_grad()
    def generate(
        self,
        noise: Tensor,
        condition: Condition,
        n: int,
        steps: int,
        guidance: float,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """(P·n, …) latents from as much noise, under the conditions of P prompts.

        The family's own scheduler walks from noise to data, and its rule of guidance leads away from the null
        condition's prediction.
        """
        denoiser = self.denoiser
        network = denoiser.network
        parameter = next(network.parameters())
        rows = torch.arange(len(condition), device=parameter.device).repeat_interleave(n)
        condition = condition.select(rows)
        if guidance != 1.0:
            condition = Condition.cat([denoiser.null_condition(condition), condition])
        scheduler = copy.deepcopy(denoiser.scheduler)
        denoiser.set_timesteps(scheduler, steps, noise.shape, parameter.device)
        guide, randomness = denoiser.guide(), _randomness(scheduler, generator)
        was_training = network.training
        network.eval()
        latents = noise.to(parameter.device) * getattr(scheduler, "init_noise_sigma", 1.0)
        for timestep in scheduler.timesteps:
            scaled = latents
            if hasattr(scheduler, "scale_model_input"):
                scaled = scheduler.scale_model_input(latents, timestep)
            time = denoiser.path.time_of_timestep(timestep).expand(len(condition))
            twice = scaled if guidance == 1.0 else torch.cat([scaled, scaled])
            prediction = denoiser.predict(twice.to(parameter.dtype), time, condition).to(latents.dtype)
            if guidance != 1.0:
                null, conditioned = prediction.chunk(2)
                prediction = guide(null, conditioned, guidance)
            latents = scheduler.step(prediction, timestep, latents, **randomness).prev_sample
        network.train(was_training)
        return latents

    def save_pretrained(self, folder: Path) -> None:
        """Write the network, or the adapter alone, as Diffusers reads it."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.has_adapter:
            save_network_adapter(self.denoiser.network, folder)
        else:
            self.denoiser.save_pretrained(folder)


def _randomness(scheduler: Any, generator: torch.Generator | None) -> dict[str, torch.Generator]:
    """The generator, for schedulers whose steps may add noise."""
    takes = "generator" in inspect.signature(scheduler.step).parameters
    return {"generator": generator} if takes and generator is not None else {}
