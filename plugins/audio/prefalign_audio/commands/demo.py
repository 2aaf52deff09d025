"""`prefalign audio demo`: a small text-to-audio model that mixes events up, aligned by preferences."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DEFAULT = "control,baton_025,baton_0,winners,dpo,crpo"
QUICK = "control,baton_0,crpo"
ALL = "control,baton_1,baton_025,baton_0,winners,dpo_50,dpo,coin,crpo,crpo_offline,crpo_online"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration; returns 1 if a rule fails."""
    parser = _parser()
    options = parser.parse_args(argv)
    # Before torch is loaded, which reads it once; two threads on two busy cores are slower than one.
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    started = time.perf_counter()

    def log(line: str) -> None:
        print(f"[{time.perf_counter() - started:5.0f} s] {line}", file=sys.stderr, flush=True)

    from prefalign.interfaces import PrefalignError

    try:
        return _run(options, log)
    except PrefalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign audio demo",
        description="Train a small text-to-audio model on captions that are often wrong, align it, and measure.",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/audio"), help="folder for everything")
    parser.add_argument("--seeds", default="0", help="seeds, comma-separated (default 0)")
    parser.add_argument("--arms", help=f"arms, comma-separated, or 'all' (default {DEFAULT})")
    parser.add_argument("--quick", action="store_true", help=f"a weaker base and the arms {QUICK}")
    parser.add_argument("--prepare-only", action="store_true", help="make model and judged samples, align nothing")
    parser.add_argument("--classes", type=int, default=6, help="kinds of events, 2 to 8 (default 6)")
    parser.add_argument("--overlap", type=float, default=0.0, help="seconds by which events overlap, 0 to 0.5")
    parser.add_argument("--label-noise", type=float, default=0.0, help="share of labels that are wrong, 0 to 0.5")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1, enough for this size)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser


def _run(options: argparse.Namespace, log: Any) -> int:
    from prefalign.interfaces.errors import PrefalignError, unknown_name
    from prefalign_audio.demo.arms import ARMS
    from prefalign_audio.demo.preparation import Difficulty, prepare
    from prefalign_audio.demo.pretraining import PretrainingSettings
    from prefalign_audio.demo.report import verdicts
    from prefalign_audio.demo.runs import facts_of, run_seed

    wanted = options.arms or (QUICK if options.quick else DEFAULT)
    names = (ALL if wanted == "all" else wanted).split(",")
    for name in names:
        if name not in ARMS:
            raise unknown_name("arm", name, ARMS)
        if (start := ARMS[name].start) and start not in names[: names.index(name)]:
            raise PrefalignError(f"the arm {name} starts from {start}, which has to stand before it in --arms")
    difficulty = Difficulty(
        classes=options.classes,
        overlap=options.overlap,
        label_noise=options.label_noise,
        pretraining=PretrainingSettings(steps=2500 if options.quick else 4000),
    )
    seeds = [int(seed) for seed in options.seeds.split(",")]
    results: dict[str, list[dict[str, float]]] = {}
    facts = {}
    for seed in seeds:

        def seed_log(line: str, seed: int = seed) -> None:
            log(f"seed {seed}: {line}")

        if options.prepare_only:
            prepare(options.out / f"seed{seed}", seed, difficulty, seed_log)
            continue
        prepared, figures = run_seed(options.out, seed, names, difficulty, seed_log)
        facts[seed] = facts_of(prepared)
        for name, row in figures.items():
            results.setdefault(name, []).append(row)
        if seed == seeds[0]:
            _sounds(options.out, prepared, names[-1], seed)
        # After every seed, so that an interrupted comparison leaves a table.
        _write(options.out, [*facts], results, facts)
    if options.prepare_only:
        return 0
    rules = verdicts(results)
    log("done")
    print((options.out / "results.json").read_text("utf-8") if options.json else _spoken(options.out, seeds, rules))
    return 0 if all(all(answers) for answers in rules.values()) else 1


def _write(out: Path, seeds: Sequence[int], results: Any, facts: Any) -> None:
    from prefalign_audio.demo.report import differences, table, verdicts

    plain = {"seeds": seeds, "figures": results, "facts": facts, "rules": verdicts(results)}
    (out / "results.json").write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    (out / "results.md").write_text(f"{table(results)}\n\n{differences(results)}\n", encoding="utf-8")


def _spoken(out: Path, seeds: Sequence[int], rules: dict[str, list[bool]]) -> str:
    lines = [
        "",
        f"Judged by a detector that training never saw, {len(seeds)} seed{'s' * (len(seeds) > 1)}:",
        "",
        (out / "results.md").read_text("utf-8"),
    ]
    lines += [
        f"{'passed' if all(answers) else 'FAILED'}: {rule} ({sum(answers)} of {len(answers)} seeds)"
        for rule, answers in rules.items()
    ]
    lines += ["", f"Sounds before and after: {out / 'listen' / 'index.html'}"]
    return "\n".join(lines)


def _sounds(out: Path, prepared: Any, arm: str, seed: int) -> None:
    """Sounds of the base and of an arm for the same captions and noise, and the page that plays them."""
    from prefalign_audio.demo.arms import arm_folder
    from prefalign_audio.demo.codec import playable, resynthesise
    from prefalign_audio.demo.preparation import open_policy
    from prefalign_audio.demo.runs import evaluation_latents
    from prefalign_audio.sound.files import write_sound
    from prefalign_audio.sound.page import listening_page

    run, world = out / "listen", prepared.world
    folders = {"before": prepared.folder / "base", "after": arm_folder(out / "arms", arm, seed) / "export"}
    captions = {}
    for side, folder in folders.items():
        latents = evaluation_latents(prepared, open_policy(folder), 2)[:: max(1, len(world.captions) // 8), 0]
        (run / side).mkdir(parents=True, exist_ok=True)
        shown = world.captions[:: max(1, len(world.captions) // 8)]
        for index, sound in enumerate(resynthesise(world.codec.decode(latents))):
            name = f"{index:02}.wav"
            write_sound(run / side / name, playable(sound))
            captions[name] = world.caption(shown[index])
    (run / "captions.json").write_text(json.dumps(captions, indent=2) + "\n", encoding="utf-8")
    (run / "index.html").write_text(listening_page(run), encoding="utf-8")
