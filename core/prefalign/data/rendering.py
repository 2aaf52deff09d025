"""Records as a person reads them in a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence

from prefalign.interfaces.record import Media, Message, PreferenceRecord, Prompt, Response
from prefalign.interfaces.verdict import Group, Pair, Ranking


def render_record(record: PreferenceRecord) -> str:
    """A record as indented lines, media and arrays by their names and sizes."""
    facts = [type(record.verdict).__name__.lower()]
    if isinstance(record.verdict, Pair):
        facts += ["tie"] if record.verdict.tie else []
        facts += [f"P = {record.verdict.probability:g}"] if record.verdict.probability not in (0.0, 1.0) else []
    facts += [f"margin {record.margin:g}"] if record.margin is not None else []
    facts += [f"weight {record.weight:g}"] if record.weight != 1.0 else []
    facts += [f"annotator {record.annotator}"] if record.annotator is not None else []
    facts += [f"source {record.source}"] if record.source is not None else []
    lines = [f"{record.id}  ({', '.join(facts)})", *_labelled("prompt", _prompt_lines(record.prompt))]
    for index, response in enumerate(record.responses):
        lines += _labelled(_role(record, index), _response_lines(response))
    for name, verdict in record.criteria.items():
        lines.append(f"  criterion {name}: {verdict}")
    if record.reference_answer is not None:
        lines += _labelled("reference", _response_lines(record.reference_answer))
    if record.provenance:
        lines.append(f"  provenance: {json.dumps(record.provenance, ensure_ascii=False)}")
    return "\n".join(lines)


def _role(record: PreferenceRecord, index: int) -> str:
    verdict = record.verdict
    if isinstance(verdict, Pair):
        return {verdict.chosen: "chosen", verdict.rejected: "rejected"}.get(index, "neither")
    if isinstance(verdict, Ranking):
        return f"rank {verdict.ranks[index]}"
    if isinstance(verdict, Group):
        return f"reward {verdict.rewards[index]:g}"
    return "desirable" if verdict.labels[index] else "undesirable"


def _labelled(label: str, lines: list[str]) -> list[str]:
    return [f"  {label}: {lines[0]}", *(f"    {line}" for line in lines[1:])]


def _prompt_lines(prompt: Prompt) -> list[str]:
    lines = _said(prompt.text, prompt.messages)
    lines += [_medium(medium) for medium in prompt.media]
    lines += [f"{name} = {value!r}" for name, value in prompt.conditions.items()]
    return lines or ["(none)"]


def _response_lines(response: Response) -> list[str]:
    lines = _said(response.text, response.messages)
    lines += [_medium(medium) for medium in response.media]
    lines += [f"{len(response.token_ids)} tokens"] if response.token_ids is not None else []
    lines += [f"{name}: {array.dtype}{list(array.shape)}" for name, array in response.arrays.items()]
    lines += [f"[{s.start}, {s.stop}) {s.axis} × {s.weight:g}" for s in response.segments]
    lines += [f"score {name} = {score:g}" for name, score in response.scores.items()]
    lines += [f"reference log-probability {response.ref_logp:g} nats"] if response.ref_logp is not None else []
    lines += [f"by {response.source}"] if response.source is not None else []
    if response.context is not None:
        lines += ["in its own context:", *(f"  {line}" for line in _prompt_lines(response.context))]
    return lines


def _said(text: str | None, messages: Sequence[Message]) -> list[str]:
    lines = [] if text is None else text.splitlines() or [""]
    for message in messages:
        said = "".join(part if isinstance(part, str) else f"<{part.kind}>" for part in message.content)
        lines += [f"<{message.role}> {line}" for line in said.splitlines() or [""]]
    return lines


def _medium(medium: Media) -> str:
    return f"[{medium.kind}: {medium.path}]" if medium.data is None else f"[{medium.kind}: {len(medium.data)} bytes]"
