"""`prefalign audio repair-torchaudio`: let torchaudio's CUDA wheel live beside a CPU build of torch."""

from __future__ import annotations

import argparse

from prefalign_audio.sound.torchaudio_build import TorchaudioError, check, repair


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns the exit code 0, also where there is nothing to repair.

    Raises:
        TorchaudioError: the extension may not be deleted.
    """
    argparse.ArgumentParser(
        prog="prefalign audio repair-torchaudio",
        description="Delete torchaudio's compiled extension where, and only where, it is built for CUDA and torch is "
        "not. Without it torchaudio works; with it neither torchaudio nor peft can be imported. Repeat after every "
        "reinstallation of torchaudio.",
    ).parse_args(argv)
    deleted = repair()
    print(f"deleted {deleted}" if deleted else f"nothing to repair: {_state()}")
    return 0


def _state() -> str:
    try:
        return check()
    except TorchaudioError as error:  # such as: not installed, which no repair can mend
        return str(error)
