"""Reward3D's form (DreamReward, arXiv 2403.14613): a head over views of a mesh, trained by rankings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from prefalign.functional.fingerprint import fingerprint
from prefalign.interfaces import Batch, PrefalignError, Reward, RewardOutput, unknown_name
from prefalign_mesh3d.rewards.view_encoders import ViewEncoder
from prefalign_mesh3d.rewards.view_heads import ConcatScorer, CrossViewFusion
from prefalign_mesh3d.rewards.view_vectors import ViewVectors
from prefalign_mesh3d.rewards.views import Ring, ViewCodec, ViewRow
from prefalign_mesh3d.tokenizers.base import MeshTokenizer

Variant = Literal["concat", "fusion"]

#: By which Reward3D's published code standardises what its own weights give: (raw − 0.16717) / 1.03334. The fusing
#: variant's deviation is 5. They belong to those weights; a head that is trained anew has its own.
PUBLISHED_OFFSET, PUBLISHED_SCALE, PUBLISHED_FUSION_SCALE = 0.16717, 1.03334, 5.0

#: What a saved folder holds.
SETTINGS_FILE, WEIGHTS_FILE = "multi_view_reward.json", "model.safetensors"


class MultiViewReward(Reward):
    """Frozen vectors of K views, each under the prompt with its side ("a chair, front view"), and a trained head.

    Each mesh is drawn and encoded once. Training is `core/reward_learning` with `core/bradley_terry` on rankings: the
    loss is over all ordered pairs of a prompt's meshes, −log σ(r_i − r_j).

    Args:
        encoder: of views; frozen.
        tokenizer: that reads responses of `token_ids`; None where responses are files.
        ring: from where meshes are seen.
        variant: `concat` (the paper's scorer) or `fusion` (views attend to one another).
        dropout: of the head, 0 <= p < 1.
        heads: of the attention of `fusion`; they divide the encoder's width.
        offset, scale: the reward is (raw − offset) / scale; `PUBLISHED_OFFSET` and the like for published weights.
        cache: folder where vectors are kept between runs; None keeps them in memory.
        head: folder that `save_pretrained` wrote, to start from its weights; random ones if None.
        init_seed: seed of random weights.

    Raises:
        PrefalignError: for an unknown variant, or numbers out of range.
    """

    codec: ViewCodec

    def __init__(
        self,
        encoder: ViewEncoder,
        tokenizer: MeshTokenizer | None = None,
        ring: Ring | None = None,
        variant: Variant = "concat",
        dropout: float = 0.2,
        heads: int = 12,
        offset: float = 0.0,
        scale: float = 1.0,
        cache: str | None = None,
        head: str | None = None,
        init_seed: int = 0,
    ) -> None:
        super().__init__()
        if variant not in get_args(Variant):
            raise unknown_name("variant", variant, get_args(Variant))
        if not 0 <= dropout < 1 or heads < 1 or not scale > 0:
            raise PrefalignError(f"expected 0 <= dropout < 1, heads >= 1, scale > 0, got {dropout}, {heads}, {scale}")
        self.variant, self.dropout, self.heads, self.offset, self.scale = variant, dropout, heads, offset, scale
        self.start, self.init_seed = head, init_seed
        self.codec = ViewCodec(tokenizer, ring or Ring(), draw=False)
        self.vectors = ViewVectors(encoder, self.codec, Path(cache) if cache else None)
        self.head: nn.Module | None = None

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, encoder: ViewEncoder, tokenizer: MeshTokenizer | None = None, cache: str | None = None
    ) -> MultiViewReward:
        """The reward that `save_pretrained` wrote, its weights loaded, in evaluation mode.

        Args:
            folder: where it was written.
            encoder: that it was trained on, which stays where it is.
            tokenizer, cache: as for the class.

        Raises:
            PrefalignError: if the folder holds no such reward, or the encoder is another.
        """
        saved = _settings(Path(folder))
        names = ("variant", "dropout", "heads", "offset", "scale")
        ring = Ring(**{**saved["ring"], "azimuths": tuple(saved["ring"]["azimuths"])})
        made = cls(encoder, tokenizer, ring, **{name: saved[name] for name in names}, cache=cache, head=str(folder))
        made.configure_model()
        return made.eval()

    def configure_model(self) -> None:
        """Load the encoder, make or load the head.

        Raises:
            PrefalignError: for weights that cannot be had, or a saved head of another encoder or other settings.
        """
        if self.head is not None:
            return
        self.vectors.load()
        width = self.vectors.encoder.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.init_seed)
            head: nn.Module = (
                ConcatScorer(width, len(self.codec.ring.azimuths), self.dropout)
                if self.variant == "concat"
                else CrossViewFusion(width, self.dropout, self.heads)
            )
        if self.start is not None:
            saved = _settings(Path(self.start))
            for name, mine in self._saved().items():
                if saved.get(name) != mine:
                    raise PrefalignError(
                        f"{self.start}: the head was trained with {name} {saved.get(name)}, not {mine}; give what "
                        "it was trained with"
                    )
            head.load_state_dict(load_file(Path(self.start) / WEIGHTS_FILE))
        # Built late, it must not have dropout on in a reward that was put in evaluation mode before.
        self.head = head.train(self.training)

    def forward(self, batch: Batch) -> RewardOutput:
        """(N, 1) float32 rewards; 0 in rows that are not valid, since nothing can be seen of their meshes."""
        head = self._head()
        device = next(head.parameters()).device
        vectors, valid = self.vectors.look_up(cast(list[ViewRow], batch.inputs["rows"]), device)
        # In bfloat16 close rewards would become equal, and there is nothing to gain: the head is small.
        with torch.autocast(device.type, enabled=False):
            raw: Tensor = head(vectors)
        return RewardOutput(((raw - self.offset) / self.scale).masked_fill(~valid, 0.0)[:, None], valid)

    def fingerprint(self) -> str:
        """A hash of encoder, head and settings; with it score files name who scored."""
        parts = (type(self).__name__, json.dumps(self._saved(), sort_keys=True), fingerprint(self._head()))
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def save_pretrained(self, folder: Path) -> None:
        """Write the head and its settings; the encoder stays where it is.

        Raises:
            PrefalignError: before `configure_model`.
        """
        folder = Path(folder)
        head = self._head()
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
        save_file(weights, folder / WEIGHTS_FILE)
        (folder / SETTINGS_FILE).write_text(json.dumps(self._saved(), indent=2) + "\n", "utf-8")

    def _saved(self) -> dict[str, Any]:
        ring = asdict(self.codec.ring)
        return {
            "variant": self.variant,
            "dropout": self.dropout,
            "heads": self.heads,
            "offset": self.offset,
            "scale": self.scale,
            "ring": {**ring, "azimuths": list(ring["azimuths"])},
            "encoder_fingerprint": self.vectors.fingerprint(),
        }

    def _head(self) -> nn.Module:
        if self.head is None:
            raise PrefalignError("the reward has no weights yet: call configure_model first")
        return self.head


def _settings(folder: Path) -> dict[str, Any]:
    file = folder / SETTINGS_FILE
    if not file.is_file():
        raise PrefalignError(f"{folder}: no {SETTINGS_FILE}, so this is no reward of views that prefalign saved")
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


__all__ = ["PUBLISHED_FUSION_SCALE", "PUBLISHED_OFFSET", "PUBLISHED_SCALE", "MultiViewReward"]
