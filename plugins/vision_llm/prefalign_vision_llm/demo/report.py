"""The demonstration's results for people: a table, a figure, and a page of examples."""

import base64
import html
import io
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

#: Figures of the table: key, heading, whether less is better.
COLUMNS = (
    ("chair_i", "CHAIRi %", True),
    ("chair_s", "CHAIRs %", True),
    ("recall", "recall %", False),
    ("delta", "delta", True),
    ("pope/adversarial/error", "POPE error %", True),
    ("pope/adversarial/yes_ratio", "yes %", False),
    ("words", "words", False),
)

Figures = Mapping[str, float]


def with_error(figures: Figures) -> dict[str, float]:
    """The figures with the POPE error of each split, 100 minus its accuracy."""
    errors = {k.replace("accuracy", "error"): 100.0 - v for k, v in figures.items() if k.endswith("/accuracy")}
    return {**figures, **errors}


def spread(values: Sequence[float]) -> str:
    """Mean, with the sample standard deviation where there are several values."""
    mean = f"{statistics.fmean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.1f}"


def accepted(base: Figures, tuned: Figures) -> bool:
    """Whether hallucination fell by a third or more on captions and questions, and recall by two points at most."""
    base, tuned = with_error(base), with_error(tuned)
    return (
        tuned["chair_i"] <= base["chair_i"] * 2 / 3
        and tuned["pope/adversarial/error"] <= base["pope/adversarial/error"] * 2 / 3
        and tuned["recall"] >= base["recall"] - 2.0
    )


def table(results: Mapping[str, Sequence[Figures]], titles: Mapping[str, str]) -> str:
    """A Markdown table: a row per arm, its figures over the seeds, and on how many seeds it is accepted.

    Args:
        results: the figures of each arm, one mapping per seed in the same order; `base` among them.
        titles: what the rows are called.
    """
    lines = ["| | " + " | ".join(heading for _, heading, _ in COLUMNS) + " | accepted |"]
    lines.append("|" + "---|" * (len(COLUMNS) + 2))
    for arm, runs in results.items():
        full = [with_error(run) for run in runs]
        cells = [spread([run[key] for run in full]) for key, _, _ in COLUMNS]
        good = sum(accepted(base, run) for base, run in zip(results["base"], runs, strict=True))
        cells.append("-" if arm == "base" else f"{good}/{len(runs)}")
        lines.append(f"| {titles[arm]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def object_table(base: tuple[Mapping[str, int], Mapping[str, int]], tuned: tuple[Mapping[str, int], ...]) -> str:
    """A Markdown table of hallucinated and all mentions per object, before and after.

    Args:
        base: hallucinated and mentioned counts of the base.
        tuned: the same of the tuned model.
    """
    lines = ["| object | before | after |", "|---|---|---|"]
    for name in base[0]:
        lines.append(f"| {name} | {base[0][name]} of {base[1][name]} | {tuned[0][name]} of {tuned[1][name]} |")
    return "\n".join(lines)


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1d1d1f }
figure { display: grid; grid-template-columns: 11rem 1fr; gap: 1rem; margin: 0 0 1.5rem; border-top: 1px solid #ccc;
  padding-top: 1rem }
img { width: 11rem; image-rendering: pixelated; border: 1px solid #ddd }
dt { font-weight: 600 } dd { margin: 0 0 .5rem }
mark { background: #ffd2cc; color: #8a1500; text-decoration: underline wavy; padding: 0 .15em }
table { border-collapse: collapse } td, th { padding: .2rem .7rem; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child { text-align: left }
"""


def marked(text: str, objects: Sequence[str], present: Sequence[str]) -> str:
    """A caption as HTML with the objects that are not in the picture marked."""
    words = []
    for word in text.split():
        safe = html.escape(word)
        absent = word in objects and word not in present
        words.append(f"<mark>{safe}</mark>" if absent else safe)
    return " ".join(words)


def page(
    path: Path,
    summary: str,
    examples: Sequence[tuple[Image.Image, Sequence[str], Mapping[str, str]]],
    objects: Sequence[str],
) -> None:
    """Write a page that needs no network: the table, then picture, contents and what each model says.

    Args:
        path: the HTML file.
        summary: the Markdown table.
        examples: picture, objects in it, and captions by model title.
        objects: all object names.
    """
    figures = []
    for picture, present, captions in examples:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
        said = "".join(
            f"<dt>{html.escape(title)}</dt><dd>{marked(text, objects, present)}</dd>"
            for title, text in captions.items()
        )
        shown = html.escape(", ".join(present))
        figures.append(
            f'<figure><img src="data:image/png;base64,{encoded}" alt="{shown}"><dl><dt>in the picture</dt>'
            f"<dd>{shown}</dd>{said}</dl></figure>"
        )
    path.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Hallucinations before and after</title>"
        f"<style>{_STYLE}</style><h1>Hallucinations before and after</h1>"
        "<p>Held-out pictures; objects that are not in the picture are marked.</p>"
        f"{_html_table(summary)}{''.join(figures)}</html>\n",
        encoding="utf-8",
    )


def _html_table(markdown: str) -> str:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[2:])
    return f"<table><tr>{head}</tr>{body}</table>"


def examples_of_change(
    before: Sequence[str], after: Sequence[str], present: Sequence[Sequence[str]], objects: Sequence[str], count: int
) -> list[int]:
    """Indices of the pictures to show: alternately ones that were mended, and ones that still hallucinate if any do.

    Showing successes alone would sell more than the table does.
    """

    def wrong(text: str, index: int) -> bool:
        return any(word in objects and word not in present[index] for word in text.split())

    mended = [i for i in range(len(before)) if wrong(before[i], i) and not wrong(after[i], i)]
    still = [i for i in range(len(before)) if wrong(after[i], i)]
    bad = still[: max(1, count // 4)]
    return sorted(mended[: count - len(bad)] + bad)
