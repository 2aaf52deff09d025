"""`prefalign vision_llm demo`: a small model that hallucinates, corrected by preferences, measured before and after.

With captions of real models at hand (see `--captions`) it also scores those with CHAIR beside the published figures.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

#: CHAIRi, CHAIRs and recall in percent that the published implementation gives for POPE's caption files.
PUBLISHED = {
    "Instruction1_llava": (18.76, 62.70, 76.7),
    "Instruction1_minigpt-4": (9.19, 31.50, 60.9),
    "Instruction2_mplug": (14.83, 25.40, 46.8),
    "Instruction2_instructblip": (2.63, 3.70, 42.2),
}
TOLERANCE = 0.3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration; returns 1 if a figure on real captions is not the published one."""
    options = _parser().parse_args(argv)
    # Before torch is loaded, which reads it once; two threads on two busy cores are slower than one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    started = time.perf_counter()

    def log(*words: str) -> None:
        print(f"[{time.perf_counter() - started:5.0f} s]", *words, file=sys.stderr, flush=True)

    arms = options.arms.split(",")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    results = _run(options.out, seeds, arms, options.photos, options.prepare_only, log)
    if options.prepare_only:
        return 0
    from prefalign_vision_llm.demo.arms import ARMS
    from prefalign_vision_llm.demo.report import table

    titles = {"base": "before", **{name: arm.title for name, arm in ARMS.items()}}
    figures = {name: [one["figures"] for one in runs] for name, runs in results.items()}
    summary = table(figures, titles)
    plain = {"seeds": seeds, "figures": figures}
    (options.out / "results.json").write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    (options.out / "results.md").write_text(summary + "\n", encoding="utf-8")
    _page(options.out, seeds[0], arms[0], results, titles, summary)
    log("done")
    real = score_real_captions(options.captions)
    print(json.dumps({**plain, "real": real}, indent=2) if options.json else _spoken(options.out, seeds, summary, real))
    return 0 if all(row["agrees"] for row in real.values()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign vision_llm demo",
        description="Teach a tiny LLaVA to hallucinate as real ones do, correct it by preferences, and measure.",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder for everything (default runs/demo)")
    parser.add_argument("--seeds", default="0", help="seeds, comma-separated (default 0)")
    parser.add_argument(
        "--arms", default="ddpo,dpo,sft", help="ddpo, ddpo_bare, dpo, sft; the first one fills the page"
    )
    parser.add_argument(
        "--photos", type=Path, help="the stamps folder of tuxpaint-stamps-default, for photographs in place of icons"
    )
    parser.add_argument("--prepare-only", action="store_true", help="make model and corrections, train nothing")
    parser.add_argument("--captions", type=Path, default=_captions_folder(), help="folder of real captions to score")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser


def _captions_folder() -> Path:
    root = os.environ.get("PREFALIGN_TEST_DATA")
    return (Path(root) if root else Path("../shared/data")) / "vision_llm"


def _run(
    out: Path,
    seeds: Sequence[int],
    arms: Sequence[str],
    photos: Path | None,
    prepare_only: bool,
    log: Callable[..., None],
) -> dict[str, list[dict[str, Any]]]:
    """Figures, mention counts and captions per arm and seed; `base` first."""
    from prefalign.interfaces.errors import unknown_name
    from prefalign_vision_llm.demo.arms import ARMS, train
    from prefalign_vision_llm.demo.preparation import DemoSizes, prepare

    for name in arms:
        if name not in ARMS:
            raise unknown_name("arm", name, ARMS)
    scenery: Any = {}  # the icons, or keyword arguments of `prepare` for photographs
    if photos is not None:
        from prefalign_vision_llm.demo.photographs import photograph_world

        scenery = photograph_world(photos)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in ("base", *arms)}
    for seed in seeds:
        prepared = out / f"seed{seed}"
        prepare(prepared, seed, DemoSizes(), partial(log, f"seed {seed}:"), **scenery)
        if prepare_only:
            continue
        results["base"].append(_evaluated(prepared, prepared / "base"))
        for name in arms:
            log(f"seed {seed}: training {name} with `prefalign fit`")
            results[name].append(_evaluated(prepared, train(name, prepared, out / "arms" / f"{name}-{seed}", seed)))
            shown = ("chair_i", "recall", "pope/adversarial/accuracy")
            log(", ".join(f"{key} {results[name][-1]['figures'][key]:.1f}" for key in shown))
    return results


def _evaluated(prepared: Path, model_folder: Path) -> dict[str, Any]:
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    from prefalign_vision_llm.demo.evaluation import evaluate
    from prefalign_vision_llm.demo.heldout import Heldout

    heldout = Heldout.load(prepared)
    model = LlavaForConditionalGeneration.from_pretrained(model_folder).eval()
    processor = AutoProcessor.from_pretrained(model_folder)
    return evaluate(model, processor, heldout, heldout.images(prepared)).as_mapping()


def _page(
    out: Path,
    seed: int,
    arm: str,
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    titles: Mapping[str, str],
    summary: str,
) -> None:
    from prefalign_vision_llm.demo.heldout import Heldout
    from prefalign_vision_llm.demo.report import examples_of_change, page

    prepared = out / f"seed{seed}"
    heldout = Heldout.load(prepared)
    images, objects = heldout.images(prepared), heldout.world.objects
    before, after = results["base"][0]["captions"], results[arm][0]["captions"]
    present = [scene.objects for scene in heldout.scenes]
    chosen = examples_of_change(before, after, present, objects, count=12)
    examples = [(images[i], present[i], {"before": before[i], titles[arm]: after[i]}) for i in chosen]
    page(out / "examples.html", summary, examples, objects)


def score_real_captions(folder: Path) -> dict[str, dict[str, Any]]:
    """CHAIR of every known caption file in the folder, beside the published figures; empty without the folder."""
    objects_file = folder / "coco_val2014_objects.json.gz"
    if not objects_file.exists():
        return {}
    from prefalign_vision_llm.commands.chair import read_objects, score_captions
    from prefalign_vision_llm.metrics.functional.vocabulary import coco_vocabulary

    vocabulary = coco_vocabulary()
    objects = read_objects(str(objects_file), vocabulary)
    found = {}
    for name, published in PUBLISHED.items():
        captions = folder / f"pope_captions_{name}.jsonl.gz"
        counts = score_captions(str(captions), objects, str(objects_file), vocabulary).counts
        ours = (counts.chair_i, counts.chair_s, counts.recall)
        agrees = all(abs(a - b) <= TOLERANCE for a, b in zip(ours, published, strict=True))
        found[name] = {"ours": [round(value, 2) for value in ours], "published": list(published), "agrees": agrees}
    return found


def _spoken(out: Path, seeds: Sequence[int], summary: str, real: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["", f"Held-out scenes, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}:", "", summary, ""]
    lines += ["Accepted: CHAIRi and POPE error at least a third lower, recall at most 2 points lower.", ""]
    if real:
        lines += ["CHAIR of captions by real models (CHAIRi / CHAIRs / recall, percent):", ""]
        for name, row in real.items():
            ours, published = (" / ".join(f"{value:.2f}" for value in row[key]) for key in ("ours", "published"))
            lines.append(f"  {name:26} {ours:22} published {published:22} {'agrees' if row['agrees'] else 'DIFFERS'}")
    else:
        lines.append("No captions of real models here; --captions FOLDER scores them.")
    lines += ["", f"Examples with pictures: {out / 'examples.html'}"]
    return "\n".join(lines)
