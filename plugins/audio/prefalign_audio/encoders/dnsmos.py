"""DNSMOS (ITU-T P.835): predicted quality of speech, of its background, and overall (MIT; needs onnxruntime)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign_audio.encoders.base import SoundEncoder
from prefalign_audio.encoders.packages import PackagedFile

CHECKPOINT = PackagedFile(
    "speechmos",
    "speechmos==0.0.1.1",
    "dnsmos_models/sig_bak_ovr.onnx",
    "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
)

#: Seconds that the network hears at once.
WINDOW = 9.01

#: Quadratics, highest power first, that map the network's raw outputs to scores: speech, background, overall.
MAPPING = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)


class DNSMOS(SoundEncoder):
    """Three numbers per clip, in about [1, 5]: quality of the speech, of the background, and overall.

    16,000 Hz. Trained on speech. Clips below 9.01 s are repeated; of longer ones windows of 9.01 s are heard, one every
    second, and their scores averaged.

    Args:
        resample, downmix: as for `SoundEncoder`.

    Raises:
        PrefalignError: if onnxruntime or the package with the weights is not installed.
    """

    rate, width = 16_000, 3

    def __init__(self, resample: bool = False, downmix: bool = False) -> None:
        super().__init__(resample, downmix)
        file = CHECKPOINT.find()
        try:
            import onnxruntime
        except ImportError:
            raise PrefalignError(
                "DNSMOS runs in onnxruntime, which is not installed: pip install onnxruntime"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session: Any = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def settings(self) -> dict[str, Any]:
        """The network's hash and the edition of what is around it."""
        return {"weights": CHECKPOINT.sha256, "edition": 1}

    def embed(self, samples: Tensor) -> Tensor:
        """(3,) mean scores of the clip's windows."""
        rows = [
            self._session.run(None, {"input_1": part[None].cpu().numpy()})[0][0] for part in speech_windows(samples)
        ]
        raw = torch.tensor([[float(value) for value in row] for row in rows])
        square, slope, shift = torch.tensor(MAPPING).T
        return (square * raw**2 + slope * raw + shift).mean(0)


def speech_windows(samples: Tensor, rate: int = 16_000) -> list[Tensor]:
    """The windows of 9.01 s that are heard of a clip, one every second; short clips are doubled until they fill one."""
    size = int(WINDOW * rate)
    while len(samples) < size:
        samples = samples.repeat(2)
    count = max(1, len(samples) // rate - 9)
    return [samples[start : start + size] for start in range(0, count * rate, rate)]
