"""`prefalign merge`: models out of models, as folders that Transformers, Diffusers and peft read."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prefalign.cli.errors import CommandError

if TYPE_CHECKING:
    from prefalign.merging import Method

# Their names and what they do; the classes would load torch, which a help text should not wait for.
METHODS = {
    "interpolate": "Σ w θ, the weights summing to 1 (default)",
    "task": "θ_base + Σ w (θ − θ_base)",
    "expo": "θ + w (θ − θ_base), of one model",
    "ties": "task arithmetic of the largest changes whose signs agree",
    "dare": "task arithmetic of changes drawn by chance",
}
_SPARSE = ("ties", "dare")


def main(argv: Sequence[str]) -> int:
    """Run `prefalign merge` and return its exit code, 0."""
    options = _parser().parse_args(argv)
    weights = _numbers(options.weights, "--weights")
    modules: dict[str, tuple[float, ...]] = {}
    for given in options.module:
        pattern, equals, values = given.rpartition("=")
        if not equals or not pattern:
            raise CommandError(f"--module {given!r}: expected PATTERN=w1,w2, such as 'model.layers.0=1,0'")
        if pattern in modules:
            raise CommandError(f"--module {pattern!r} is given twice")
        modules[pattern] = _numbers(values, f"--module {pattern!r}")
    method = _method(options)

    from prefalign.merging.folders import merge_folders

    report = merge_folders(options.models, options.out, weights, method, base=options.base, modules=modules)
    for warning in report["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    if options.json:
        print(json.dumps({"output": str(options.out), **report}, ensure_ascii=False, indent=2))
    else:
        count = len(report["models"])
        print(f"{options.out}: {report['form']}, {options.method} of {count} model{'s' * (count > 1)}")
    return 0


def _method(options: argparse.Namespace) -> Method:
    for flag, given, fits in (
        ("--any-sum", options.any_sum or None, ("interpolate",)),
        ("--density", options.density, _SPARSE),
        ("--seed", options.seed, ("dare",)),
    ):
        if given is not None and options.method not in fits:
            raise CommandError(f"{flag} belongs to --method {' and '.join(fits)}, not to {options.method}")

    from prefalign.merging.methods import METHODS as CLASSES

    settings = {"density": options.density, "seed": options.seed, "convex": False if options.any_sum else None}
    return CLASSES[options.method](**{name: value for name, value in settings.items() if value is not None})


def _numbers(text: str, flag: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise CommandError(f"{flag}: expected numbers with commas between them, got {text!r}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign merge",
        description="Merge models of one architecture: interpolate, add up, extrapolate what training changed.",
        epilog="methods: " + "; ".join(f"{name}: {does}" for name, does in METHODS.items()),
    )
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="folder of a model or of an adapter")
    parser.add_argument("--weights", required=True, metavar="W,W,…", help="one for each model; for expo, how far")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="folder to make")
    parser.add_argument("--base", type=Path, metavar="FOLDER", help="the model that the others were trained from")
    parser.add_argument("--method", choices=METHODS, default="interpolate", help="see below")
    parser.add_argument(
        "--module",
        action="append",
        default=[],
        metavar="PATTERN=W,W,…",
        help="other weights for tensors whose names begin so or match a glob; the first that matches counts",
    )
    parser.add_argument("--any-sum", action="store_true", help="interpolate with weights of another sum than 1")
    parser.add_argument("--density", type=float, metavar="P", help="share kept by ties (0.2) or dare (0.1)")
    parser.add_argument("--seed", type=int, metavar="N", help="of dare's draw (0)")
    parser.add_argument("--json", action="store_true", help="print what merge.json holds, and the warnings")
    return parser
