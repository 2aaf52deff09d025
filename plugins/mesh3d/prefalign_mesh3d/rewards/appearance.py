"""What meshes look like as a reward: any judge of pictures, averaged over the sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from prefalign.interfaces import Batch, PrefalignError, Reward, RewardOutput
from prefalign_mesh3d.rewards.views import Ring, ViewCodec, ViewRow
from prefalign_mesh3d.tokenizers.base import MeshTokenizer

#: A judge takes (N, K, H, W, 3) uint8 pictures and N prompts, and gives (N, K) numbers, of which more is better. If the
#: type said so, configs could name no class with a `__call__`: they would take it for a function that makes tensors.
Judge = Callable[..., Any]


class ViewAveraged(Reward):
    """Mean of a judge over K views, less its spread over them: mean_k j_k − consistency · sd_k j_k.

    VIST3A (arXiv 2510.13454) averages judges over rendered views, too, and adds a term of consistency between generated
    and rendered pictures. A mesh is consistent with itself, so here the term asks for something else: that it looks
    good from every side, not from most of them. The spread is the population's, 0 for one view.

    A mesh of which nothing can be seen is not valid, and neither is one of which the judge says NaN or infinity.

    Args:
        judge: such as `prefalign_mesh3d.rewards.transformers_views.ClipJudge`, or any function.
        tokenizer: that reads responses of `token_ids`; None where responses are files.
        ring: from where it looks.
        consistency: weight of the spread, at least 0.

    Raises:
        PrefalignError: for a negative weight.
    """

    criteria = ("appearance",)
    codec: ViewCodec

    def __init__(
        self,
        judge: Judge,
        tokenizer: MeshTokenizer | None = None,
        ring: Ring | None = None,
        consistency: float = 0.0,
    ) -> None:
        super().__init__()
        if not consistency >= 0:
            raise PrefalignError(f"expected a weight of consistency of at least 0, got {consistency}")
        self.judge, self.consistency = judge, consistency
        self.codec = ViewCodec(tokenizer, ring or Ring())

    def configure_model(self) -> None:
        """Load the judge's weights, if it has any."""
        configure = getattr(self.judge, "configure_model", None)
        if configure is not None:
            configure()

    @torch.no_grad()
    def forward(self, batch: Batch) -> RewardOutput:
        """(N, 1) float32 rewards; NaN in rows that are not valid.

        Raises:
            PrefalignError: if the judge gives anything but a number per picture.
        """
        rows = cast(list[ViewRow], batch.inputs["rows"])
        images, drawn = cast(Tensor, batch.inputs["images"]), cast(Tensor, batch.inputs["drawn"])
        value = torch.full((len(rows),), float("nan"), device=images.device)
        if bool(drawn.any()):
            texts = [row.text for row, seen in zip(rows, drawn.tolist(), strict=True) if seen]
            found = self.judge(images[drawn], texts)
            expected = (len(texts), images.shape[1])
            if not isinstance(found, Tensor) or found.shape != expected:
                got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
                raise PrefalignError(f"expected the judge to give a tensor of shape {expected}, got {got}")
            found = found.float()
            value[drawn] = (found.mean(1) - self.consistency * found.std(1, correction=0)).to(value.device)
        valid = value.isfinite()
        return RewardOutput(value.masked_fill(~valid, float("nan"))[:, None], valid)


__all__ = ["Judge", "ViewAveraged"]
