"""Content hashes of weights, by which stale caches and swapped references are told apart."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def fingerprint(module: nn.Module | None) -> str:
    """SHA-256 over names, dtypes, shapes and values of a module's parameters and buffers."""
    digest = hashlib.sha256()
    if module is not None:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
