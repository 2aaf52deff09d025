"""Refuse an environment in which the checks would fail for reasons that are not the code's."""

from __future__ import annotations

import importlib.util
import sys

import torch


def problems() -> list[str]:
    """What is wrong with the installed packages, one sentence each with its remedy."""
    found = []
    if torch.version.cuda is not None and not torch.cuda.is_available():
        found.append(
            f"torch {torch.__version__} is built for CUDA {torch.version.cuda}, but this machine shows no usable GPU. "
            "Without one, take the CPU build: UV_TORCH_BACKEND=cpu make clean-venv setup, or name a folder that holds "
            "it in PIP_FIND_LINKS. With one, look at nvidia-smi: the driver may be missing or too old."
        )
    if importlib.util.find_spec("torchvision") is not None:
        found.append(
            "torchvision is installed. Nothing here uses it, and a build that does not match torch breaks every "
            "library that imports it: .venv/bin/uv pip uninstall torchvision"
        )
    return found


if __name__ == "__main__":
    for problem in problems():
        print(f"setup: error: {problem}", file=sys.stderr)
    build = "CPU" if torch.version.cuda is None else f"CUDA {torch.version.cuda}"
    print(f"setup: Python {sys.version.split()[0]}, torch {torch.__version__} ({build} build)")
    sys.exit(bool(problems()))
