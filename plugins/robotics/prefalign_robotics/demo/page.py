"""A page to look at one run, in one file that needs nothing else."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prefalign.interfaces import PrefalignError
from prefalign_robotics.demo.behaviour import ARMS
from prefalign_robotics.demo.charts import confidence_chart, coupling_chart, reward_chart
from prefalign_robotics.demo.files import read_arrays, read_json
from prefalign_robotics.demo.films import AFTER, BEFORE, films
from prefalign_robotics.demo.report import inside_table
from prefalign_robotics.demo.runs import SCHEMA
from prefalign_robotics.segments.errors import SegmentError

_STYLE = (
    "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:64em;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.3em .8em;text-align:left}tr{border-top:1px solid #ccc}"
    ".side{display:flex;flex-wrap:wrap;gap:1em}figure{margin:0;flex:1 1 24em}img{max-width:100%}"
)


def run_page(run: Path) -> str:
    """HTML of one pair of tasks and seed.

    Where no film can be drawn the page says why, and the rest stands.

    Args:
        run: its folder, with `results.json`.

    Raises:
        SegmentError: for a folder without results, or damaged files.
    """
    if not (run / "results.json").is_file():
        raise SegmentError(f"{run}: no results.json; expected the folder of a pair and a seed, such as OUT/A--B/seed0")
    results = read_json(run / "results.json", SCHEMA)
    transfer = read_arrays(run / "transfer.npz", {"coupling": 2, "source_returns": 1, "target_returns": 1})
    rewards = read_arrays(run / "rewards.npz", {"mean": 2, "deviation": 2, "rewards": 2, "success": 2})
    heading = f"{results['source']} → {results['target']}, seed {results['seed']}"
    coupling = coupling_chart(transfer["coupling"], transfer["source_returns"], transfer["target_returns"])
    parts = [
        f"<h1>{html.escape(heading)}</h1>",
        "<p>Labels of the first task were carried over to the second, whose own were never seen. A reward was learned "
        "from them, and policies from the episodes it likes. The true reward only judges.</p>",
        "<h2>Policies</h2>",
        _policies(results["policies"]),
        _films(run, results["policies"]),
        "<h2>The learned reward along an episode</h2>",
        _episodes(rewards),
        "<h2>The transfer</h2>",
        _transfer(results["transfer"], coupling),
        "<h2>Among the successful</h2>",
        f"<p>Spearman's correlation among {int(results['ranking']['successful'])} successful episodes, where success "
        "is no help any more; in brackets, not told from chance (p &gt; 0.05).</p>",
        _markdown_table(inside_table([results])),
    ]
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(heading)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>{body}</body></html>\n"
    )


def _policies(policies: Mapping[str, Any]) -> str:
    rows = [["policy", "success", "95 %", "return", "95 %", "steps to success"]]
    for name, found in policies.items():
        success, mean, steps = found["success"], found["mean_return"], found["steps_to_success"]
        rows.append(
            [
                ARMS[name].title if name in ARMS else name,
                f"{success['estimate']:.2f}",
                f"{success['low']:.2f} to {success['high']:.2f}",
                f"{mean['estimate']:.0f}",
                f"{mean['low']:.0f} to {mean['high']:.0f}",
                "-" if steps is None else f"{steps:.0f}",
            ]
        )
    return _table(rows)


def _films(run: Path, policies: Mapping[str, Any]) -> str:
    try:
        paths = films(run, policies)
    except PrefalignError as error:
        return f"<p>No film: {html.escape(str(error))}</p>"
    figures = [
        _figure(path.read_bytes(), "gif", f"{side}: {ARMS[name].title}")
        for path, side, name in zip(paths, ("Before", "After"), (BEFORE, AFTER), strict=True)
    ]
    return _side(*figures)


def _episodes(rewards: Mapping[str, np.ndarray]) -> str:
    returns = rewards["rewards"].sum(1)
    rows = np.array([returns.argmax(), returns.argmin()])
    titles = [
        f"{kind} episode, true return {returns[row]:.0f}" for kind, row in zip(("best", "worst"), rows, strict=True)
    ]
    mean, deviation, reward = (rewards[name][rows] for name in ("mean", "deviation", "rewards"))
    chart = reward_chart(mean, deviation, reward, rewards["success"][rows] != 0, titles)
    return _figure(
        chart, "png", "Learned and true reward, step by step; dashed, the first step at which the task was done"
    )


def _transfer(found: Mapping[str, Any], coupling: bytes) -> str:
    doubts = "".join(f"<li>{html.escape(str(doubt))}</li>" for doubt in found["warnings"])
    return (
        f"<p>Right on {found['accuracy']:.3f} of the pairs, on {found['confident_half']:.3f} of the confident half. A "
        f"rule that uses no label at all is right on {found['rule_accuracy']:.3f}.</p>"
        + (f"<p>What speaks against it:</p><ul>{doubts}</ul>" if doubts else "")
        + _side(
            _figure(coupling, "png", "Gromov–Wasserstein coupling of the first block of windows"),
            _figure(confidence_chart(found["curve"]), "png", "Confidence, and how often it is justified"),
        )
    )


def _figure(data: bytes, kind: str, caption: str) -> str:
    said, image = html.escape(caption), base64.b64encode(data).decode()
    return f'<figure><img alt="{said}" src="data:image/{kind};base64,{image}"><figcaption>{said}</figcaption></figure>'


def _side(*figures: str) -> str:
    return f'<div class="side">{"".join(figures)}</div>'


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    lines = ["".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in body]
    return "<table>" + "".join(f"<tr>{line}</tr>\n" for line in lines) + "</table>"


def _markdown_table(text: str) -> str:
    head, _, *body = text.splitlines()
    return _table([[cell.strip() for cell in line.strip("|").split("|")] for line in (head, *body)])
