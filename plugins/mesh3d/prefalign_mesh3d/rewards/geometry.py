"""A reward without weights: how near a mesh is to its reference, and how cleanly it is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch

from prefalign.interfaces import Batch, PrefalignError, Reward, RewardOutput, unknown_name
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.metrics.functional.fidelity import SAMPLES
from prefalign_mesh3d.rewards.codec import GeometryCodec, GeometryRow
from prefalign_mesh3d.rewards.measures import MEASURES, Compared
from prefalign_mesh3d.tokenizers.base import MeshTokenizer


class GeometryReward(Reward):
    """Geometry as a reward, one number per criterion and response; of each more is better.

    `chamfer`, `hausdorff` and `hausdorff_95` are distances in the cube [-1, 1] with their sign turned, `ber`,
    `non_manifold` and `crossing` shares of bad edges and faces with theirs turned; `f_score`, `normal_consistency`,
    `watertight`, `ts` (0 to 100) and `ended` are as they are. Mesh-RFT (arXiv 2505.16761) takes `ber`, `ts` and
    `hausdorff`, DeepMesh (arXiv 2503.15265) `chamfer`.

    A mesh without a proper face, or without area where a criterion draws points from it, is not valid: it has no reward
    rather than a low one. So is one whose faces lie in one heap, where `crossing` is asked for.

    Args:
        tokenizer: that reads responses of `token_ids`; None where responses are files.
        criteria: C names, in order; pairs are compared by the first one.
        signed: False gives the measures as they are, distances and shares of bad parts positive. For rules that name
            the direction themselves, and for ratios of distances.
        samples: points drawn from a mesh, and from a reference that is a mesh.
        seed: of these draws; equal meshes have equal rewards.
        tau: distance of the F-score.

    Raises:
        PrefalignError: for unknown criteria, none, or one that stands twice, and for numbers out of range.
    """

    def __init__(
        self,
        tokenizer: MeshTokenizer | None = None,
        criteria: Sequence[str] = ("chamfer", "hausdorff", "ber", "ts"),
        signed: bool = True,
        samples: int = SAMPLES,
        seed: int = 0,
        tau: float = 0.02,
    ) -> None:
        super().__init__()
        for name in criteria:
            if name not in MEASURES:
                raise unknown_name("criterion", name, MEASURES)
        if not criteria or len(set(criteria)) < len(criteria):
            raise PrefalignError(f"expected at least one criterion and none twice, got {list(criteria)}")
        if samples < 1 or seed < 0 or not tau > 0:
            raise PrefalignError(f"expected samples >= 1, seed >= 0 and tau > 0, got {samples}, {seed} and {tau}")
        self.criteria, self.signed = tuple(criteria), signed
        self.samples, self.seed, self.tau = samples, seed, tau
        # The references' points are another draw than the mesh's: with the same one a copy alone would be at 0.
        settings = {"criteria": self.criteria, "signed": signed, "samples": samples, "seed": seed, "tau": tau}
        self.codec: GeometryCodec = GeometryCodec(tokenizer, samples, seed + 1, settings)

    def forward(self, batch: Batch) -> RewardOutput:
        """(N, C) float32 rewards; NaN in rows that are not valid."""
        rows = cast(list[GeometryRow], batch.inputs["rows"])
        found = [self.measure(row) for row in rows]
        mean = torch.tensor([[float("nan")] * len(self.criteria) if row is None else row for row in found])
        return RewardOutput(
            mean.reshape(len(rows), len(self.criteria)), torch.tensor([row is not None for row in found])
        )

    def measure(self, row: GeometryRow) -> list[float] | None:
        """The C numbers of one row, None for a mesh that is not valid."""
        compared = Compared(row.mesh, row.cloud, self.samples, self.seed, self.tau, row.ended)
        try:
            compared.edges  # noqa: B018  # whatever the criteria are, a mesh without a proper face is not valid
            measures = [MEASURES[name] for name in self.criteria]
            return [(measure.sign if self.signed else 1) * measure.value(compared) for measure in measures]
        except MeshError:
            return None


__all__ = ["GeometryReward"]
