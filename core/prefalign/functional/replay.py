"""Noise that can be drawn again: a counter-based generator keyed by record and replay.

Preference losses of denoisers depend on a noise level and on noise. Drawn from a generator whose key is the record and
whose counter is the replay index, the same replay of a record meets the same numbers in every process, epoch and run,
so that the errors of a reference model can be computed once and looked up afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def replay_generator(seed: int, record_id: str, replay: int) -> np.random.Generator:
    """Philox4x64 (Salmon et al., SC 2011) keyed by (`seed`, `record_id`), its counter's highest word set to `replay`.

    Args:
        seed: of the run.
        record_id: the record.
        replay: which of the record's draws, at least 0.
    """
    digest = hashlib.blake2b(f"{seed}\0{record_id}".encode(), digest_size=16).digest()
    # 2^192 numbers lie between two replays, so their streams never meet.
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little"), counter=replay << 192))


def replayed_noise(
    seed: int, record_ids: Sequence[str], replays: Sequence[int], shape: Sequence[int], frame_axis: int | None = None
) -> tuple[Tensor, Tensor]:
    """One uniform number and standard normal noise for each record.

    The noise is drawn frame after frame, so that the noise of a record does not depend on how far a batch pads it.

    Args:
        seed: of the run.
        record_ids: R records.
        replays: which of its draws each takes.
        shape: of one latent.
        frame_axis: axis of `shape` that is padded; None where all latents have one shape.

    Returns:
        (R,) float64 in [0, 1), and (R, *shape) float32, on the CPU.
    """
    order = list(shape)
    if frame_axis is not None:
        order.insert(0, order.pop(frame_axis))
    uniform = np.empty(len(record_ids))
    noise = np.empty((len(record_ids), *order), dtype=np.float32)
    for row, (record_id, replay) in enumerate(zip(record_ids, replays, strict=True)):
        generator = replay_generator(seed, record_id, replay)
        uniform[row] = generator.random()
        generator.standard_normal(out=noise[row], dtype=np.float32)
    drawn = torch.from_numpy(noise)
    if frame_axis is not None:
        drawn = drawn.movedim(1, 1 + frame_axis % len(order))
    return torch.from_numpy(uniform), drawn
