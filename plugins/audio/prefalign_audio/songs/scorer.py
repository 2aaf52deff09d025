"""Networks that say how musical a song is; `prefalign_audio.songs.musicality` trains them.

Axes: N songs, 3 streams as in `prefalign_audio.songs.tokens`, T steps, F features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from prefalign.interfaces import PrefalignError, unknown_name
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.tokens import HOLD, REST, SongTokens

TOKENS_FILE, WEIGHTS_FILE, SETTINGS_FILE = "song_tokens.json", "model.safetensors", "song_scorer.json"

_WIDTH = 64


class NotesConvolution(nn.Module):
    """Convolutions over what sounds in each step: pitch classes, heights and onsets."""

    def __init__(self, tokens: SongTokens) -> None:
        super().__init__()
        table = (np.array([*tokens.sets, 0])[:, None] >> np.arange(12)) & 1
        self.register_buffer("table", torch.tensor(table, dtype=torch.float32), persistent=False)
        self.lows, self.widths = (tokens.vocal[0], tokens.bass[0]), (_range(tokens.vocal), _range(tokens.bass))
        features, reach = 12 + 2 * (12 + 4), (1, 2, 4)
        self.layers = nn.ModuleList(
            nn.Conv1d(features if step == 1 else _WIDTH, _WIDTH, 3, padding=step, dilation=step) for step in reach
        )

    def forward(self, codes: Tensor, steps: Tensor) -> Tensor:
        """(N, T, F) of codes (N, 3, T), with the steps (N, T) that belong to a song."""
        table: Any = self.table
        seen = [table[codes[:, 0]]]
        for row, low, width in zip(codes.unbind(1)[1:], self.lows, self.widths, strict=True):
            code = _carried(row)
            sounds, onset = code > HOLD, row > HOLD
            index = (code - HOLD - 1).clamp(min=0)
            height = (index % width).float() / width
            flags = torch.stack([onset.float(), (onset & (index >= width)).float(), sounds.float(), height], dim=-1)
            classes = one_hot((low + index % width) % 12, 12).float()
            seen += [classes * sounds.unsqueeze(-1), flags * sounds.unsqueeze(-1)]
        hidden = torch.cat(seen, dim=-1).transpose(1, 2) * steps.unsqueeze(1)
        for layer in self.layers:
            hidden = nn.functional.gelu(layer(hidden)) * steps.unsqueeze(1)
        return hidden.transpose(1, 2)


class CodesRecurrence(nn.Module):
    """A recurrent network, in both directions, over the embedded codes."""

    def __init__(self, tokens: SongTokens) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(size, _WIDTH // 2) for size in tokens.sizes)
        self.network = nn.GRU(3 * (_WIDTH // 2), _WIDTH // 2, batch_first=True, bidirectional=True)

    def forward(self, codes: Tensor, steps: Tensor) -> Tensor:
        """(N, T, F); see `NotesConvolution`."""
        seen = [embed(row) for embed, row in zip(self.embeddings, codes.unbind(1), strict=True)]
        # Packed, so that the way back begins at a song's end and not at that of the longest.
        packed = pack_padded_sequence(
            torch.cat(seen, dim=-1), steps.sum(1).cpu(), batch_first=True, enforce_sorted=False
        )
        hidden: Tensor = pad_packed_sequence(self.network(packed)[0], batch_first=True, total_length=codes.shape[2])[0]
        return hidden


ARCHITECTURES: Mapping[str, type[nn.Module]] = {"convolution": NotesConvolution, "recurrence": CodesRecurrence}
"""What hears the songs, by name. Two, so that what is trained on and what measures need not share one."""


class SongScorer(nn.Module):
    """How musical songs are, in nats: of two songs, the chance that one is the better is the sigmoid of the difference.

    Args:
        tokens: vocabulary of the codes.
        architecture: one of `ARCHITECTURES`.

    Attributes:
        accuracy: share of held-out comparisons that it gets right, by the kind of the worse song; empty untrained.
        trained_on: hashes of the songs that it has learnt from; see `prefalign_audio.songs.musicality.digests`.

    Raises:
        PrefalignError: for an unknown architecture.
    """

    def __init__(self, tokens: SongTokens, architecture: str = "convolution") -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise unknown_name("architecture", architecture, ARCHITECTURES)
        self.tokens, self.architecture = tokens, architecture
        self.accuracy: dict[str, float] = {}
        self.trained_on: frozenset[str] = frozenset()
        self.hears = ARCHITECTURES[architecture](tokens)
        self.head = nn.Sequential(nn.Linear(2 * _WIDTH, _WIDTH), nn.GELU(), nn.Linear(_WIDTH, 1))

    def forward(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """(N,) nats of codes (N, 3, T) and lengths (N,), each at least 1. What is behind a song's end may be anything.

        Codes are not checked here; `score` does.
        """
        steps = torch.arange(codes.shape[2], device=codes.device) < lengths.unsqueeze(1)
        hidden = self.hears(codes.masked_fill(~steps.unsqueeze(1), REST), steps)
        mean = (hidden * steps.unsqueeze(2)).sum(1) / lengths.unsqueeze(1)
        most = hidden.masked_fill(~steps.unsqueeze(2), -torch.inf).amax(1)
        found: Tensor = self.head(torch.cat([mean, most], dim=1)).squeeze(1)
        return found

    @torch.no_grad()
    def score(self, codes: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
        """(N,) the same for arrays, without gradients.

        Raises:
            SongError: for codes outside of the vocabulary, and songs without a step.
        """
        self.tokens.arrays(codes, lengths)
        if len(lengths) and np.min(lengths) < 1:
            raise SongError(f"song {int(np.argmin(lengths))} has no steps, so that there is nothing to judge")
        device = next(self.head.parameters()).device
        inside = np.arange(codes.shape[2]) < np.asarray(lengths)[:, None]
        known = torch.as_tensor(np.where(inside[:, None], codes, REST), device=device)
        found: NDArray[np.float64] = self(known, torch.as_tensor(lengths, device=device)).double().cpu().numpy()
        return found

    def save_pretrained(self, folder: Path) -> None:
        """Write weights, vocabulary and settings."""
        folder.mkdir(parents=True, exist_ok=True)
        self.tokens.save(folder / TOKENS_FILE)
        weights = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(weights, folder / WEIGHTS_FILE)
        learnt = {"accuracy": self.accuracy, "trained_on": sorted(self.trained_on)}
        settings = {"architecture": self.architecture, **learnt}
        (folder / SETTINGS_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> SongScorer:
        """The scorer that `save_pretrained` wrote.

        Raises:
            PrefalignError: if the folder holds none.
        """
        folder = Path(folder)
        if not (folder / SETTINGS_FILE).is_file():
            raise PrefalignError(f"{folder}: no {SETTINGS_FILE}, so this is no judge of songs that prefalign saved")
        settings = json.loads((folder / SETTINGS_FILE).read_text("utf-8"))
        scorer = cls(SongTokens.load(folder / TOKENS_FILE), settings["architecture"])
        scorer.load_state_dict(load_file(folder / WEIGHTS_FILE))
        scorer.accuracy, scorer.trained_on = settings["accuracy"], frozenset(settings["trained_on"])
        return scorer.eval()


def _carried(row: Tensor) -> Tensor:
    """(N, T) codes with every hold replaced by the code of the note, or the rest, that it goes on with."""
    begun = torch.arange(row.shape[1], device=row.device).expand_as(row).masked_fill(row == HOLD, -1)
    source = begun.cummax(dim=1).values
    # A hold behind nothing is a rest.
    return row.gather(1, source.clamp(min=0)).masked_fill(source < 0, REST)


def _range(pitches: tuple[int, int]) -> int:
    return pitches[1] - pitches[0] + 1
