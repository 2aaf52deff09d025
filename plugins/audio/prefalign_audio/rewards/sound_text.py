"""BATON's reward model (arXiv 2402.00744): does a sound match its caption? A small head on frozen vectors of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from prefalign.functional.fingerprint import fingerprint
from prefalign.interfaces import Batch, Encoder, Media, PrefalignError, Reward, RewardOutput
from prefalign_audio.encoders.base import TextEncoder
from prefalign_audio.encoders.cache import sound_key, text_key
from prefalign_audio.rewards.calibration import Calibration, calibrate
from prefalign_audio.rewards.codec import SoundText, SoundTextCodec
from prefalign_audio.rewards.embeddings import Embeddings

#: What a saved folder holds.
SETTINGS_FILE, WEIGHTS_FILE = "sound_text_reward.json", "model.safetensors"


class SoundTextReward(Reward):
    """Frozen sound vector ‖ frozen caption vector → Linear(d, 512) → ReLU → Linear(512, 1).

    The output is a logit: its sigmoid is the probability that a listener says the sound matches. The vectors are
    computed once, before the first step where the data module checks the records (its default), and never again.

    As in the paper: `encoder: clap:laion/clap-htsat-unfused` (512 + 512 numbers), `core/pointwise` (binary
    cross-entropy on labels 0 and 1), Adam with learning rate 1e-2 and weight decay 1e-5, 32 clips a batch, 51 epochs,
    one reward per task (integrity, temporal order). An earlier form trained on pairs of one prompt, with Adam at 1e-3
    for 101 epochs; `core/bradley_terry` is the pairwise loss here. The paper's code fed CLAP with 16,000 Hz; CLAP wants
    48,000, and other rates are refused unless `resample` says otherwise.

    Args:
        encoder: name of the sound encoder (see `prefalign_audio.encoders.load`), or an encoder.
        text_encoder: name of the caption encoder (`clap:ID`, `transformers:ID`), or one; the other half of `clap:ID` if
            None.
        hidden: width of the hidden layer.
        resample: bring sounds of another rate to the encoder's; they are refused otherwise.
        downmix: take the mean of several channels; they are refused otherwise.
        cache: folder of the embedding caches; the user's cache folder if None.
        head: folder that `save_pretrained` wrote, to start from its head; random weights if None.
        init_seed: seed of random weights.

    Attributes:
        calibration: maps logits to probabilities; the plain sigmoid unless `calibrate` fitted another.

    Raises:
        PrefalignError: for an unknown encoder, or one without a caption encoder.
    """

    codec: SoundTextCodec

    def __init__(
        self,
        encoder: str | Encoder,
        text_encoder: str | TextEncoder | None = None,
        hidden: int = 512,
        resample: bool = False,
        downmix: bool = False,
        cache: str | None = None,
        head: str | None = None,
        init_seed: int = 0,
    ) -> None:
        super().__init__()
        if hidden < 1:
            raise PrefalignError(f"expected a hidden layer of at least 1 unit, got {hidden}")
        self.embeddings = Embeddings(encoder, text_encoder, cache, resample, downmix)
        self.codec = self.embeddings.codec()
        self.hidden, self.start, self.init_seed = hidden, head, init_seed
        self.calibration = Calibration()
        self.head: nn.Module | None = None

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> SoundTextReward:
        """The reward that `save_pretrained` wrote, its weights loaded.

        Args:
            folder: where it was written.
            options: further arguments of the class; they replace those saved, such as an encoder that has moved.

        Raises:
            PrefalignError: if the folder holds no such reward, or the encoders are others than it was trained on.
        """
        saved = _settings(Path(folder))
        arguments = {name: saved[name] for name in ("encoder", "text_encoder", "hidden", "resample", "downmix")}
        arguments |= options
        if arguments["encoder"] is None or arguments["text_encoder"] is None:
            raise PrefalignError(
                f"{folder}: trained with encoders that have no name; give them as encoder= and text_encoder="
            )
        if not isinstance(arguments["encoder"], str):
            arguments |= {"resample": False, "downmix": False}
        reward = cls(**arguments, head=str(folder))
        reward.configure_model()
        return reward

    def configure_model(self) -> None:
        """Load the encoders, make or load the head, and encode what the codec has seen.

        Raises:
            PrefalignError: for weights that cannot be had, or a saved head of other encoders.
        """
        if self.head is not None:
            return
        self.embeddings.load()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.init_seed)
            head = nn.Sequential(nn.Linear(self.embeddings.width, self.hidden), nn.ReLU(), nn.Linear(self.hidden, 1))
        if self.start is not None:
            saved = _settings(Path(self.start))
            if saved["encoders_fingerprint"] != self.embeddings.fingerprint():
                raise PrefalignError(
                    f"{self.start}: the head was trained on encoders {saved['encoders_fingerprint'][:16]}, and those "
                    f"given are {self.embeddings.fingerprint()[:16]}; give the encoders it was trained on"
                )
            if saved["hidden"] != self.hidden:
                raise PrefalignError(f"{self.start}: the head has hidden: {saved['hidden']}, not {self.hidden}")
            head.load_state_dict(load_file(Path(self.start) / WEIGHTS_FILE))
            self.calibration = Calibration(**saved["calibration"])
        self.head = head
        self.embeddings.prepare(self.codec)

    def forward(self, batch: Batch) -> RewardOutput:
        """Logits of the N rows, (N, 1) float32, all of them valid."""
        rows: Any = batch.inputs["rows"]
        logits = self.logits(self.embeddings.vectors(rows))
        return RewardOutput(logits.unsqueeze(-1), torch.ones(len(logits), dtype=torch.bool, device=logits.device))

    def logits(self, vectors: Tensor) -> Tensor:
        """(N,) logits of (N, d) vectors, sound before caption.

        Raises:
            PrefalignError: before `configure_model`.
        """
        if self.head is None:
            raise PrefalignError("the reward has no weights yet: call configure_model first")
        device = next(self.head.parameters()).device
        # In bfloat16 close scores would become equal, and there is nothing to gain: the head is tiny.
        with torch.autocast(device.type, enabled=False):
            found: Tensor = self.head(vectors.to(device, torch.float32)).squeeze(-1)
        return found

    @torch.no_grad()
    def probabilities(self, media: Sequence[Media], captions: Sequence[str]) -> Tensor:
        """(N,) calibrated probabilities that N sounds match their captions, float32, on the CPU.

        Raises:
            SoundError: for a sound that cannot be used.
            PrefalignError: for lists of unequal length.
        """
        return self.calibration(self._logits_of(media, captions)).cpu()

    @torch.no_grad()
    def calibrate(
        self,
        media: Sequence[Media],
        captions: Sequence[str],
        labels: Tensor,
        kind: Literal["platt", "temperature"] = "platt",
    ) -> None:
        """Fit `calibration` to N labels in [0, 1] of sounds that training did not see.

        Raises:
            PrefalignError: for labels that cannot be calibrated to; see `prefalign_audio.rewards.calibration`.
        """
        self.calibration = calibrate(self._logits_of(media, captions), labels, kind)

    def _logits_of(self, media: Sequence[Media], captions: Sequence[str]) -> Tensor:
        if len(media) != len(captions):
            raise PrefalignError(f"expected a caption for each of {len(media)} sounds, got {len(captions)}")
        rows = [
            SoundText(medium, text, sound_key(medium), text_key(text))
            for medium, text in zip(media, captions, strict=True)
        ]
        return self.logits(self.embeddings.vectors(rows))

    def fingerprint(self) -> str:
        """A hash of encoders, head and calibration; with it score files name who scored."""
        parts = (type(self).__name__, self.embeddings.fingerprint(), fingerprint(self.head), self.calibration)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def save_pretrained(self, folder: Path) -> None:
        """Write the head and the names of the encoders, which stay where they are."""
        if self.head is None:
            raise PrefalignError("the reward has no weights yet: call configure_model first")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in self.head.state_dict().items()},
            folder / WEIGHTS_FILE,
        )
        names = {"encoder": self.embeddings.encoder, "text_encoder": self.embeddings.text_encoder}
        settings = {
            **{name: value if isinstance(value, str) else None for name, value in names.items()},
            "hidden": self.hidden,
            "resample": self.embeddings.resample,
            "downmix": self.embeddings.downmix,
            "encoders_fingerprint": self.embeddings.fingerprint(),
            "calibration": {"slope": self.calibration.slope, "intercept": self.calibration.intercept},
        }
        (folder / SETTINGS_FILE).write_text(json.dumps(settings, indent=2) + "\n", "utf-8")


def _settings(folder: Path) -> dict[str, Any]:
    file = folder / SETTINGS_FILE
    if not file.is_file():
        raise PrefalignError(f"{folder}: no {SETTINGS_FILE}, so this is no reward of sounds that prefalign saved")
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found
